#![doc = include_str!("../README.md")]

pub mod fetch;
pub mod table;
pub mod text;
pub mod vision;

mod batches;
mod error;
mod examples;
mod file;
mod hexadecimal;
mod in_memory;
mod numpy;
mod prefetch;
mod weighted;

pub use batches::{Batches, Order};
pub use error::{Error, ErrorKind, Result};
pub use examples::{Batch, Draw, Examples, Values, members_of_classes};
pub use fetch::{Locations, Source};
pub use in_memory::InMemory;
pub use prefetch::Prefetch;
pub use vision::{
    Augment, Augmented, Border, Canvas, Cifar10, ClassMatch, FashionMnist, ImageShape, Images,
    Reading, Size, cifar10, fashion_mnist, idx, npy,
};
#[cfg(feature = "images")]
pub use vision::{Picture, folder};
pub use weighted::ClassWeighted;
