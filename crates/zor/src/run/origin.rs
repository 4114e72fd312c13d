//! The checkpoint or the model that a training starts from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Observer;
use crate::settings::Options;
use crate::training::checkpoint;
use crate::training::run_folder::{self, Destination, RunRecord, RunState};
use crate::{Error, Result};

/// The checkpoint that a training is resumed from.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) checkpoint: PathBuf,
    pub(super) step: u64,
    pub(super) run: Option<String>,
    pub(super) options: Options,
    /// Metadata of the file.
    notes: BTreeMap<String, String>,
}

impl Resumed {
    /// Finds the checkpoint for a path: a checkpoint file, or the newest valid one in a run folder
    /// or in the last run of a task folder.
    pub(super) fn find(path: &Path, observer: &mut dyn Observer) -> Result<Self> {
        let path = run_folder::run_folder(path)?;
        let checkpoint = if path.is_dir() {
            let (checkpoint, damaged) = checkpoint::newest(&path)?;
            for error in damaged {
                observer.tell(&format!("warning: {error}; an older checkpoint is used"));
            }
            checkpoint
        } else {
            path
        };
        let header = zor_io::info(&checkpoint)?;
        let step = header.progress.as_ref().map_or(0, |progress| progress.step);
        let options = checkpoint::options_of(&header, &checkpoint)?;
        let (run, notes) = (header.notes.get("run").cloned(), header.notes);
        Ok(Self { checkpoint, step, run, options, notes })
    }

    /// Returns the folder of the checkpoint.
    pub(super) fn folder(&self) -> PathBuf {
        let folder = self.checkpoint.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_path_buf()
    }

    /// Whether the run of the checkpoint was stopped before its end.
    pub(super) fn was_stopped(&self) -> bool {
        let record = RunRecord::read(&self.folder()).ok().flatten();
        record.is_some_and(|record| record.state == RunState::Stopped)
    }

    pub(super) fn continues_in(&self, destination: &Destination) -> bool {
        matches!(destination, Destination::Resumed { path, .. } if *path == self.folder())
    }
}

/// Returns the digest of the model that the weights were initialized from, and the metadata to load
/// the data with. `None` for a training that began with a new network. A checkpoint carries the
/// metadata of its model on.
pub(super) fn continued<'a>(
    resumed: Option<&'a Resumed>,
    from: Option<&'a Origin>,
) -> Result<Option<(String, &'a BTreeMap<String, String>)>> {
    Ok(match (resumed, from) {
        (Some(Resumed { notes, .. }), _) => {
            checkpoint::from_of(notes).map(|digest| (digest.to_owned(), notes))
        }
        (None, Some(from)) => Some((from.digest()?, &from.notes)),
        (None, None) => None,
    })
}

/// The model that the weights are initialized from.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    /// Settings that it was trained with.
    pub(super) options: Options,
    /// Metadata of the file.
    notes: BTreeMap<String, String>,
}

impl Origin {
    /// Finds the model for a path: a model or checkpoint file, a run folder or a task folder.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let path = run_folder::model_file(path)?;
        let header = zor_io::info(&path)?;
        let options = checkpoint::settings_of(&header.notes).ok_or_else(|| {
            Error::in_file(
                &path,
                "its metadata has no training settings; give a model saved by `zor train`",
            )
        });
        Ok(Self { options: options?, notes: header.notes, path })
    }

    /// Whether the model was trained on the task that is given, or no task is given.
    pub(super) fn is_of_task(&self, given: &Options) -> bool {
        let task = |options: &Options| options.get::<String>("task");
        task(given).is_none_or(|name| task(&self.options) == Some(name))
    }

    /// Returns the SHA-256 digest of the file.
    fn digest(&self) -> Result<String> {
        let bytes = fs::read(&self.path)
            .map_err(|error| Error::file_system(&self.path, "read it", &error))?;
        Ok(checkpoint::digest_of(&bytes))
    }
}
