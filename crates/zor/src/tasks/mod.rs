//! The built-in tasks, one per file, and their lookup by name.
//!
//! The `zor` command finds tasks in [`TASKS`] and those that a program passes to `zor::command`.

pub mod cifar_classification;
pub mod cifar_colorization;
pub mod cifar_reconstruction;
pub mod classification;
pub mod colorization;
pub mod detection;
pub mod fashion_classification;
pub mod fashion_reconstruction;
pub mod parts;
pub mod reconstruction;
pub mod table;
pub mod translation;

mod named;
mod saved;

pub use named::{add, all, named, names};
pub use saved::plan_of;

use crate::task::Task;

/// All built-in tasks.
pub static TASKS: &[&dyn Task] = &[
    &reconstruction::RECONSTRUCTION,
    &classification::CLASSIFICATION,
    &colorization::COLORIZATION,
    &fashion_reconstruction::FASHION_RECONSTRUCTION,
    &fashion_classification::FASHION_CLASSIFICATION,
    &cifar_reconstruction::CIFAR_RECONSTRUCTION,
    &cifar_colorization::CIFAR_COLORIZATION,
    &cifar_classification::CIFAR_CLASSIFICATION,
    &table::TABLE,
    &detection::DETECTION,
    &translation::TRANSLATION,
];
