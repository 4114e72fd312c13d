//! Errors of building and running networks.

use std::fmt;

/// Result of an operation on networks.
pub type Result<T> = std::result::Result<T, Error>;

/// An error; its message names the place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting with which no network can be built or trained.
    Setting,
    /// A tensor or a layer whose shape does not fit its neighbour.
    Shape,
    /// A value that is not a finite number.
    NotFinite,
    /// A device that was lost or has run out of memory.
    Device,
    /// A build that exceeds a memory limit.
    Memory,
}

impl Error {
    /// An invalid setting.
    pub fn setting(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Setting, message: message.into() }
    }

    /// Shapes that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Shape, message: message.into() }
    }

    /// Values that are NaN or infinite.
    pub fn not_finite(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotFinite, message: message.into() }
    }

    /// A device that was lost or has run out of memory.
    pub fn device(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Device, message: message.into() }
    }

    /// A build that exceeds a memory limit.
    pub fn memory(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Memory, message: message.into() }
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Prefixes the message with the place where the error happened.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
