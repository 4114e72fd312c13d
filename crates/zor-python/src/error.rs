//! Errors of Zor as Python exceptions.

use std::path::Path;

use pyo3::exceptions::{PyFileNotFoundError, PyKeyboardInterrupt, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use zor::ErrorKind;

pyo3::import_exception!(zor._error, Error);

/// Creates an exception with its kind.
pub(crate) fn of_kind(kind: &str, message: impl Into<String>) -> PyErr {
    let error = Error::new_err(message.into());
    // Without the attribute, the exception still has its message.
    Python::attach(|py| error.value(py).setattr(intern!(py, "kind"), kind).unwrap_or(()));
    error
}

/// Creates an exception for invalid input.
pub(crate) fn input(message: impl Into<String>) -> PyErr {
    of_kind("input", message)
}

/// Converts an error of any of Zor's crates.
pub(crate) fn exception(error: impl Into<zor::Error>) -> PyErr {
    let error: zor::Error = error.into();
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Diverged => of_kind("diverged", message),
        ErrorKind::Device => of_kind("device", message),
        ErrorKind::Download => of_kind("download", message),
        ErrorKind::FileSystem => PyOSError::new_err(message),
        ErrorKind::Interrupted => PyKeyboardInterrupt::new_err(message),
        _ => input(message),
    }
}

/// Converts an error about a file. A missing file has an exception of its own.
pub(crate) fn of_file(path: &Path, error: impl Into<zor::Error>) -> PyErr {
    match path.try_exists() {
        Ok(false) => PyFileNotFoundError::new_err(error.into().to_string()),
        _ => exception(error),
    }
}
