//! Tables of text cells, from CSV files with a header (RFC 4180).

use std::io::Read;
use std::sync::Arc;

use crate::error::{Error, Result, listed, quoted, shown};
use crate::table::ragged;
use crate::table::records::{Record, Records, check_names, number};

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
    delimiter: u8,
}

impl Table {
    /// Parses the contents of a CSV file. The name is for messages.
    ///
    /// # Errors
    /// Those of [`Table::read`], except for a missing file.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::collect(Records::new(name, bytes)?)
    }

    /// Reads all records of a stream. The first one is the header.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn collect<R: Read>(mut records: Records<R>) -> Result<Self> {
        let (columns, header) = records.header()?;
        let name = records.name().to_owned();
        let mut table = Self::new(name.clone(), columns.into(), b',');
        let n_columns = table.columns.len();
        while let Some(record) = records.read()? {
            let line = record.line();
            if record.len() != n_columns {
                let message = ragged(record.len(), n_columns, record.delimiter());
                return Err(Error::input(format!("{name}, line {line}: {message}")));
            }
            table.delimiter = record.delimiter;
            let short = |_| {
                Error::input(format!("{name}: not enough memory for the table; split the file"))
            };
            table.ends.try_reserve(n_columns).map_err(short)?;
            for index in 0..n_columns {
                let cell = record.cell(index).unwrap_or_default();
                table.text.try_reserve(cell.len()).map_err(short)?;
                table.text.push_str(cell);
                table.ends.push(table.text.len());
            }
            table.lines.push(line);
        }
        match table.is_empty() {
            false => Ok(table),
            true => Err(records.refused(
                header,
                "there are no rows below the header; the first line has the names of the columns",
            )),
        }
    }

    /// A table without rows.
    ///
    /// # Errors
    /// When there are no columns, a column has no name, or two have one name.
    pub(super) fn empty(name: &str, columns: Vec<String>) -> std::result::Result<Self, String> {
        check_names(&columns)?;
        Ok(Self::new(shown(name), columns.into(), b','))
    }

    /// Appends a row. `write` appends the text of a cell.
    pub(super) fn push<T>(
        &mut self,
        cells: impl Iterator<Item = T>,
        line: u64,
        mut write: impl FnMut(T, &mut String),
    ) {
        for cell in cells {
            write(cell, &mut self.text);
            self.ends.push(self.text.len());
        }
        self.lines.push(line);
    }

    fn new(name: String, columns: Arc<[String]>, delimiter: u8) -> Self {
        let (text, ends, lines) = (String::new(), Vec::new(), Vec::new());
        Self { name, columns, text, ends, lines, delimiter }
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

    /// Returns a row, or an empty record if the row is out of range.
    pub fn record(&self, row: usize) -> Record<'_> {
        let n_columns = self.columns.len();
        let range = row.saturating_mul(n_columns)..row.saturating_add(1).saturating_mul(n_columns);
        let ends = self.ends.get(range.clone()).unwrap_or_default();
        let start = range.start.checked_sub(1).and_then(|last| self.ends.get(last));
        let (line, text, start) = (self.line(row), &self.text[..], start.copied().unwrap_or(0));
        Record { line, text, start, ends, delimiter: self.delimiter }
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
        number(cell, self.delimiter != b',')
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
                listed(&*self.columns)
            ))
        })
    }

    /// Returns the rows with these indices, in the order of the indices.
    ///
    /// # Errors
    /// When an index is out of range.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let mut table = Self::new(self.name.clone(), self.columns.clone(), self.delimiter);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        refused(&b",".repeat(1 << 16), "t.csv, line 1: 65537 columns are too many");
        let message = Table::read(Path::new("no/t.csv")).unwrap_err().to_string();
        assert_eq!(message, "no/t.csv: there is no such file");
    }
}
