//! Saving of files whose loss would cost a training.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Observer;
use crate::training::checkpoint;
use crate::{Error, ErrorKind, Result, shown};

/// Seconds to wait between attempts to save a trained network.
const PAUSES: [u64; 4] = [1, 4, 10, 15];

/// Saves a file; on file system errors, retries for half a minute and then saves in the system's
/// folder for temporary files.
pub(super) fn save_for_certain(
    path: &Path,
    save: &dyn Fn(&Path) -> Result<()>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut result = save(path);
    for pause in PAUSES {
        match &result {
            Err(error) if error.kind() == ErrorKind::FileSystem && !observer.is_stopped() => {
                observer.tell(&format!(
                    "warning: {error}; retrying in {pause} s; press Ctrl-C to stop retrying"
                ));
            }
            _ => break,
        }
        let end = Instant::now() + Duration::from_secs(pause);
        while Instant::now() < end && !observer.is_stopped() {
            std::thread::sleep(Duration::from_millis(50));
        }
        result = save(path);
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    result.or_else(|error| {
        let saved = keep_elsewhere(
            error,
            |folder| save(&folder.join(&name)).map(|()| folder.join(&name)),
            observer,
        )?;
        let message = format!(
            "the model could not be saved in its folder; it was saved as {}",
            shown(&saved)
        );
        Err(Error::new(ErrorKind::FileSystem, message))
    })
}

/// Saves in a new folder for temporary files, after saving in the run folder has failed.
pub(super) fn keep_elsewhere(
    error: Error,
    save: impl FnOnce(&Path) -> Result<PathBuf>,
    observer: &mut dyn Observer,
) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("zor-{}", std::process::id()));
    let made = fs::create_dir_all(&folder)
        .map_err(|e| Error::file_system(&folder, "create the folder", &e));
    match made.and_then(|()| save(&folder)) {
        Ok(path) => {
            observer.tell(&format!("warning: {error}; saved in {} instead", shown(&folder)));
            Ok(path)
        }
        Err(second) => Err(error.with_advice(format_args!("and {second}"))),
    }
}

/// Adds a remedy to a device error: the weights cannot be read any more, but the training can be
/// resumed from the last checkpoint.
pub(super) fn with_checkpoint(error: Error, folder: &Path) -> Error {
    if !matches!(error.kind(), ErrorKind::Device | ErrorKind::Diverged) {
        return error;
    }
    match checkpoint::latest(folder) {
        Ok(path) => error.with_advice(format_args!(
            "`zor train --resume {}` resumes from the last checkpoint",
            shown(&path)
        )),
        Err(_) => error.with_advice("no checkpoint was saved; --checkpoint-every N saves some"),
    }
}
