#![doc = include_str!("../README.md")]

pub mod atomic;
pub mod file;
pub mod npz;
pub mod safetensors;

mod container;
mod description;
mod dtype;
mod error;
mod model;
mod registry;
#[cfg(test)]
#[cfg(feature = "flex")]
mod tests;

#[doc(hidden)]
pub use container::reseal;
pub use description::{Header, LayerRecord, Progress, Purpose, TensorRecord};
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result, closest, escaped, shown};
#[cfg(feature = "mmap")]
pub use model::load_mapped;
pub use model::{
    checkpoint_bytes, info, load, load_bytes, load_into, load_with, save, save_as, save_checkpoint,
    verify,
};
pub use registry::Registry;
