//! Lines of a text file, read one at a time in bounded memory.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result, in_words, shown};

/// Number of bytes read from the source at a time.
const CHUNK: usize = 1 << 17;
/// Maximum number of bytes of a line with its end.
const MAX_LINE: u64 = 1 << 20;
/// Maximum number of lines of a file.
const MAX_LINES: u64 = 1 << 24;
/// Maximum number of bytes of a file.
const MAX_BYTES: u64 = 1 << 32;

/// Reader of the lines of a text in UTF-8.
///
/// A line ends with `\n` or `\r\n`, in any mixture. A file whose start has `\r` and no `\n` has
/// lines that end with `\r`. In other files a single `\r` does not end a line: one that strayed
/// into a sentence would shift all pairs after it.
#[derive(Debug)]
pub(super) struct Lines<R> {
    name: String,
    source: BufReader<R>,
    /// Last byte of a line end; unknown before the first line.
    end: Option<u8>,
    line: String,
    number: u64,
    n_bytes: u64,
}

impl<R: Read> Lines<R> {
    /// Lines of a source. The name is for messages.
    pub(super) fn new(name: &str, source: R) -> Self {
        let source = BufReader::with_capacity(CHUNK, source);
        let (end, line) = (None, String::new());
        Self { name: shown(name), source, end, line, number: 0, n_bytes: 0 }
    }

    /// Reads the next line, without its end; `None` after the last one.
    ///
    /// # Errors
    /// When the source cannot be read, or the line is longer than 1 MiB or is not UTF-8. When the
    /// file has more than 16,777,216 lines or 4 GiB. The message names file and line.
    pub(super) fn read(&mut self) -> Result<Option<&str>> {
        Ok(self.advance()?.then(|| self.text()))
    }

    /// Reads the next line that is not blank, without its end; `None` after the last one.
    ///
    /// # Errors
    /// As [`Lines::read`].
    pub(super) fn read_text(&mut self) -> Result<Option<&str>> {
        while self.advance()? {
            if !self.text().trim().is_empty() {
                return Ok(Some(self.text()));
            }
        }
        Ok(None)
    }

    /// Name of the file, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Number of the last line, from 1; after the last line, the number of lines.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Returns an error about the last line.
    pub(super) fn refused(&self, message: &str) -> Error {
        Error::input(format!("{}, line {}: {message}", self.name, self.number))
    }

    /// Returns the last byte of line ends, from the start of the source.
    fn line_end(&mut self) -> Result<u8> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let start = loop {
            match self.source.fill_buf() {
                Ok(start) => break start,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&self.name, &error)),
            }
        };
        let end = match start.contains(&b'\r') && !start.contains(&b'\n') {
            true => b'\r',
            false => b'\n',
        };
        self.end = Some(end);
        Ok(end)
    }

    /// Reads the next line. Returns false after the last one.
    fn advance(&mut self) -> Result<bool> {
        let end = self.line_end()?;
        let mut line = std::mem::take(&mut self.line).into_bytes();
        line.clear();
        let read = (&mut self.source).take(MAX_LINE + 1).read_until(end, &mut line);
        let read = read.map_err(|error| unreadable(&self.name, &error))? as u64;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        self.n_bytes += read;
        if read > MAX_LINE {
            let most = in_words(u128::from(MAX_LINE));
            let message = format!("the line is longer than {most}; write one sentence a line");
            return Err(self.refused(&message));
        }
        if self.number > MAX_LINES || self.n_bytes > MAX_BYTES {
            let most = in_words(u128::from(MAX_BYTES));
            let message = format!("it has over {MAX_LINES} lines or {most}; keep fewer lines");
            return Err(self.refused(&message));
        }
        while let Some(b'\n' | b'\r') = line.last() {
            line.pop();
        }
        self.line = String::from_utf8(line).map_err(|error| {
            let bytes = error.as_bytes();
            let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
            match self.number == 1 && is_utf16 {
                true => self.refused("it is UTF-16; save it as UTF-8"),
                false => Error::input(format!(
                    "{}, line {}, byte {}: it is not UTF-8; save it as UTF-8",
                    self.name,
                    self.number,
                    error.utf8_error().valid_up_to() + 1
                )),
            }
        })?;
        Ok(true)
    }

    /// Text of the last line. The first line may start with a byte order mark, which is left out.
    fn text(&self) -> &str {
        match self.number {
            1 => self.line.trim_start_matches('\u{feff}'),
            _ => &self.line,
        }
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Error {
    Error::file_system(Path::new(name), "read it", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new("a.txt", bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.read().unwrap() {
            all.push(line.to_owned());
        }
        assert_eq!((lines.number(), lines.read().unwrap()), (all.len() as u64, None));
        all
    }

    fn refused(bytes: impl Read, expected: &str) {
        let mut lines = Lines::new("a.txt", bytes);
        let error = loop {
            match lines.read() {
                Ok(line) => assert!(line.is_some()),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn line_ends_of_all_kinds_are_understood() {
        assert_eq!(all(b"a\nb\r\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(all(b"a\r\r\nb\n"), ["a", "b"]);
        assert_eq!(all(b"a\rb\r\rc\r"), ["a", "b", "", "c"]);
        assert_eq!(all(b"a\rb\nc"), ["a\rb", "c"]);
        assert_eq!(all(b"\xef\xbb\xbfa\n"), ["a"]);
        assert_eq!(all(b"\n"), [""]);
        assert!(all(b"").is_empty());
    }

    #[test]
    fn lines_longer_than_the_buffer_are_whole() {
        let long = "é".repeat(CHUNK);
        assert_eq!(all(format!("{long}\n{long}").as_bytes()), [long.clone(), long]);
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_place() {
        refused(&b"a\nb\xffc\n"[..], "a.txt, line 2, byte 2: it is not UTF-8; ");
        refused(&b"\xff\xfea\0\n\0"[..], "a.txt, line 1: it is UTF-16; ");
        // A character cut off at the end of the file.
        refused(&b"a\xf0\x9f"[..], "a.txt, line 1, byte 2: it is not UTF-8");
        // A surrogate, and an overlong slash.
        refused(&b"\xed\xa0\x80"[..], "a.txt, line 1, byte 1: it is not UTF-8");
        refused(&b"a\n\n\xc0\xaf"[..], "a.txt, line 3, byte 1: it is not UTF-8");
    }

    #[test]
    fn an_endless_line_and_endless_lines_take_little_memory() {
        refused(std::io::repeat(b'a'), "a.txt, line 1: the line is longer than 1.0 MB");
        refused(std::io::repeat(b'\n'), "a.txt, line 16777217: it has over 16777216 lines");
    }

    #[test]
    fn a_source_that_fails_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is gone"))
            }
        }
        refused(Broken, "a.txt: cannot read it: the disk is gone");
    }
}
