#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("images are little-endian and used as they lie in memory");

mod activation;
mod events;
mod geometry;
mod image;
mod kernels;
mod learn;
mod network;
mod write;

pub use activation::Activation;
pub use events::Path;
pub use geometry::{Geometry, Window};
pub use image::{DType, ImageError, Kind, LayerShape, MOST_LAYERS, MOST_VALUES};
pub use learn::{LearnError, Learner, Optimizer, Rule, Target, state_len, weights_len};
pub use network::{Activity, Network, RunError, Values};
#[doc(hidden)]
pub use write::reseal;
pub use write::{LayerSource, write};

/// The bytes of a file, as [`include_bytes!`], at a multiple of four, as [`Network::from_bytes`] wants them.
#[macro_export]
macro_rules! include_image {
    ($path:expr) => {{
        // Four would do; rows of weights that lie at lines of caches are fetched faster.
        #[repr(C, align(64))]
        struct Aligned<T: ?Sized>(T);
        static IMAGE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &IMAGE.0
    }};
}
