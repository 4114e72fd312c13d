//! Time series: windows of consecutive rows, and time stamps that reveal gaps.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::table::records::{Record, number};

/// Maximum number of rows of a window.
const MAX_WINDOW: usize = 1 << 16;
/// Intervals longer than this multiple of the usual one are gaps.
const GAP: f64 = 1.5;

/// Windows of consecutive rows of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windowing {
    /// Number of rows of a window.
    pub window: usize,
    /// Number of rows from the start of a window to the start of the next.
    pub stride: usize,
    /// Usual interval between rows, in the unit of the time stamps (seconds for dates); `None`
    /// without time stamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
}

impl Windowing {
    /// Windows of `window` rows, `stride` rows apart. `times` are the time stamps of the rows, if
    /// there are any. The usual interval is their median.
    ///
    /// # Errors
    /// When a number is 0, the window is longer than 65,536 rows, or the time stamps do not
    /// increase.
    pub fn new(window: usize, stride: usize, times: Option<&[f64]>) -> Result<Self> {
        if !(1..=MAX_WINDOW).contains(&window) || stride == 0 {
            return Err(Error::input(format!(
                "the window is {window} rows and the stride {stride}; the window must be from 1 to \
                 {MAX_WINDOW} rows, the stride at least 1"
            )));
        }
        let interval = match times {
            None => None,
            Some(times) => {
                let mut steps: Vec<f64> =
                    times.windows(2).map(|pair| pair[1] - pair[0]).filter(|s| *s > 0.0).collect();
                steps.sort_by(f64::total_cmp);
                Some(*steps.get(steps.len() / 2).ok_or_else(|| {
                    Error::input("the time stamps do not increase; sort the rows by time")
                })?)
            }
        };
        Ok(Self { window, stride, interval })
    }

    /// Whether there is a gap between two time stamps: they do not increase, or differ by more than
    /// 1.5 times the usual interval.
    fn is_gap(&self, from: f64, to: f64) -> bool {
        let interval = self.interval.unwrap_or(f64::INFINITY);
        !(to > from && to - from <= GAP * interval)
    }
}

/// The last rows of a stream.
#[derive(Clone, Debug)]
pub struct Window {
    windowing: Windowing,
    /// Number of values per row.
    width: usize,
    /// Values of the last rows, oldest first.
    values: Vec<f32>,
    last_time: Option<f64>,
    /// Number of rows to wait for until the next window is complete.
    due: usize,
}

impl Window {
    /// A window without rows. `width` is the number of values per row.
    pub fn new(windowing: &Windowing, width: usize) -> Self {
        let due = windowing.window;
        Self { windowing: windowing.clone(), width, values: Vec::new(), last_time: None, due }
    }

    /// Appends a row with its time stamp. Returns the values of the window that ends with it,
    /// `[window, width]`; `None` if the window is not complete, or the stride leaves it out. A gap
    /// between time stamps starts a new window.
    pub fn push(&mut self, row: &[f32], time: Option<f64>) -> Option<&[f32]> {
        if let (Some(from), Some(to)) = (self.last_time, time)
            && self.windowing.is_gap(from, to)
        {
            self.clear();
        }
        self.last_time = time;
        let size = self.windowing.window * self.width;
        if self.values.len() >= size {
            self.values.drain(..self.width.min(self.values.len()));
        }
        self.values.extend_from_slice(row);
        self.due = self.due.saturating_sub(1);
        if self.due > 0 {
            return None;
        }
        self.due = self.windowing.stride;
        Some(&self.values)
    }

    /// Removes all rows, as after a gap or a row that cannot be read.
    pub fn clear(&mut self) {
        self.values.clear();
        self.last_time = None;
        self.due = self.windowing.window;
    }
}

/// Reads a time stamp: a number, or a date and time such as `2026-01-31 12:00:00` or
/// `2026-01-31T12:00:00Z`, in seconds since 1970. `None` if the cell is missing.
///
/// # Errors
/// When the cell is something else. The message is the reason.
pub fn time(record: &Record<'_>, place: usize) -> std::result::Result<Option<f64>, String> {
    let Some(cell) = record.cell(place) else { return Ok(None) };
    if let Some(number) = number(cell, record.has_decimal_comma()) {
        return Ok(Some(number));
    }
    let instant = match cell.parse::<Timestamp>() {
        Ok(instant) => Some(instant),
        Err(_) => {
            let local = cell.parse::<DateTime>().ok();
            local
                .and_then(|local| local.to_zoned(jiff::tz::TimeZone::UTC).ok())
                .map(|z| z.timestamp())
        }
    };
    match instant {
        Some(instant) => Ok(Some(instant.as_microsecond() as f64 * 1e-6)),
        None => Err(format!(
            "{} is not a time stamp; write a number, or a date such as 2026-01-31 12:00:00",
            quoted(cell)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn windows(windowing: &Windowing, times: Option<&[f64]>, n: usize) -> Vec<Vec<f32>> {
        let mut window = Window::new(windowing, 1);
        let time = |row: usize| times.map(|times| times[row]);
        (0..n).filter_map(|row| Some(window.push(&[row as f32], time(row))?.to_vec())).collect()
    }

    #[test]
    fn windows_are_a_stride_apart() {
        let every = Windowing::new(3, 1, None).unwrap();
        assert_eq!(windows(&every, None, 4), [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]);
        let apart = Windowing::new(2, 3, None).unwrap();
        assert_eq!(windows(&apart, None, 8), [[0.0, 1.0], [3.0, 4.0], [6.0, 7.0]]);
        let single = Windowing::new(1, 2, None).unwrap();
        assert_eq!(windows(&single, None, 4), [[0.0], [2.0]]);
    }

    #[test]
    fn no_window_contains_a_gap() {
        let times = [0.0, 5.0, 10.0, 60.0, 65.0, 70.0, 65.0];
        let windowing = Windowing::new(2, 1, Some(&times)).unwrap();
        assert_eq!(windowing.interval, Some(5.0));
        let found = windows(&windowing, Some(&times), times.len());
        assert_eq!(found, [[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]);
        for (window, stride) in [(0, 1), (1, 0), (MAX_WINDOW + 1, 1)] {
            assert!(Windowing::new(window, stride, None).is_err());
        }
        let error = Windowing::new(2, 1, Some(&[3.0, 2.0, 2.0])).unwrap_err();
        assert!(error.to_string().contains("do not increase"), "{error}");
    }

    #[test]
    fn time_stamps_are_numbers_or_dates() {
        let text = "t;x\n1,5;0\n1970-01-02 00:00:01;0\n1970-01-01T01:00:00+01:00;0\n\
                    1970-01-01T00:00:00.25Z;0\n1970-01-02;0\n;0\nnoon;0\n";
        let table = Table::parse("t.csv", text.as_bytes()).unwrap();
        let found: Vec<_> = (0..table.len()).map(|row| time(&table.record(row), 0)).collect();
        let expected = [1.5, 86_401.0, 0.0, 0.25, 86_400.0].map(|time| Ok(Some(time)));
        assert_eq!((&found[..5], &found[5]), (&expected[..], &Ok(None)));
        assert!(found[6].as_ref().unwrap_err().contains("'noon' is not a time stamp"));
    }
}
