#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("programs are little-endian and used as they lie in memory");

mod activation;
mod events;
mod geometry;
mod kernels;
mod learn;
mod network;
mod program;
mod write;

pub use activation::Activation;
pub use events::ProductStrategy;
pub use geometry::{Geometry, Window};
pub use learn::{LearnError, Learner, Optimizer, Rule, Target, state_len, weights_len};
pub use network::{Activity, Network, RunError, Values};
pub use program::{DType, Kind, LayerSpec, MOST_LAYERS, MOST_VALUES, ProgramError};
#[doc(hidden)]
pub use write::reseal;
pub use write::{LayerSource, write};

/// The bytes of a file, as [`include_bytes!`], at a multiple of four, as [`Network::from_bytes`]
/// wants them.
#[macro_export]
macro_rules! include_program {
    ($path:expr) => {{
        // Four would do; rows of weights that lie at lines of caches are fetched faster.
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &PROGRAM.0
    }};
}
