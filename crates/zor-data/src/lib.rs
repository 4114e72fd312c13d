#![doc = include_str!("../README.md")]

pub mod fashion_mnist;
pub mod idx;

mod augment;
mod batches;
mod dataset;
mod digest;
#[cfg(feature = "download")]
mod download;
mod error;

pub use augment::{Augment, Canvas};
pub use batches::{Batch, Batches, Order, Prefetch};
pub use dataset::{Dataset, ImageShape};
pub use error::{Error, ErrorKind, Result};
pub use fashion_mnist::{FashionMnist, Locations, Source};
