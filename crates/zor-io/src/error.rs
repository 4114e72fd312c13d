//! What can go wrong with files.

use std::fmt;
use std::path::Path;

/// The result of an operation on files.
pub type Result<T> = std::result::Result<T, Error>;

/// An error whose message names the file and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The contents are not what was expected, or the file is not there.
    Input,
    /// The file system refused.
    FileSystem,
}

impl Error {
    pub(crate) fn input(path: &Path, message: impl fmt::Display) -> Self {
        Self { kind: ErrorKind::Input, message: format!("{}: {message}", path.display()) }
    }

    pub(crate) fn file_system(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::FileSystem,
            message: format!("{}: cannot {doing}: {error}", path.display()),
        }
    }

    /// What cannot be done with a network, whatever file it is from.
    pub(crate) fn unsupported(message: String) -> Self {
        Self { kind: ErrorKind::Input, message }
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
