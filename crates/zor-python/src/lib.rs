//! `zor._zor`, the private extension module of the Python package `zor`.
//!
//! The package's Python modules have the public names; they turn every kind of array into NumPy
//! arrays of 32-bit floats, which this module lends to the network without a copy.
#![cfg(feature = "extension")]

mod activation;
mod arrays;
mod calls;
mod data;
mod detector;
mod error;
mod exit;
mod interrupt;
mod network;
mod optimizer;
mod sequences;
mod tasks;
mod threads;
mod translator;

/// The extension module.
#[pyo3::pymodule]
mod _zor {
    #[pymodule_export]
    use super::data::{load_images, load_sample};
    #[pymodule_export]
    use super::detector::Detector;
    #[pymodule_export]
    use super::exit::end;
    #[pymodule_export]
    use super::network::{Network, preset_rule};
    #[pymodule_export]
    use super::optimizer::Optimizer;
    #[pymodule_export]
    use super::sequences::Sequences;
    #[pymodule_export]
    use super::tasks::{command, task_names, train};
    #[pymodule_export]
    use super::threads::{after_fork, load_numpy, panic_for_tests, set_num_threads};
    #[pymodule_export]
    use super::translator::{Translator, score_translations};

    /// Version of the package.
    #[allow(non_upper_case_globals, reason = "the name that Python gives versions")]
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
