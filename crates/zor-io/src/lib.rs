#![doc = include_str!("../README.md")]

pub mod atomic;

mod error;
mod model;
mod registry;

pub use error::{Error, ErrorKind, Result};
pub use model::{Header, LayerRecord, TensorRecord, info, load, load_with, save};
pub use registry::Registry;
