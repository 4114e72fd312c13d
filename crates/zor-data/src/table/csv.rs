//! Tables of text cells, from CSV files with a header (RFC 4180).

use std::collections::HashMap;
use std::io::{Chain, Read};
use std::path::Path;
use std::sync::Arc;

use csv::{Reader, ReaderBuilder, StringRecord};

use crate::error::{Error, Result, shown};
use crate::file;
use crate::table::{listed, quoted};

/// Cells that mean a missing value, in lower case. An empty cell does too.
const MISSING: [&str; 6] = ["na", "n/a", "nan", "null", "none", "?"];
/// Maximum number of columns.
const MAX_COLUMNS: usize = 1 << 16;
/// Byte order mark of UTF-8, which spreadsheets write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// A last record that is appended to detect a quote that is never closed.
const SENTINEL: &[u8] = b"\n\0";

/// A table of text cells with named columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    name: String,
    columns: Arc<[String]>,
    /// Concatenated cells, row-major. A missing cell is empty.
    text: String,
    /// End of each cell in `text`.
    ends: Vec<usize>,
    /// Line number of each row in the file.
    lines: Vec<u64>,
    decimal_comma: bool,
}

impl Table {
    /// Reads a CSV file with a header. The delimiter (`,`, `;` or tab) is the most frequent one in
    /// the header.
    ///
    /// # Errors
    /// When the file is missing, empty or not UTF-8, has no rows below its header, a row is longer
    /// or shorter than the header, or two columns have the same name or one has none. The message
    /// names file and line.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&shown(path), &file::read(path)?)
    }

    /// Parses the contents of a CSV file. The name is for messages.
    ///
    /// # Errors
    /// Those of [`Table::read`], except for a missing file.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let name = shown(name);
        let refused = |message: String| Error::input(format!("{name}{message}"));
        let bytes = text(bytes).map_err(refused)?;
        let delimiter = delimiter(bytes);
        let mut records = Records::new(bytes, delimiter);
        let mut record = StringRecord::new();
        let line = loop {
            match records.next(&mut record).map_err(refused)? {
                Some(_) if is_blank(&record) => {}
                Some(line) => break line,
                None => {
                    let message = ": it is empty; a table starts with a header of column names";
                    return Err(refused(message.to_owned()));
                }
            }
        };
        if record.len() > MAX_COLUMNS {
            return Err(refused(format!(
                ", line {line}: {} columns are too many; leave out all but {MAX_COLUMNS}",
                record.len()
            )));
        }
        let columns: Arc<[String]> = record.iter().map(|cell| cell.trim().to_owned()).collect();
        check_names(&columns).map_err(|message| refused(format!(", line {line}: {message}")))?;
        let mut table = Self {
            name: name.clone(),
            columns,
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
            decimal_comma: delimiter != b',',
        };
        let short = |_| refused(": not enough memory for the table; split the file".to_owned());
        table.text.try_reserve_exact(bytes.len()).map_err(short)?;
        while let Some(line) = records.next(&mut record).map_err(refused)? {
            let n_columns = table.columns.len();
            if n_columns > 1 && is_blank(&record) {
                continue;
            }
            if record.len() != n_columns {
                return Err(refused(format!(
                    ", line {line}: it has {} cells and the header has {n_columns} columns; add or \
                     remove cells, and quote those that contain '{}'",
                    record.len(),
                    char::from(delimiter).escape_default()
                )));
            }
            table.ends.try_reserve(n_columns).map_err(short)?;
            for cell in &record {
                let cell = cell.trim();
                if !MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing)) {
                    table.text.push_str(cell);
                }
                table.ends.push(table.text.len());
            }
            table.lines.push(line);
        }
        if table.is_empty() {
            return Err(refused(format!(
                ", line {line}: there are no rows below the header; the first line has the names of \
                 the columns"
            )));
        }
        Ok(table)
    }

    /// Name of the file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Text of a cell, trimmed. `None` if the value is missing: the cell is empty, `NA`, `N/A`,
    /// `NaN`, `null`, `None` or `?` in any case, or out of range.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        if column >= self.columns.len() {
            return None;
        }
        let index = row.checked_mul(self.columns.len())?.checked_add(column)?;
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.text.get(start..end).filter(|cell| !cell.is_empty())
    }

    /// Number in a cell. `None` if the cell is missing, or is not a number that is finite as `f32`.
    /// Where the delimiter is `;` or a tab, the decimal point may be a comma.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        let cell = self.cell(row, column)?;
        let number: f64 = match cell.split_once(',') {
            Some((whole, fraction)) if self.decimal_comma && !cell.contains('.') => {
                format!("{whole}.{fraction}").parse().ok()?
            }
            _ => cell.parse().ok()?,
        };
        (number as f32).is_finite().then_some(number)
    }

    /// Line number of a row in the file, from 1; 0 if the row is out of range.
    pub fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or_default()
    }

    /// Index of a column, if there is one of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Index of a column that must exist.
    ///
    /// # Errors
    /// When there is no column of this name. The message lists the columns.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.column(name).ok_or_else(|| {
            Error::input(format!(
                "{}: there is no column {}; add it or correct the name: the columns are {}",
                self.name,
                quoted(name),
                listed(&self.columns)
            ))
        })
    }

    /// Returns the rows with these indices, in the order of the indices.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let mut table = Self {
            name: self.name.clone(),
            columns: self.columns.clone(),
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
            decimal_comma: self.decimal_comma,
        };
        for &row in rows {
            self.check_row(row)?;
            for column in 0..self.columns.len() {
                table.text.push_str(self.cell(row, column).unwrap_or_default());
                table.ends.push(table.text.len());
            }
            table.lines.push(self.line(row));
        }
        Ok(table)
    }

    /// Checks that a row is in range.
    pub(super) fn check_row(&self, row: usize) -> Result<()> {
        match row < self.len() {
            true => Ok(()),
            false => Err(Error::input(format!(
                "{}: there is no row {row}; it has {} rows",
                self.name,
                self.len()
            ))),
        }
    }

    /// Returns an error about a cell, which names file, line and column.
    pub(super) fn refused(&self, row: usize, column: usize, message: &str) -> Error {
        let name = self.columns.get(column).map(|name| quoted(name)).unwrap_or_default();
        Error::input(format!("{}, line {}, column {name}: {message}", self.name, self.line(row)))
    }

    /// Returns an error about a column, which names file and column.
    pub(super) fn refused_column(&self, column: usize, message: &str) -> Error {
        let name = self.columns.get(column).map(|name| quoted(name)).unwrap_or_default();
        Error::input(format!("{}, column {name}: {message}", self.name))
    }
}

/// Iterator over the records of a file and their line numbers.
struct Records<'a> {
    bytes: &'a [u8],
    reader: Reader<Chain<&'a [u8], &'static [u8]>>,
    /// Number of bytes whose line ends are counted, and the line number of the next byte.
    counted: usize,
    line: u64,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes.chain(SENTINEL));
        Self { bytes, reader, counted: 0, line: 1 }
    }

    /// Reads the next record and returns its line number; `None` after the last record.
    fn next(&mut self, record: &mut StringRecord) -> std::result::Result<Option<u64>, String> {
        let mut start = self.position();
        while matches!(self.bytes.get(start), Some(b'\n' | b'\r')) {
            start += 1;
        }
        self.line += line_ends(self.bytes, self.counted, start);
        self.counted = start;
        let line = self.line;
        match self.reader.read_record(record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(format!(", line {line}: {}", shown(error.to_string()))),
        }
        if self.position() < self.bytes.len() + SENTINEL.len() {
            return Ok(Some(line));
        }
        match record.len() == 1 && record.get(0) == Some("\0") {
            true => Ok(None),
            false => Err(format!(
                ", line {line}: a quote is opened in this row and never closed; close it, or \
                 double it inside a quoted cell"
            )),
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.position().byte()).unwrap_or(usize::MAX)
    }
}

/// Counts the line ends (`\n`, `\r` or `\r\n`) whose last byte is in a range of a file.
fn line_ends(bytes: &[u8], start: usize, end: usize) -> u64 {
    let is_end = |&index: &usize| match bytes.get(index) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    (start..end).filter(is_end).count() as u64
}

/// Checks that a file is UTF-8, and strips its byte order mark.
fn text(bytes: &[u8]) -> std::result::Result<&[u8], String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(", line 1: it is UTF-16; save it as UTF-8".to_owned());
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!(
            ", line {}: it is not UTF-8; save it as UTF-8",
            1 + line_ends(bytes, 0, error.valid_up_to())
        )),
    }
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

/// True if a record is a blank line.
fn is_blank(record: &StringRecord) -> bool {
    record.len() == 1 && record.iter().all(|cell| cell.trim().is_empty())
}

/// Checks that every column has a name, and that names differ.
fn check_names(names: &[String]) -> std::result::Result<(), String> {
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

    fn table(text: &str) -> Table {
        Table::parse("t.csv", text.as_bytes()).unwrap()
    }

    fn cells(table: &Table) -> Vec<Vec<&str>> {
        let row = |row| {
            (0..table.columns().len()).map(move |column| table.cell(row, column).unwrap_or("-"))
        };
        (0..table.len()).map(|index| row(index).collect()).collect()
    }

    fn refused(bytes: &[u8], expected: &str) {
        let message = Table::parse("t.csv", bytes).unwrap_err().to_string();
        assert!(message.starts_with(expected) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn a_table_is_read_with_any_delimiter_line_end_and_byte_order_mark() {
        for delimiter in [",", ";", "\t"] {
            for end in ["\n", "\r\n", "\r"] {
                let lines = ["a, b ,c", "1, x y ,", "2,?,3"].join(end).replace(',', delimiter);
                for text in [lines.clone(), format!("\u{feff}{lines}{end}")] {
                    let table = table(&text);
                    assert_eq!(table.columns(), ["a", "b", "c"]);
                    assert_eq!(cells(&table), [["1", "x y", "-"], ["2", "-", "3"]]);
                    assert_eq!((table.line(0), table.line(1), table.line(2)), (2, 3, 0));
                }
            }
        }
    }

    #[test]
    fn quoted_cells_keep_delimiters_quotes_and_line_ends() {
        let table = table("\"a,;;;\"\"\",b\n\"x,y\",\"one\ntwo\"\n5\" pipe,\"say \"\"hi\"\"\"");
        assert_eq!(table.columns(), ["a,;;;\"", "b"]);
        assert_eq!(cells(&table), [["x,y", "one\ntwo"], ["5\" pipe", "say \"hi\""]]);
        assert_eq!((table.line(0), table.line(1)), (2, 4));
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        let table = table("\n  \r\na;b\n\n\n1;2\n   \n\n3;4\n\n");
        assert_eq!(cells(&table), [["1", "2"], ["3", "4"]]);
        assert_eq!((table.line(0), table.line(1)), (6, 9));
    }

    #[test]
    fn missing_cells_have_many_names() {
        let table = table("a\nNA\nn/a\nNaN\nnan\nNULL\nnull\nNone\n ? \n\"\"\nnot\n");
        let found: Vec<bool> = (0..table.len()).map(|row| table.cell(row, 0).is_some()).collect();
        assert_eq!(found, [false, false, false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn numbers_have_a_decimal_comma_where_the_delimiter_is_another() {
        let numbers = |text: &str| {
            let table = table(text);
            (0..table.len()).map(|row| table.number(row, 0)).collect::<Vec<_>>()
        };
        let expected = [Some(1.5), Some(-2.0), Some(3000.0), None, None];
        assert_eq!(numbers("a;b\n1,5;0\n-2,0;0\n3e3;0\n1,2,3;0\n1.000,5;0"), expected);
        let expected = [None, Some(2.5), None, None, None];
        assert_eq!(numbers("a,b\n\"1,5\",0\n2.5,0\ninf,0\n1e39,0\nabc,0"), expected);
    }

    #[test]
    fn columns_are_found_by_name_and_rows_selected() {
        let table = table("a,b\n1,2\n3,4\n5,6");
        assert_eq!((table.find("b").unwrap(), table.column("c")), (1, None));
        let message = table.find("c\n").unwrap_err().to_string();
        assert!(
            message.contains("no column 'c\\n'; ") && message.ends_with("'a', 'b'"),
            "{message}"
        );
        let part = table.select(&[2, 0]).unwrap();
        assert_eq!((cells(&part), part.line(0)), (vec![vec!["5", "6"], vec!["1", "2"]], 4));
        assert!(table.select(&[3]).unwrap_err().to_string().contains("no row 3; it has 3"));
        assert_eq!((table.cell(0, 2), table.cell(usize::MAX, 1)), (None, None));
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        refused(b"", "t.csv: it is empty; ");
        refused(b"\xef\xbb\xbf\n \n", "t.csv: it is empty; ");
        refused(b"a,b\n", "t.csv, line 1: there are no rows");
        refused(b"a,b\n1,2\n\n3\n", "t.csv, line 4: it has 1 cells and the header has 2 columns; ");
        refused(
            b"a,b\n\"\n\",2\n3,4,5\n",
            "t.csv, line 4: it has 3 cells and the header has 2 columns",
        );
        refused(b"a,b\r\n1,\xff\r\n", "t.csv, line 2: it is not UTF-8");
        refused(b"\xff\xfea\0", "t.csv, line 1: it is UTF-16");
        refused(b"a,b,a\n1,2,3\n", "t.csv, line 1: columns 1 and 3 are both named 'a'");
        refused(b"a,,b\n1,2,3\n", "t.csv, line 1: column 2 has no name");
        refused(b"a,b\n1,2\n3,\"4\n5,6\n", "t.csv, line 3: a quote is opened");
        refused(b"\"a,b\n1,2\n", "t.csv, line 1: a quote is opened");
        refused(&b",".repeat(MAX_COLUMNS), "t.csv, line 1: 65537 columns are too many");
        let message = Table::read(Path::new("no/t.csv")).unwrap_err().to_string();
        assert_eq!(message, "no/t.csv: there is no such file");
    }
}
