//! The rows that a detector reads: columns of a table, or windows of a series.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zor_data::table::series::{self, Window, Windowing};
use zor_data::table::{Features, Record, RowEncoder, Table};

use crate::error::{Error, Result, shown};
use crate::settings::Settings;

/// Names of the labels of an anomaly, in lower case.
const ANOMALY: [&str; 5] = ["1", "true", "yes", "anomaly", "anomalous"];
/// Names of the labels of a normal row, in lower case.
const NORMAL: [&str; 4] = ["0", "false", "no", "normal"];

/// The columns that a detector reads, and their encoding; for a series, its windows too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// Columns, in the order of the inputs.
    pub features: Features,
    /// Windows of a series. The window of a table is one row.
    pub windowing: Windowing,
    /// Name of the column with time stamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

impl Scheme {
    /// Fits the encoding to the normal rows of a table; categories are those of all rows. Columns
    /// with labels, with time stamps and those to ignore are not read. Also returns notes for the
    /// user.
    ///
    /// # Errors
    /// When a column does not exist, its cells cannot be encoded, or no column is left.
    pub fn fit(
        table: &Table,
        normal: &[usize],
        settings: &Settings,
    ) -> Result<(Self, Vec<String>)> {
        let mut ignored = settings.ignore.clone();
        for name in settings.label.iter().chain(&settings.time) {
            table.find(name)?;
            if !ignored.contains(name) {
                ignored.push(name.clone());
            }
        }
        let (features, notes) = Features::fit(table, normal, &ignored)?;
        let times = settings.time.as_ref().map(|name| times(table, name)).transpose()?;
        let times: Option<Vec<f64>> = times.map(|times| times.into_iter().flatten().collect());
        let windowing = Windowing::new(settings.window, settings.stride, times.as_deref())?;
        Ok((Self { features, windowing, time: settings.time.clone() }, notes))
    }

    /// Number of values of a window.
    pub fn width(&self) -> usize {
        self.windowing.window * self.features.width()
    }

    /// Ranges of the values of each cell in a window: the columns of the oldest row first.
    pub fn cells(&self) -> Arc<[Range<usize>]> {
        let width = self.features.width();
        let of_row = |row: usize| {
            (0..self.features.len()).map(move |column| {
                let span = self.features.span(column);
                row * width + span.start..row * width + span.end
            })
        };
        (0..self.windowing.window).flat_map(of_row).collect()
    }

    /// Name of a cell for messages: its column, and in a window its age in rows.
    pub fn name(&self, cell: usize) -> String {
        let column = self.features.name(cell % self.features.len());
        let age = self.windowing.window - 1 - cell / self.features.len();
        match age {
            0 => column.to_owned(),
            1 => format!("{column} (1 row before)"),
            age => format!("{column} ({age} rows before)"),
        }
    }

    /// Formats the values of a cell in the unit of its column.
    pub fn decoded(&self, cell: usize, values: &[f32]) -> String {
        self.features.decoded(cell % self.features.len(), values)
    }

    /// Returns a reader of the windows of a file with this header.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn reader(&self, file: &str, header: &[String]) -> Result<Reader<'_>> {
        let encoder = self.features.encoder(file, header)?;
        let time = match &self.time {
            None => None,
            Some(name) => match header.iter().position(|other| other == name) {
                Some(place) => Some(place),
                None => {
                    return Err(Error::input(format!(
                        "{file}: there is no column '{name}', which has the time stamps; add it"
                    )));
                }
            },
        };
        let window = Window::new(&self.windowing, self.features.width());
        let row = vec![0.0; self.features.width()];
        Ok(Reader { file: file.to_owned(), encoder, time, window, row })
    }
}

/// Reader of the windows of a file.
#[derive(Debug)]
pub struct Reader<'a> {
    file: String,
    encoder: RowEncoder<'a>,
    time: Option<usize>,
    window: Window,
    row: Vec<f32>,
}

impl Reader<'_> {
    /// Reads a record and returns the values of the window that ends with it. NaN is a missing
    /// value. `None` if the window is not complete, or the stride leaves it out.
    ///
    /// # Errors
    /// When a cell does not match the kind of its column. The message names file, line and column.
    /// The next window starts after this record.
    pub fn read(&mut self, record: &Record<'_>) -> Result<Option<&[f32]>> {
        let encoded = self.encoder.encode(record, &mut self.row).map_err(Error::from);
        let time = match self.time {
            None => Ok(None),
            Some(place) => time(&self.file, record, place),
        };
        match encoded.and(time) {
            Ok(time) => Ok(self.window.push(&self.row, time)),
            Err(error) => {
                self.window.clear();
                Err(error)
            }
        }
    }

    /// Forgets the rows so far: the next window starts after them.
    pub fn skip(&mut self) {
        self.window.clear();
    }
}

/// Reads the time stamps of a table.
fn times(table: &Table, name: &str) -> Result<Vec<Option<f64>>> {
    let place = table.find(name)?;
    (0..table.len()).map(|row| time(table.name(), &table.record(row), place)).collect()
}

/// Reads a time stamp; an error names file and line.
fn time(file: &str, record: &Record<'_>, place: usize) -> Result<Option<f64>> {
    series::time(record, place)
        .map_err(|message| Error::input(format!("{file}, line {}: {message}", record.line())))
}

/// Reads the labels of a table: whether each row is an anomaly.
///
/// # Errors
/// When the column does not exist, or a cell is not a label. The message names file, line and
/// column.
pub(super) fn labels(table: &Table, name: &str) -> Result<Vec<bool>> {
    let place = table.find(name)?;
    let label = |row: usize| {
        let cell = table.cell(row, place).unwrap_or_default();
        let is = |names: &[&str]| names.iter().any(|name| cell.eq_ignore_ascii_case(name));
        match (table.number(row, place), is(&NORMAL), is(&ANOMALY)) {
            (Some(0.0), ..) | (_, true, _) => Ok(false),
            (Some(1.0), ..) | (_, _, true) => Ok(true),
            _ => Err(Error::input(format!(
                "{}, line {}, column '{}': '{}' is not a label; write 1, true or anomaly for an \
                 anomaly, and 0, false or normal for a normal row",
                table.name(),
                table.line(row),
                shown(Path::new(name)),
                shown(Path::new(cell))
            ))),
        }
    };
    (0..table.len()).map(label).collect()
}
