//! The error type of this crate, with the exit code for commands.

use std::fmt;
use std::path::Path;

pub use zor_io::{escaped, shown};

/// Result with Zor's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error from any of Zor's crates. The message gives the location of the problem and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Invalid usage, settings or data.
    Input,
    /// Training diverged: a value became infinite or NaN.
    Diverged,
    /// Failed download.
    Download,
    /// File system error.
    FileSystem,
    /// Missing or failed device.
    Device,
    /// Interrupted by the user.
    Interrupted,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error for invalid usage, settings or data.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// An error for invalid data in a file or folder.
    pub fn in_file(path: &Path, message: impl fmt::Display) -> Self {
        Self::input(format!("{}: {message}", shown(path)))
    }

    /// A file system error at a path; the message is `PATH: cannot DOING: ERROR`.
    pub fn file_system(path: &Path, doing: &str, error: &dyn fmt::Display) -> Self {
        let message = format!("{}: cannot {doing}: {error}", shown(path));
        Self::new(ErrorKind::FileSystem, message)
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Appends a remedy to the message.
    #[must_use]
    pub fn with_advice(self, advice: impl fmt::Display) -> Self {
        Self { message: format!("{}; {advice}", self.message), ..self }
    }

    /// Prepends a location to the message.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// Returns the exit code: 2 for invalid usage or input, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        if self.kind == ErrorKind::Input { 2 } else { 1 }
    }

    fn from_source(
        kind: ErrorKind,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, message: source.to_string(), source: Some(Box::new(source)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<zor_core::Error> for Error {
    fn from(error: zor_core::Error) -> Self {
        let kind = match error.kind() {
            zor_core::ErrorKind::Device => ErrorKind::Device,
            zor_core::ErrorKind::NotFinite => ErrorKind::Diverged,
            _ => ErrorKind::Input,
        };
        Self::from_source(kind, error)
    }
}

impl From<zor_io::Error> for Error {
    fn from(error: zor_io::Error) -> Self {
        let kind = match error.kind() {
            zor_io::ErrorKind::FileSystem => ErrorKind::FileSystem,
            _ => ErrorKind::Input,
        };
        Self::from_source(kind, error)
    }
}

impl From<zor_data::Error> for Error {
    fn from(error: zor_data::Error) -> Self {
        let kind = match error.kind() {
            zor_data::ErrorKind::Download => ErrorKind::Download,
            zor_data::ErrorKind::FileSystem => ErrorKind::FileSystem,
            _ => ErrorKind::Input,
        };
        Self::from_source(kind, error)
    }
}

/// Maximum number of names in a message.
const NAMED: usize = 10;

/// Joins the first names, followed by the number of the others.
pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| escaped(name.as_ref())).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_training_that_diverged_is_no_wrong_usage() {
        let error = Error::from(zor_core::Error::not_finite("the error is NaN"));
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Diverged, 1));
        assert_eq!(Error::from(zor_core::Error::shape("no")).exit_code(), 2);
        assert_eq!(Error::from(zor_core::Error::device("lost")).exit_code(), 1);
    }

    #[test]
    fn an_error_keeps_its_source() {
        let error = Error::from(zor_core::Error::setting("a wrong setting"));
        assert!(error.source().is_some_and(|source| source.to_string() == "a wrong setting"));
        assert!(Error::input("a message").source().is_none());
    }

    #[test]
    fn control_characters_of_a_name_are_escaped() {
        assert_eq!(shown(Path::new("a\n\u{1b}[2J.png")), "a\\n\\u{1b}[2J.png");
        assert_eq!(shown(Path::new("é b.png")), "é b.png");
    }
}
