#![doc = include_str!("../README.md")]

pub mod backprop;
#[cfg(feature = "command")]
pub mod command;
pub mod devices;
pub mod export;
pub mod prelude;
pub mod report;
#[cfg(feature = "command")]
pub mod run;
pub mod settings;
#[cfg(feature = "command")]
pub mod svg;
pub mod task;
pub mod tasks;
pub mod training;
pub mod translation;

mod error;

#[cfg(feature = "command")]
pub use command::command;
pub use devices::{DeviceLine, check_precision, device, device_line, devices, named_device};
pub use error::{Error, ErrorKind, Result, escaped, shown};
pub use tasks::detection;
pub use zor_compile as compile;
pub use zor_core as core;
pub use zor_data as data;
pub use zor_io as io;
pub use zor_optim as optim;
