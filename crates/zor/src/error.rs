//! One error for everything that the facade does, with the exit code that a command should end with.

use std::fmt;

/// The result of an operation of the facade.
pub type Result<T> = std::result::Result<T, Error>;

/// An error from any of Zor's crates. Its message names the place and the remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Wrong usage, settings or data.
    Input,
    /// The network failed.
    Network,
    /// The file system refused.
    FileSystem,
    /// A device is not there or failed.
    Device,
    /// The user interrupted the work.
    Interrupted,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Wrong usage, settings or data.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// 2 for wrong usage or input, 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        if self.kind == ErrorKind::Input { 2 } else { 1 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<zor_core::Error> for Error {
    fn from(error: zor_core::Error) -> Self {
        let kind = match error.kind() {
            zor_core::ErrorKind::Device => ErrorKind::Device,
            _ => ErrorKind::Input,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<zor_io::Error> for Error {
    fn from(error: zor_io::Error) -> Self {
        let kind = match error.kind() {
            zor_io::ErrorKind::FileSystem => ErrorKind::FileSystem,
            _ => ErrorKind::Input,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<zor_data::Error> for Error {
    fn from(error: zor_data::Error) -> Self {
        let kind = match error.kind() {
            zor_data::ErrorKind::Network => ErrorKind::Network,
            zor_data::ErrorKind::FileSystem => ErrorKind::FileSystem,
            _ => ErrorKind::Input,
        };
        Self::new(kind, error.to_string())
    }
}
