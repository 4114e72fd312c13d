//! Labelled images: data sets, file formats and data augmentation.

pub(crate) mod augment;
pub mod cifar10;
pub mod fashion_mnist;
#[cfg(feature = "images")]
pub mod folder;
pub mod idx;
pub(crate) mod images;
#[cfg(feature = "images")]
mod jpeg;
pub mod npy;
#[cfg(feature = "images")]
pub(crate) mod picture;
pub(crate) mod reading;
#[cfg(feature = "images")]
mod webp;

pub use augment::{Augment, Augmented, Border, Canvas};
pub use cifar10::Cifar10;
pub use fashion_mnist::FashionMnist;
pub use images::{ClassMatch, ImageShape, Images};
#[cfg(feature = "images")]
pub use picture::Picture;
pub use reading::{Reading, Size};
