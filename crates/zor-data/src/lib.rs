#![doc = include_str!("../README.md")]

pub mod cifar10;
pub mod fashion_mnist;
#[cfg(feature = "images")]
pub mod folder;
pub mod idx;
pub mod npy;

mod augment;
mod batches;
mod dataset;
mod digest;
#[cfg(feature = "download")]
mod download;
mod error;
mod file;
#[cfg(feature = "images")]
mod jpeg;
mod locations;
#[cfg(feature = "images")]
mod picture;
#[cfg(feature = "download")]
mod proxy;
#[cfg(feature = "images")]
mod webp;

pub use augment::{Augment, Border, Canvas};
pub use batches::{Batch, Batches, Order, Prefetch};
pub use cifar10::Cifar10;
pub use dataset::{ClassMatch, Dataset, ImageShape};
pub use error::{Error, ErrorKind, Result};
pub use fashion_mnist::FashionMnist;
pub use locations::{Locations, Source};
#[cfg(feature = "images")]
pub use picture::Picture;
