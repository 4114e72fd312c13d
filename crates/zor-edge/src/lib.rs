#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("programs are little-endian and used in place");

mod activation;
mod detect;
mod events;
mod format;
mod geometry;
mod kernels;
mod learn;
mod network;
mod program;
mod random;
mod scoring;
mod write;

pub use activation::Activation;
pub use detect::{DetectError, Detector};
pub use detect::{DetectorLearner, DetectorSettings, Stage, memory_len};
pub use events::ProductStrategy;
pub use format::MAX_VALUES;
pub use geometry::{Geometry, Window};
pub use learn::{LearnError, Learner, Optimizer, Rule, Target, state_len, weights_len};
pub use network::{Activity, Network, RunError, Values};
pub use program::{DType, Kind, LayerSpec, MAX_LAYERS, ProgramError};
pub use scoring::Scoring;
#[doc(hidden)]
pub use write::reseal;
pub use write::{LayerSource, write, write_detector};

/// Includes a file like [`include_bytes!`], aligned for [`Network::from_bytes`].
#[macro_export]
macro_rules! include_program {
    ($path:expr) => {{
        // Four would suffice; rows of weights aligned to cache lines are loaded faster.
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &PROGRAM.0
    }};
}
