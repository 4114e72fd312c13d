//! Files of a run folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::record::{RECORD, RunRecord};
use crate::error::{Error, Result};
use crate::training::checkpoint;

/// The trained model.
pub const MODEL: &str = "model.zor";
/// The evaluations, one JSON object per line.
pub(super) const METRICS: &str = "metrics.jsonl";
/// The settings.
pub const SETTINGS: &str = "config.toml";
/// The learning curve.
pub const CURVE: &str = "curve.svg";
/// The confusion matrix of a classifier.
pub const CONFUSION: &str = "confusion.svg";
/// Images and their reconstructions.
pub const RECONSTRUCTIONS: &str = "reconstructions.png";
/// Greyscale images and their colorizations.
pub const COLORIZATION: &str = "colorization.png";
/// Link to a task's last run.
pub(super) const LATEST: &str = "latest";
/// File that is locked while a run writes to its folder.
pub(super) const LOCK: &str = ".lock";

/// Returns the names of the files in a folder that a run would write.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    // A damaged record names no pictures.
    let pictures = RunRecord::read(folder).ok().flatten().map(|record| record.pictures);
    let pictures = pictures.unwrap_or_default();
    let known = [RECORD, MODEL, METRICS, SETTINGS, CURVE, CONFUSION, RECONSTRUCTIONS, COLORIZATION];
    for path in list(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let is_known = known.contains(&name) || pictures.iter().any(|picture| picture == name);
        if (is_known || checkpoint::step_of(name).is_some()) && path.is_file() {
            found.push(name.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the entries of a folder; none if it does not exist.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |error: std::io::Error| Error::file_system(folder, "read it", &error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(refused)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(refused(error)),
    }
}
