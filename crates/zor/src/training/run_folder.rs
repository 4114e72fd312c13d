//! The folder of a training run.
//!
//! A run owns its folder: no other run writes to it, a lock says so while the run is under way, and
//! every file in it carries the run's identity ([`crate::training::checkpoint::Provenance::run`]).
//! `run.json` has the identity and the state, `metrics.jsonl` a line for each evaluation, written
//! when it is made.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::checkpoint;
use super::{Point, Training};
use crate::error::{Error, ErrorKind, Result, shown};

/// The file of a run's state.
const RECORD: &str = "run.json";
/// The file of a run's network after its training.
pub const MODEL: &str = "model.zor";
/// The file of a run's evaluations.
const METRICS: &str = "metrics.jsonl";
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
const LATEST: &str = "latest";
/// The file that is locked while a run writes to its folder.
const LOCK: &str = ".lock";

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// The training is under way, or its process ended without a word.
    Running,
    /// The training reached its last step, and its network is saved.
    Done,
    /// The user stopped the training; a checkpoint is saved.
    Stopped,
    /// The training ended with an error.
    Failed,
}

/// The contents of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's identity.
    pub run: String,
    /// The task by name.
    pub task: String,
    /// The state.
    pub state: RunState,
    /// Steps done when the file was written.
    pub step: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// The start in UTC, such as `2026-11-29T10:00:00Z`; of a resumed run, its last start.
    pub started: String,
    /// The end in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The process that writes to the folder.
    pub process: u32,
    /// The version of Zor.
    pub zor: String,
    /// The reason of a failure or stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Figures of the last evaluation by name; null where a figure is infinite or undefined.
    #[serde(default)]
    pub metrics: Map<String, Value>,
}

impl RunRecord {
    /// Reads the record of a folder; `None` where the folder has none.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a record.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file_system(&path, "read it", &error)),
        };
        let record = serde_json::from_str(&text)
            .map_err(|error| Error::in_file(&path, format!("it does not describe a run: {error}")));
        record.map(Some)
    }
}

/// Where a run is going to be written.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A new folder `DATE-NUMBER` in this one, named `latest` from then on.
    New(PathBuf),
    /// This folder, which must not have a run unless that may be replaced.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether a run in it is replaced.
        overwrite: bool,
    },
    /// The folder of a run that continues.
    Resumed {
        /// The folder.
        path: PathBuf,
        /// The step that it continues from.
        step: u64,
        /// Whether checkpoints of later steps are removed.
        overwrite: bool,
    },
}

impl Destination {
    /// Refuses a folder that cannot be written to, that has a run, or that a run is writing to.
    /// Nothing is changed.
    ///
    /// # Errors
    /// Names the folder and the remedy.
    pub fn check(&self) -> Result<()> {
        let path = match self {
            Self::New(path) | Self::Folder { path, .. } | Self::Resumed { path, .. } => path,
        };
        match fs::metadata(path) {
            Ok(about) if !about.is_dir() => {
                let message = "cannot make the folder: a file has its name";
                return Err(Error::new(
                    ErrorKind::FileSystem,
                    format!("{}: {message}", shown(path)),
                ));
            }
            Ok(_) => {
                zor_io::atomic::check_writable(path)?;
                if !matches!(self, Self::New(_)) && path.join(LOCK).exists() {
                    lock(path)?;
                }
            }
            Err(_) => {
                let existing = path.ancestors().skip(1).find(|folder| folder.exists());
                let existing = existing.filter(|folder| !folder.as_os_str().is_empty());
                let existing = existing.unwrap_or(Path::new("."));
                if !existing.is_dir() {
                    let message = format!("cannot make the folder: {} is a file", shown(existing));
                    return Err(Error::new(
                        ErrorKind::FileSystem,
                        format!("{}: {message}", shown(path)),
                    ));
                }
                zor_io::atomic::check_writable(existing)?;
            }
        }
        if let Self::Folder { path, overwrite: false } = self
            && let Some(name) = files(path)?.first()
        {
            return Err(Error::in_file(
                path,
                format!(
                    "it has a run already ({name}); give another folder, continue that run with --resume, or replace it with --overwrite"
                ),
            ));
        }
        Ok(())
    }

    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// When the folder cannot be made or may not be written to, as [`Destination::check`] says.
    pub fn open(self) -> Result<RunFolder> {
        let (path, task) = match &self {
            Self::New(task) => (next(task)?, Some(task.clone())),
            Self::Folder { path, .. } | Self::Resumed { path, .. } => {
                self.check()?;
                fs::create_dir_all(path)
                    .map_err(|error| Error::file_system(path, "make the folder", &error))?;
                (path.clone(), None)
            }
        };
        let lock = lock(&path)?;
        Ok(RunFolder { path, task, destination: self, record: None, lines: None, _lock: lock })
    }
}

/// A run's folder, locked as long as this exists.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The folder of the task's runs, where the run has a name of its own.
    task: Option<PathBuf>,
    destination: Destination,
    record: Option<RunRecord>,
    /// Evaluations that are in the file of metrics; `None` where the file has to be written anew.
    lines: Option<usize>,
    _lock: Option<File>,
}

impl RunFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Marks the run as under way: removes the files of a run that is replaced, writes the record,
    /// the settings (as TOML) and the evaluations so far.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn begin(&mut self, record: RunRecord, settings: &str, training: &Training) -> Result<()> {
        match self.destination {
            Destination::Folder { overwrite: true, .. } => {
                for name in files(&self.path)? {
                    let path = self.path.join(name);
                    fs::remove_file(&path)
                        .map_err(|error| Error::file_system(&path, "remove it", &error))?;
                }
            }
            Destination::Resumed { step, overwrite: true, .. } => {
                checkpoint::remove_later(&self.path, step)?;
            }
            _ => {}
        }
        let text = format!("# Settings of run {}.\n{settings}", record.run);
        self.record = Some(record);
        self.write_record()?;
        zor_io::atomic::write(&self.path.join(SETTINGS), text.as_bytes())?;
        self.log(training)
    }

    /// Makes the name `latest` of the task lead to this run, if the run lies among its task's.
    ///
    /// # Errors
    /// When something else has the name, or the file system refuses.
    pub fn name_latest(&self) -> Result<()> {
        self.task.as_ref().map_or(Ok(()), |task| name_latest(task, &self.path))
    }

    /// Adds the evaluations that are not in the file of metrics yet. After an error the next call
    /// writes the whole file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn log(&mut self, training: &Training) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        record.step = training.steps;
        let points = &training.curve;
        if self.lines == Some(points.len()) {
            return Ok(());
        }
        let run = record.run.clone();
        record.metrics = training.evaluation().to_json();
        let text = |points: &[Point]| -> String {
            points.iter().map(|point| format!("{}\n", line(&run, point))).collect()
        };
        let path = self.path.join(METRICS);
        match self.lines.take() {
            Some(lines) if lines <= points.len() => {
                let append = || {
                    let mut file = File::options().append(true).open(&path)?;
                    file.write_all(text(&points[lines..]).as_bytes())
                };
                append().map_err(|error| Error::file_system(&path, "add to it", &error))?;
            }
            _ => zor_io::atomic::write(&path, text(points).as_bytes())?,
        }
        self.write_record()?;
        self.lines = Some(points.len());
        Ok(())
    }

    /// Writes the end of the run into its record.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn finish(
        &mut self,
        state: RunState,
        training: Option<&Training>,
        message: Option<String>,
    ) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        record.state = state;
        record.ended = Some(utc(SystemTime::now()));
        record.message = message;
        if let Some(training) = training {
            record.step = training.steps;
            record.metrics = training.evaluation().to_json();
        }
        self.write_record()
    }

    fn write_record(&self) -> Result<()> {
        self.record.as_ref().map_or(Ok(()), |record| record.write(&self.path))
    }
}

/// Writes the end of a run into the record of its folder, where the process is about to end without
/// [`RunFolder::finish`]. A run that has ended stays as it is.
///
/// # Errors
/// When the file system refuses.
pub fn abandon(folder: &Path, state: RunState, message: &str) -> Result<()> {
    match RunRecord::read(folder)? {
        Some(record) if record.state == RunState::Running => {
            let (ended, message) = (Some(utc(SystemTime::now())), Some(message.to_owned()));
            RunRecord { state, ended, message, ..record }.write(folder)
        }
        _ => Ok(()),
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // A run that never began leaves no empty folder. One that is not empty stays.
        if self.record.is_none() && self.task.is_some() {
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl RunRecord {
    fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::input(format!("{RECORD}: {error}")))?;
        Ok(zor_io::atomic::write(&folder.join(RECORD), format!("{text}\n").as_bytes())?)
    }

    /// The record of a run that starts now.
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
        }
    }
}

/// The evaluation of a step as one line of JSON.
fn line(run: &str, point: &Point) -> Value {
    let mut line = json!({
        "run": run,
        "step": point.step,
        "seconds": point.seconds,
        "eval_samples": point.evaluation.samples,
        "train_mae": point.training.mae(),
    });
    if point.evaluation.figure("psnr_db").is_some() {
        line["train_psnr_db"] = point.training.psnr_db().into();
    }
    for (name, figure) in point.evaluation.to_json() {
        line[format!("eval_{name}")] = figure;
    }
    line
}

/// The model file that a path stands for: the file itself, the model in a run's folder, or the last
/// model of a task's runs.
///
/// # Errors
/// When a folder has no model. The message says what it has and what to do.
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
                "`zor train --resume {}` continues it, and {} can be used as a model",
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
            format!("there is no run in it; give a {MODEL}, a run's folder or a task's folder"),
        )),
        None => Err(Error::in_file(&path, format!("no run in it has a {MODEL}"))),
    }
}

/// The folder of the run that a folder stands for: itself, or a task's last run.
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

/// Follows a file that takes the place of a link.
fn follow(path: &Path) -> Result<PathBuf> {
    let is_name = path.file_name().is_some_and(|name| name == LATEST);
    if !is_name || !path.is_file() {
        return Ok(path.to_path_buf());
    }
    let text =
        fs::read_to_string(path).map_err(|error| Error::file_system(path, "read it", &error))?;
    Ok(path.with_file_name(text.trim()))
}

/// The runs in a task's folder, the last first.
fn runs(task: &Path) -> Result<Vec<PathBuf>> {
    let latest = follow(&task.join(LATEST))?;
    // The link's own name says little; the folder that it leads to has one.
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

/// The names of files in a folder that a run would write.
fn files(folder: &Path) -> Result<Vec<String>> {
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
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |error: std::io::Error| Error::file_system(folder, "read it", &error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(refused)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(refused(error)),
    }
}

/// Locks a folder for this process. On a file system without locks there is none.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::file_system(&path, "write it", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let process = RunRecord::read(folder).ok().flatten();
            let process =
                process.map_or(String::new(), |record| format!(" (process {})", record.process));
            Err(Error::in_file(
                folder,
                format!("another training{process} is writing to it; give another folder"),
            ))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Whether a training is writing to a folder now.
pub fn is_under_way(folder: &Path) -> bool {
    folder.join(LOCK).exists() && lock(folder).is_err()
}

/// Makes the next folder of a task: the date in UTC and a number.
fn next(task: &Path) -> Result<PathBuf> {
    let refused =
        |path: &Path, error: &std::io::Error| Error::file_system(path, "make the folder", error);
    fs::create_dir_all(task).map_err(|error| refused(task, &error))?;
    let date = utc(SystemTime::now())[..10].to_owned();
    let numbers = list(task)?.into_iter().filter_map(|path| {
        path.file_name()?.to_str()?.strip_prefix(&date)?.strip_prefix('-')?.parse::<u64>().ok()
    });
    let mut number = numbers.max().unwrap_or(0);
    loop {
        number += 1;
        let path = task.join(format!("{date}-{number:03}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Another training took it in between.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&path, &error)),
        }
    }
}

/// Makes `latest` lead to a run: a link, or a file with the run's name where the system has no
/// links.
fn name_latest(task: &Path, run: &Path) -> Result<()> {
    let place = task.join(LATEST);
    let Some(name) = run.file_name() else { return Ok(()) };
    // A file in the place of a link has the name of a run.
    let is_name = fs::read_to_string(&place)
        .is_ok_and(|text| RunRecord::read(&task.join(text.trim())).is_ok_and(|run| run.is_some()));
    if fs::symlink_metadata(&place).is_ok_and(|about| !about.is_symlink()) && !is_name {
        return Err(Error::in_file(
            &place,
            "it is not a link to a run, and stays as it is; remove it, so that the last run can have this name",
        ));
    }
    #[cfg(unix)]
    {
        let link = task.join(format!(".{LATEST}.{}", std::process::id()));
        let _ = fs::remove_file(&link);
        let linked = std::os::unix::fs::symlink(name, &link);
        if linked.and_then(|()| fs::rename(&link, &place)).is_ok() {
            return Ok(());
        }
        let _ = fs::remove_file(&link);
    }
    Ok(zor_io::atomic::write(&place, format!("{}\n", name.to_string_lossy()).as_bytes())?)
}

/// A time as RFC 3339 in UTC, to the second. The date is Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn utc(time: SystemTime) -> String {
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

    fn record(run: &str) -> RunRecord {
        RunRecord::start(run, "fashion-reconstruction", 0, 10)
    }

    fn at(path: &Path, overwrite: bool) -> Destination {
        Destination::Folder { path: path.to_path_buf(), overwrite }
    }

    #[test]
    fn times_are_written_in_utc() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(at(1_795_915_800), "2026-11-29T01:30:00Z");
    }

    #[test]
    fn every_run_of_a_task_gets_a_folder_of_its_own() {
        let task = tempfile::tempdir().unwrap();
        let open = || Destination::New(task.path().to_path_buf()).open().unwrap();
        let names: Vec<String> = [open(), open(), open()]
            .iter()
            .map(|run| run.path().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(names[0].ends_with("-001") && names[2].ends_with("-003"), "{names:?}");
        assert_eq!(fs::read_dir(task.path()).unwrap().count(), 0, "runs that never began stay");
    }

    #[test]
    fn a_folder_that_is_locked_or_has_a_run_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        let first = at(&path, false).open().unwrap();
        for overwrite in [false, true] {
            let error = at(&path, overwrite).open().unwrap_err();
            assert!(error.to_string().contains("another training"), "{error}");
        }
        drop(first);
        fs::write(path.join(MODEL), "a model").unwrap();
        let error = at(&path, false).open().unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(at(&path, true).open().is_ok());
        assert!(path.join(MODEL).exists(), "nothing is removed before the run begins");
    }

    #[test]
    fn a_path_stands_for_a_model() {
        let base = tempfile::tempdir().unwrap();
        let task = base.path();
        let add = |name: &str, started: &str, model: bool| {
            let folder = task.join(name);
            fs::create_dir(&folder).unwrap();
            let record = RunRecord { started: started.to_owned(), ..record(name) };
            let text = serde_json::to_string(&record).unwrap();
            fs::write(folder.join(RECORD), text).unwrap();
            if model {
                fs::write(folder.join(MODEL), "a model").unwrap();
            }
            folder
        };
        assert!(model_file(task).unwrap_err().to_string().contains("no run in it"));
        let old = add("2026-01-01-001", "2026-01-01T00:00:00Z", true);
        let new = add("2026-01-01-002", "2026-01-01T00:00:09Z", false);
        assert_eq!(model_file(&old).unwrap(), old.join(MODEL));
        assert_eq!(model_file(&old.join(MODEL)).unwrap(), old.join(MODEL));
        assert_eq!(model_file(task).unwrap(), old.join(MODEL), "the last run has no model");
        assert!(model_file(&new).unwrap_err().to_string().contains("has not ended"));
        assert_eq!(run_folder(task).unwrap(), new);
        fs::write(task.join(LATEST), "a note").unwrap();
        assert!(name_latest(task, &old).unwrap_err().to_string().contains("not a link"));
        fs::remove_file(task.join(LATEST)).unwrap();
        name_latest(task, &old).unwrap();
        assert_eq!(run_folder(task).unwrap(), old);
        assert_eq!(model_file(&task.join(LATEST)).unwrap(), task.join(LATEST).join(MODEL));
        fs::remove_file(task.join(LATEST)).unwrap();
        fs::write(task.join(LATEST), "2026-01-01-001\n").unwrap();
        assert_eq!(model_file(&task.join(LATEST)).unwrap(), old.join(MODEL));
        assert_eq!(run_folder(task).unwrap(), old);
    }
}
