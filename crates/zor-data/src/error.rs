//! What can go wrong with data.

use std::fmt;
use std::path::Path;

/// The result of an operation on data.
pub type Result<T> = std::result::Result<T, Error>;

/// An error whose message names the file or address, and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Wrong usage, or data that is missing or not as it should be.
    Input,
    /// A download failed.
    Network,
    /// The file system refused.
    FileSystem,
}

impl Error {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Input, message: message.into() }
    }

    pub(crate) fn in_file(path: &Path, message: impl fmt::Display) -> Self {
        Self::input(format!("{}: {message}", path.display()))
    }

    #[cfg(feature = "download")]
    pub(crate) fn network(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Network, message: message.into() }
    }

    pub(crate) fn file_system(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::FileSystem,
            message: format!("{}: cannot {doing}: {error}", path.display()),
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
