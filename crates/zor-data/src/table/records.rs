//! Records of a CSV stream (RFC 4180), read one at a time in constant memory.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, StdinLock};
use std::ops::Range;
use std::path::Path;

use csv_core::ReadRecordResult;

use crate::error::{Error, Result, quoted, shown};

/// Number of bytes read from the source at a time.
const CHUNK: usize = 1 << 17;
/// Maximum number of bytes of a record, and of the header line.
const MAX_BYTES: usize = 1 << 24;
/// Maximum number of cells of a record.
const MAX_CELLS: usize = 1 << 20;
/// Maximum number of columns.
const MAX_COLUMNS: usize = 1 << 16;
/// Byte order mark of UTF-8, which spreadsheets write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// A last record that is appended to detect a quote that is never closed.
const SENTINEL: &[u8] = b"\n\0";
/// Cells that mean a missing value, in lower case. An empty cell does too.
const MISSING: [&str; 6] = ["na", "n/a", "nan", "null", "none", "?"];

/// Reader of the records of a CSV stream, which may still be growing.
///
/// The delimiter (`,`, `;` or tab) is the most frequent one in the first line. Blank lines are
/// skipped.
#[derive(Debug)]
pub struct Records<R> {
    name: String,
    source: R,
    parser: csv_core::Reader,
    delimiter: u8,
    /// Bytes from the source; those in `unread` are not parsed yet.
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Whether the source has ended. The sentinel follows in the buffer.
    ended: bool,
    /// Whether the last record was returned.
    finished: bool,
    /// Whether a line of spaces is skipped. In a table of one column it is a missing value.
    skips_blank: bool,
    /// Line number of the next byte, and whether it follows a carriage return.
    line: u64,
    after_return: bool,
    /// Cells of the current record, concatenated, and the end of each cell.
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A record: a row of text cells.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) line: u64,
    pub(super) text: &'a str,
    /// Start of the first cell in the text, and the end of each cell.
    pub(super) start: usize,
    pub(super) ends: &'a [usize],
    pub(super) delimiter: u8,
}

impl Records<StdinLock<'static>> {
    /// Starts to read the standard input. Waits for the first line.
    ///
    /// # Errors
    /// As [`Records::new`].
    pub fn standard_input() -> Result<Self> {
        Self::new("standard input", io::stdin().lock())
    }
}

impl<R: Read> Records<R> {
    /// Starts to read a stream. The name is for messages. Waits for the first line.
    ///
    /// # Errors
    /// When the source cannot be read, or is UTF-16.
    pub fn new(name: &str, source: R) -> Result<Self> {
        let mut records = Self {
            name: shown(name),
            source,
            parser: csv_core::Reader::new(),
            delimiter: b',',
            buffer: Vec::new(),
            unread: 0..0,
            ended: false,
            finished: false,
            skips_blank: true,
            line: 1,
            after_return: false,
            text: vec![0; 1 << 12],
            ends: vec![0; 1 << 6],
        };
        while !has_line(&records.buffer[records.unread.clone()])
            && records.unread.len() < MAX_BYTES
            && !records.ended
        {
            records.fill()?;
        }
        let first = &records.buffer[records.unread.clone()];
        if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
            return Err(records.refused(1, "it is UTF-16; save it as UTF-8"));
        }
        if first.starts_with(BYTE_ORDER_MARK) {
            records.unread.start += BYTE_ORDER_MARK.len();
        }
        records.delimiter = delimiter(&records.buffer[records.unread.clone()]);
        records.parser = csv_core::ReaderBuilder::new().delimiter(records.delimiter).build();
        Ok(records)
    }

    /// Reads the header: the first record, as names of columns. Returns its line number too.
    ///
    /// # Errors
    /// When the stream is empty, a column has no name, two columns have one name, or there are more
    /// than 65,536 columns. The message names the line.
    pub fn header(&mut self) -> Result<(Vec<String>, u64)> {
        let Some(record) = self.read()? else {
            let message = "it is empty; a table starts with a header of column names";
            return Err(Error::input(format!("{}: {message}", self.name)));
        };
        let (n_columns, line) = (record.len(), record.line());
        if n_columns > MAX_COLUMNS {
            let message =
                format!("{n_columns} columns are too many; leave out all but {MAX_COLUMNS}");
            return Err(self.refused(line, &message));
        }
        let names: Vec<String> = (0..n_columns).map(|cell| record.text(cell).to_owned()).collect();
        match check_names(&names) {
            Err(message) => Err(self.refused(line, &message)),
            Ok(()) => {
                self.skips_blank = n_columns > 1;
                Ok((names, line))
            }
        }
    }

    /// Name of the stream, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if a whole line was read from the source and not returned yet, so that the next record
    /// does not wait for the source.
    pub fn has_unread_line(&self) -> bool {
        // After a carriage return, a line feed may be left of the line before.
        self.ended || has_line(&self.buffer[self.unread.clone()])
    }

    /// Reads the next record; `None` after the last one.
    ///
    /// # Errors
    /// When the source cannot be read. When the record is not UTF-8, is longer than 16 MiB, or has
    /// a quote that is never closed: then the next call continues with the record after it. The
    /// message names the line.
    pub fn read(&mut self) -> Result<Option<Record<'_>>> {
        let (line, n_bytes, n_cells) = loop {
            let Some(line) = self.start()? else { return Ok(None) };
            let (n_bytes, n_cells) = self.parse(line)?;
            if self.finished {
                // The sentinel is the last record, unless an open quote contains it.
                return match self.text[..n_bytes] == SENTINEL[1..] && n_cells == 1 {
                    true => Ok(None),
                    false => Err(self.refused(
                        line,
                        "a quote is opened in this row and never closed; close it, or double it \
                         inside a quoted cell",
                    )),
                };
            }
            let text = || std::str::from_utf8(&self.text[..n_bytes]);
            if !(self.skips_blank && n_cells == 1 && text().is_ok_and(|t| t.trim().is_empty())) {
                break (line, n_bytes, n_cells);
            }
        };
        let ends = &self.ends[..n_cells];
        let text = std::str::from_utf8(&self.text[..n_bytes]).ok();
        match text.filter(|text| ends.iter().all(|&end| text.is_char_boundary(end))) {
            Some(text) => {
                Ok(Some(Record { line, text, start: 0, ends, delimiter: self.delimiter }))
            }
            None => Err(self.refused(line, "it is not UTF-8; save it as UTF-8")),
        }
    }

    /// Skips line ends before a record and returns its line number; `None` at the end.
    fn start(&mut self) -> Result<Option<u64>> {
        loop {
            if self.finished {
                return Ok(None);
            }
            let unread = &self.buffer[self.unread.clone()];
            let n_blank = unread.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let has_more = n_blank < unread.len();
            self.consume(n_blank);
            if has_more {
                return Ok(Some(self.line));
            }
            self.fill()?;
        }
    }

    /// Parses a record into `text` and `ends`. Returns its number of bytes and of cells.
    fn parse(&mut self, line: u64) -> Result<(usize, usize)> {
        let (mut n_bytes, mut n_cells) = (0, 0);
        let mut is_too_long = false;
        loop {
            let input = &self.buffer[self.unread.clone()];
            let (result, read, written, ended) = self.parser.read_record(
                input,
                &mut self.text[n_bytes..],
                &mut self.ends[n_cells..],
            );
            self.consume(read);
            n_bytes += written;
            n_cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {
                    if self.unread.is_empty() && !self.ended {
                        self.fill()?;
                    }
                }
                ReadRecordResult::OutputFull if n_bytes < MAX_BYTES => {
                    self.text.resize(2 * self.text.len(), 0);
                }
                ReadRecordResult::OutputEndsFull if n_cells < MAX_CELLS => {
                    self.ends.resize(2 * self.ends.len(), 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    is_too_long = true;
                    (n_bytes, n_cells) = (0, 0);
                }
                ReadRecordResult::Record | ReadRecordResult::End => {
                    self.finished = self.ended && self.unread.is_empty();
                    break;
                }
            }
        }
        match is_too_long {
            false => Ok((n_bytes, n_cells)),
            true => Err(self.refused(
                line,
                &format!(
                    "the row is longer than {} MB or has more than {MAX_CELLS} cells; shorten it, \
                     or close an open quote",
                    MAX_BYTES >> 20
                ),
            )),
        }
    }

    /// Reads more bytes from the source, or appends the sentinel at its end.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let end = self.unread.end;
        if self.buffer.len() < end + CHUNK {
            self.buffer.resize(end + CHUNK, 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read =
            read.map_err(|error| Error::file_system(Path::new(&self.name), "read it", &error))?;
        self.unread.end += read;
        if read == 0 {
            self.ended = true;
            self.buffer[end..end + SENTINEL.len()].copy_from_slice(SENTINEL);
            self.unread.end += SENTINEL.len();
        }
        Ok(())
    }

    /// Moves past bytes and counts their line ends (`\n`, `\r` or `\r\n`).
    fn consume(&mut self, n: usize) {
        let start = self.unread.start;
        let bytes = &self.buffer[start..start + n];
        self.line += line_ends(bytes, self.after_return);
        if let Some(last) = bytes.last() {
            self.after_return = *last == b'\r';
        }
        self.unread.start += n;
    }

    /// Returns an error about a line.
    pub(super) fn refused(&self, line: u64, message: &str) -> Error {
        Error::input(format!("{}, line {line}: {message}", self.name))
    }
}

impl<'a> Record<'a> {
    /// Line number in the stream, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are no cells.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Text of a cell, trimmed; empty if the index is out of range.
    pub fn text(&self, index: usize) -> &'a str {
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = if index == 0 { self.start } else { self.ends[index - 1] };
        let text = self.text.get(start..end).unwrap_or_default();
        match text.as_bytes() {
            // Most cells have nothing to trim.
            [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
            _ => text.trim(),
        }
    }

    /// Text of a cell, trimmed. `None` if the value is missing: the cell is empty, `NA`, `N/A`,
    /// `NaN`, `null`, `None` or `?` in any case, or out of range.
    pub fn cell(&self, index: usize) -> Option<&'a str> {
        Some(self.text(index)).filter(|cell| !is_missing(cell))
    }

    /// True if the decimal point of numbers may be a comma, because the delimiter is another
    /// character.
    pub fn has_decimal_comma(&self) -> bool {
        self.delimiter != b','
    }

    /// The delimiter of the cells, for messages.
    pub(super) fn delimiter(&self) -> std::char::EscapeDefault {
        char::from(self.delimiter).escape_default()
    }
}

/// True if a trimmed cell means a missing value.
fn is_missing(cell: &str) -> bool {
    cell.is_empty()
        || cell.len() <= 4 && MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// Parses a number. `None` if it is not a number, or is not finite as `f32`. The decimal point may
/// be a comma if `decimal_comma`.
pub(super) fn number(cell: &str, decimal_comma: bool) -> Option<f64> {
    let comma = || cell.split_once(',').filter(|_| !cell.contains('.'));
    let number: f64 = match decimal_comma.then(comma).flatten() {
        Some((whole, fraction)) => format!("{whole}.{fraction}").parse().ok()?,
        None => cell.parse().ok()?,
    };
    (number as f32).is_finite().then_some(number)
}

/// Counts line ends (`\n`, `\r` or `\r\n`). A `\n` at the start is none after a carriage return.
fn line_ends(bytes: &[u8], after_return: bool) -> u64 {
    let count = |byte: u8| bytes.iter().filter(|&&other| other == byte).count();
    let (feeds, returns) = (count(b'\n'), count(b'\r'));
    let pairs = match returns {
        0 => 0,
        _ => bytes.windows(2).filter(|pair| pair == b"\r\n").count(),
    };
    let split = usize::from(after_return && bytes.first() == Some(&b'\n'));
    (feeds + returns - pairs - split) as u64
}

/// True if there is a line end after a line that is not blank.
fn has_line(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
    start.is_some_and(|start| bytes[start..].iter().any(|byte| matches!(byte, b'\n' | b'\r')))
}

/// Returns the most frequent delimiter outside quotes in the first line that is not blank; a comma
/// if it has none.
fn delimiter(bytes: &[u8]) -> u8 {
    const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
    let mut counts = [0usize; DELIMITERS.len()];
    let (mut in_quotes, mut before) = (false, b',');
    let mut is_blank = true;
    for &byte in bytes {
        let place = DELIMITERS.iter().position(|&delimiter| delimiter == byte);
        match (byte, place) {
            (b'"', _) if in_quotes || before == b'"' || DELIMITERS.contains(&before) => {
                in_quotes = !in_quotes;
            }
            (b'\n' | b'\r', _) if !in_quotes && is_blank => {
                before = b',';
                continue;
            }
            (b'\n' | b'\r', _) if !in_quotes => break,
            (_, Some(place)) if !in_quotes => counts[place] += 1,
            _ => {}
        }
        is_blank &= byte == b' ';
        before = byte;
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let first = DELIMITERS.iter().zip(counts).find(|(_, count)| *count == most);
    first.map_or(b',', |(&delimiter, _)| delimiter)
}

/// Checks that every column has a name, and that names differ.
pub(super) fn check_names(names: &[String]) -> std::result::Result<(), String> {
    let mut places = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        let number = index + 1;
        if name.is_empty() {
            return Err(format!("column {number} has no name; name it, or remove the column"));
        }
        if let Some(first) = places.insert(name, number) {
            return Err(format!(
                "columns {first} and {number} are both named {}; rename one",
                quoted(name)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that returns a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// Reads all records as `LINE: CELL|CELL`, and errors as their messages.
    fn all(source: impl Read) -> Vec<String> {
        let mut records = Records::new("t.csv", source).unwrap();
        let mut found = Vec::new();
        loop {
            match records.read() {
                Ok(None) => return found,
                Ok(Some(record)) => {
                    let cells: Vec<&str> =
                        (0..record.len()).map(|cell| record.text(cell)).collect();
                    found.push(format!("{}: {}", record.line(), cells.join("|")));
                }
                Err(error) => found.push(error.to_string()),
            }
        }
    }

    #[test]
    fn the_size_of_the_chunks_does_not_matter() {
        let text = b"\xef\xbb\xbf\r\n a;b\r\n1;\"x\r\ny\"\r\r\n\xc3\xa9;2\n\n\xff;4\r\n5;6";
        let expected = [
            "2: a|b",
            "3: 1|x\r\ny",
            "6: \u{e9}|2",
            "t.csv, line 8: it is not UTF-8; save it as UTF-8",
            "9: 5|6",
        ];
        for size in [1, 2, 3, 7, 100] {
            assert_eq!(all(Drops(text, size)), expected, "{size}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_skipped() {
        let mut text = b"a,b\n".to_vec();
        text.resize(3 * MAX_BYTES, b'1');
        text.extend(b",2\n3,4\n5,\"6");
        let found = all(&text[..]);
        assert_eq!((found.len(), &found[0][..], &found[2][..]), (4, "1: a|b", "3: 3|4"));
        assert!(
            found[1].starts_with("t.csv, line 2: the row is longer than 16 MB"),
            "{}",
            found[1]
        );
        assert!(found[3].starts_with("t.csv, line 4: a quote is opened"), "{}", found[3]);
        let cells = [&b"a\n"[..], &b",".repeat(2 * MAX_CELLS), b"\n1\n"].concat();
        let found = all(&cells[..]);
        assert!(found[1].contains("line 2: the row is longer"), "{}", found[1]);
        assert_eq!(found[2], "3: 1");
    }

    #[test]
    fn a_record_is_returned_before_the_source_has_more() {
        /// Returns one line, and fails if it is asked for more.
        struct Once(bool);
        impl Read for Once {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                assert!(!std::mem::replace(&mut self.0, true), "a second read");
                buffer[..8].copy_from_slice(b"a,b\n1,2\n");
                Ok(8)
            }
        }
        let mut records = Records::new("-", Once(false)).unwrap();
        assert_eq!(records.header().unwrap(), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert!(records.has_unread_line());
        assert_eq!(records.read().unwrap().unwrap().cell(1), Some("2"));
        assert!(!records.has_unread_line());
    }
}
