//! The record of a run, `run.json`: its identity, state and last metrics.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// File name of the record.
pub(crate) const RECORD: &str = "run.json";

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// The training is running, or its process was killed.
    Running,
    /// The training reached its last step, and the model is saved.
    Done,
    /// The user stopped the training; a checkpoint is saved.
    Stopped,
    /// The training ended with an error.
    Failed,
}

/// Contents of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Run identity.
    pub run: String,
    /// Task name.
    pub task: String,
    /// State of the run.
    pub state: RunState,
    /// Number of steps done when the file was written.
    pub step: u64,
    /// Total number of steps.
    pub steps: u64,
    /// Start time in UTC, such as `2026-11-29T10:00:00Z`; for a resumed run, its last start.
    pub started: String,
    /// End time in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// ID of the process that writes to the folder.
    pub process: u32,
    /// Version of Zor.
    pub zor: String,
    /// Reason for a failure or a stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Metrics of the last evaluation by name; null if infinite or NaN.
    #[serde(default)]
    pub metrics: Map<String, Value>,
    /// File names of the pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<String>,
}

impl RunRecord {
    /// Reads the record of a folder; `None` if it has none.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a run record.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file_system(&path, "read it", &error)),
        };
        let record = serde_json::from_str(&text)
            .map_err(|error| Error::in_file(&path, format!("it is not a run record: {error}")));
        record.map(Some)
    }
}

impl RunRecord {
    /// Writes the record to a folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::input(format!("{RECORD}: {error}")))?;
        Ok(zor_io::atomic::write(&folder.join(RECORD), format!("{text}\n").as_bytes())?)
    }

    /// Returns the record of a run that starts now.
    pub fn start(run: &str, task: &str, step: u64, steps: u64) -> Self {
        Self {
            run: run.to_owned(),
            task: task.to_owned(),
            state: RunState::Running,
            step,
            steps,
            started: utc(SystemTime::now()),
            ended: None,
            process: std::process::id(),
            zor: env!("CARGO_PKG_VERSION").to_owned(),
            message: None,
            metrics: Map::new(),
            pictures: Vec::new(),
        }
    }
}

/// Records the end of a run when the process exits without calling
/// [`RunFolder::finish`](super::RunFolder::finish). Does nothing if the run has already ended.
///
/// # Errors
/// When the record cannot be read or written.
pub fn abandon(folder: &Path, state: RunState, message: &str) -> Result<()> {
    match RunRecord::read(folder)? {
        Some(record) if record.state == RunState::Running => {
            let (ended, message) = (Some(utc(SystemTime::now())), Some(message.to_owned()));
            RunRecord { state, ended, message, ..record }.write(folder)
        }
        _ => Ok(()),
    }
}

/// Formats a time as RFC 3339 in UTC, to the second. The date is computed with Hinnant's
/// `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).
pub(crate) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_in_utc() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(at(1_795_915_800), "2026-11-29T01:30:00Z");
    }
}
