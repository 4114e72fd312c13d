//! The error type of this crate, and helpers for its messages.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

/// The result of an operation on data.
pub type Result<T> = std::result::Result<T, Error>;

/// An error. Its message names the file or address and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Wrong usage, or data that is missing or invalid.
    Input,
    /// A download failed from every address.
    Download,
    /// A file system operation failed.
    FileSystem,
}

impl Error {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Input, message: message.into() }
    }

    pub(crate) fn in_file(path: &Path, message: impl fmt::Display) -> Self {
        Self::input(format!("{}: {message}", shown(path)))
    }

    #[cfg(feature = "download")]
    pub(crate) fn download(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Download, message: message.into() }
    }

    pub(crate) fn file_system(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::FileSystem,
            message: format!("{}: cannot {doing}: {error}", shown(path)),
        }
    }

    /// The kind of this error.
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

/// Formats a path as one line of text: control characters and bytes that are not UTF-8 are escaped.
pub(crate) fn shown(path: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in path.as_ref().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character.is_control() {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Maximum number of names that a message lists.
const MAX_NAMES: usize = 12;
/// Maximum number of characters of a cell or name in a message.
const MAX_SHOWN: usize = 60;

/// Formats a cell or name for a message: quoted, on one line, and shortened.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("'{}...'", shown(&text[..end])),
        None => format!("'{}'", shown(text)),
    }
}

/// Formats a list of names for a message, shortened if there are many.
pub(crate) fn listed(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names = names.into_iter();
    let first = names.by_ref().take(MAX_NAMES).map(|name| quoted(name.as_ref()));
    let mut list: Vec<String> = first.collect();
    match names.count() {
        0 => {}
        more => list.push(format!("and {more} more")),
    }
    list.join(", ")
}

/// Formats a number of bytes with a decimal unit, such as `1.5 GB`.
pub(crate) fn in_words(bytes: u128) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let unit = (1..units.len()).rev().find(|&unit| bytes >= 1000u128.pow(unit as u32));
    match unit {
        Some(unit) => format!("{:.1} {}", bytes as f64 / 1000f64.powi(unit as i32), units[unit]),
        None => format!("{bytes} bytes"),
    }
}

/// Returns an empty vector with a capacity of exactly `size` values.
///
/// # Errors
/// When the allocation fails; the message names its size.
pub(crate) fn memory<T>(size: usize) -> std::result::Result<Vec<T>, String> {
    let mut values = Vec::new();
    values.try_reserve_exact(size).map_err(|_| {
        let bytes = size as u128 * size_of::<T>() as u128;
        format!("{} of memory are needed, more than is available", in_words(bytes))
    })?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bytes_that_are_no_text_are_escaped() {
        assert_eq!(shown("a b/\u{e9}.png"), "a b/\u{e9}.png");
        assert_eq!(shown("a\n\u{1b}[2J"), "a\\n\\u{1b}[2J");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(shown(OsStr::from_bytes(b"a\xff.png")), "a\\xff.png");
        }
    }

    #[test]
    fn numbers_of_bytes_have_a_unit() {
        let words = [0, 999, 1000, 30_000_000_000].map(in_words);
        assert_eq!(words, ["0 bytes", "999 bytes", "1.0 kB", "30.0 GB"]);
        assert!(memory::<u8>(usize::MAX).unwrap_err().contains("18.4 EB"));
    }
}
