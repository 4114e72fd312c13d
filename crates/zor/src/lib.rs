#![doc = include_str!("../README.md")]

pub mod alignment;
pub mod autodiff;
pub mod baseline;
pub mod checkpoint;
pub mod color;
pub mod colorize;
pub mod comparison;
pub mod confusion;
pub mod edge;
pub mod images;
pub mod memory;
pub mod models;
pub mod options;
pub mod pace;
pub mod prelude;
pub mod run;
pub mod train;
#[cfg(feature = "flex")]
pub mod verify;
pub mod views;
pub mod warnings;

mod device;
mod early;
mod error;
mod names;
mod presets;
#[cfg(feature = "vulkan")]
mod vulkan;
mod whitening;

pub use device::{DeviceLine, check_precision, device, device_line, devices, named_device};
pub use error::{Error, ErrorKind, Result, escaped, shown};
pub use zor_core as core;
pub use zor_data as data;
pub use zor_io as io;
pub use zor_optim as optim;
