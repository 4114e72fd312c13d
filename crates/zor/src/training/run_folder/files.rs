//! The files in the folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use super::record::RECORD;
use crate::error::{Error, Result};
use crate::training::checkpoint;

/// The file of a run's network after its training.
pub const MODEL: &str = "model.zor";
/// The file of a run's evaluations.
pub(super) const METRICS: &str = "metrics.jsonl";
/// The file of a run's settings.
pub const SETTINGS: &str = "config.toml";
/// The picture of a run's evaluations.
pub const CURVE: &str = "curve.svg";
/// The picture of a classifier's mistakes.
pub const CONFUSION: &str = "confusion.svg";
/// The picture of images and their reconstructions.
pub const RECONSTRUCTIONS: &str = "reconstructions.png";
/// The picture of images in grey and in colour.
pub const COLORIZATION: &str = "colorization.png";
/// The pictures that a run may draw.
const PICTURES: [&str; 4] = [CURVE, CONFUSION, RECONSTRUCTIONS, COLORIZATION];
/// The name that leads to a task's last run.
pub(super) const LATEST: &str = "latest";
/// The file that is locked while a run writes to its folder.
pub(super) const LOCK: &str = ".lock";

/// The names of files in a folder that a run would write.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in list(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let known = [RECORD, MODEL, METRICS, SETTINGS].contains(&name) || PICTURES.contains(&name);
        if (known || checkpoint::step_of(name).is_some()) && path.is_file() {
            found.push(name.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// The entries of a folder; none of one that is not there.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |error: std::io::Error| Error::file_system(folder, "read it", &error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(refused)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(refused(error)),
    }
}
