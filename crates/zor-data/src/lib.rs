#![doc = include_str!("../README.md")]

pub mod cifar10;
pub mod fashion_mnist;
pub mod idx;

mod augment;
mod batches;
mod dataset;
mod digest;
#[cfg(feature = "download")]
mod download;
mod error;
mod locations;

pub use augment::{Augment, Canvas};
pub use batches::{Batch, Batches, Order, Prefetch};
pub use cifar10::Cifar10;
pub use dataset::{Dataset, ImageShape};
pub use error::{Error, ErrorKind, Result};
pub use fashion_mnist::FashionMnist;
pub use locations::{Locations, Source};
