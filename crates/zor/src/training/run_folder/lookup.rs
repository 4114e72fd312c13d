//! Lookup of the model file or run folder that a path refers to.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{LATEST, MODEL, files, list};
use super::record::{RunRecord, RunState};
use crate::error::{Error, Result, shown};
use crate::training::checkpoint;

/// Returns the model file for a path: the file itself, the model in a run folder, or the model of
/// the last run in a task folder.
///
/// # Errors
/// When a folder has no model. The message describes the folder's state and gives a remedy.
pub fn model_file(path: &Path) -> Result<PathBuf> {
    let path = follow(path)?;
    if !path.is_dir() || path.join(MODEL).is_file() {
        return Ok(if path.is_dir() { path.join(MODEL) } else { path });
    }
    if let Some(record) = RunRecord::read(&path)? {
        let state = match record.state {
            RunState::Failed => "its run failed",
            RunState::Stopped => "its run was stopped",
            RunState::Running | RunState::Done => "its run has not ended",
        };
        let remedy = match checkpoint::latest(&path) {
            Ok(file) => format!(
                "`zor train --resume {}` resumes it, and {} can be used as a model",
                shown(&path),
                shown(&file)
            ),
            Err(_) => "train again".to_owned(),
        };
        return Err(Error::in_file(&path, format!("there is no {MODEL} in it, {state}; {remedy}")));
    }
    let runs = runs(&path)?;
    match runs.iter().find(|run| run.join(MODEL).is_file()) {
        Some(run) => Ok(run.join(MODEL)),
        None if runs.is_empty() => Err(Error::in_file(
            &path,
            format!("there is no run in it; give a {MODEL}, a run folder or a task folder"),
        )),
        None => Err(Error::in_file(&path, format!("no run in it has a {MODEL}"))),
    }
}

/// Returns the run folder for a path: the folder itself, or the last run in a task folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn run_folder(path: &Path) -> Result<PathBuf> {
    let path = follow(path)?;
    if !path.is_dir() || !files(&path)?.is_empty() {
        return Ok(path);
    }
    Ok(runs(&path)?.into_iter().next().unwrap_or(path))
}

/// Resolves `latest` where it is a text file instead of a link.
fn follow(path: &Path) -> Result<PathBuf> {
    let is_name = path.file_name().is_some_and(|name| name == LATEST);
    if !is_name || !path.is_file() {
        return Ok(path.to_path_buf());
    }
    let text =
        fs::read_to_string(path).map_err(|error| Error::file_system(path, "read it", &error))?;
    Ok(path.with_file_name(text.trim()))
}

/// Returns the runs in a task folder, the latest first.
fn runs(task: &Path) -> Result<Vec<PathBuf>> {
    let latest = follow(&task.join(LATEST))?;
    // Runs are compared by the path of the folder, not of the link to it.
    let latest = fs::read_link(&latest).map_or(latest, |target| task.join(target));
    let mut found = Vec::new();
    for entry in list(task)? {
        if let Ok(Some(record)) = RunRecord::read(&entry)
            && !entry.is_symlink()
        {
            found.push((entry == latest, record.started, entry));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(.., path)| path).collect())
}
