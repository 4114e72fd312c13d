//! The error type of this crate.

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

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not exist, its contents are not as expected, or the network is not supported.
    Input,
    /// An operation of the file system failed.
    FileSystem,
}

impl Error {
    /// An error about the contents of a file. The message starts with the path.
    pub fn input(path: &Path, message: impl fmt::Display) -> Self {
        let message = escaped(&message.to_string());
        Self { kind: ErrorKind::Input, message: format!("{}: {message}", shown(path)) }
    }

    pub(crate) fn file_system(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::FileSystem,
            message: format!("{}: cannot {doing}: {error}", shown(path)),
        }
    }

    /// An error about a network that a format does not support, without a path.
    pub fn unsupported(message: String) -> Self {
        Self { kind: ErrorKind::Input, message: escaped(&message) }
    }

    /// Returns the kind of the error.
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

/// Returns a path for a message, with control characters and marks of direction escaped.
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// Returns text for a message, with control characters, line separators and marks of direction
/// escaped as `\n` or `\u{1b}`.
pub fn escaped(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Returns the known name closest to a mistyped one, or `None` if none is close.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity, in [0, 1], above which a name counts as a typing error.
    const CLOSE: f64 = 0.8;
    let rated = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let closest = rated.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(rate, _)| *rate > CLOSE);
    closest.map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_paths_and_messages_are_escaped() {
        let path = Path::new("a\n\u{1b}[2J\u{202e}é b.zor");
        let error = Error::input(path, "no tensor \r\u{7}x").to_string();
        assert_eq!(error, "a\\n\\u{1b}[2J\\u{202e}é b.zor: no tensor \\r\\u{7}x");
        let cause = std::io::Error::other("broken");
        let error = Error::file_system(path, "read it", &cause).to_string();
        assert_eq!(error, "a\\n\\u{1b}[2J\\u{202e}é b.zor: cannot read it: broken");
        assert_eq!(Error::unsupported("kind 'a\tb'".to_owned()).to_string(), "kind 'a\\tb'");
    }
}
