//! What can go wrong in building or running a network.

use std::fmt;

/// The result of an operation on networks.
pub type Result<T> = std::result::Result<T, Error>;

/// An error whose message says where it happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting that no network can be built or trained with.
    Setting,
    /// A tensor or a layer of another shape than its neighbour.
    Shape,
    /// A value that is not a finite number.
    NotFinite,
    /// A device that does not answer.
    Device,
    /// More memory than a limit allows.
    Memory,
}

impl Error {
    /// An error for a setting that cannot be used.
    pub fn setting(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Setting, message: message.into() }
    }

    /// An error for shapes that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Shape, message: message.into() }
    }

    /// An error for values that are NaN or infinite.
    pub fn not_finite(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotFinite, message: message.into() }
    }

    /// An error of a device that was lost, or ran out of memory.
    pub fn device(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Device, message: message.into() }
    }

    /// An error for what needs more memory than a limit allows.
    pub fn memory(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Memory, message: message.into() }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error, its message preceded by the place where it happened.
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
