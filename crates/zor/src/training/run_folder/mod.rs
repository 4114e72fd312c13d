//! The folder of a training run.
//!
//! A run owns its folder: it holds a lock while it writes, no other run writes to the folder, and
//! every file in it has the run identity ([`crate::training::checkpoint::Provenance::run`]).
//! `run.json` has the identity and the state; `metrics.jsonl` gets a line for each evaluation as
//! soon as it is made.

mod files;
mod lookup;
pub(crate) mod record;

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

pub use self::files::{COLORIZATION, CONFUSION, CURVE, MODEL, RECONSTRUCTIONS, SETTINGS};
use self::files::{LATEST, LOCK, METRICS, files, list};
pub use self::lookup::{model_file, run_folder};
use self::record::utc;
pub use self::record::{RunRecord, RunState, abandon};
use super::checkpoint;
use super::{Point, Training};
use crate::error::{Error, ErrorKind, Result, shown};

/// Destination of a run.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A new subfolder `DATE-NUMBER` of this folder, with a link `latest` to it.
    New(PathBuf),
    /// This folder; it must not have a run unless `overwrite` is set.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether an existing run is replaced.
        overwrite: bool,
    },
    /// The folder of the run that is resumed.
    Resumed {
        /// The folder.
        path: PathBuf,
        /// The step to resume from.
        step: u64,
        /// Whether checkpoints of later steps are removed.
        overwrite: bool,
    },
}

impl Destination {
    /// Checks that the folder can be written to, does not have a run yet, and is not locked by
    /// another run. Changes nothing.
    ///
    /// # Errors
    /// When it fails a check. The message gives the folder and a remedy.
    pub fn check(&self) -> Result<()> {
        let path = match self {
            Self::New(path) | Self::Folder { path, .. } | Self::Resumed { path, .. } => path,
        };
        match fs::metadata(path) {
            Ok(about) if !about.is_dir() => {
                let message = "cannot create the folder: there is a file of that name";
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
                    let message =
                        format!("cannot create the folder: {} is a file", shown(existing));
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
                    "it already has a run ({name}); give another folder, resume that run with --resume, or replace it with --overwrite"
                ),
            ));
        }
        Ok(())
    }

    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// When the folder cannot be created, or as [`Destination::check`].
    pub fn open(self) -> Result<RunFolder> {
        let (path, task) = match &self {
            Self::New(task) => (next(task)?, Some(task.clone())),
            Self::Folder { path, .. } | Self::Resumed { path, .. } => {
                self.check()?;
                fs::create_dir_all(path)
                    .map_err(|error| Error::file_system(path, "create the folder", &error))?;
                (path.clone(), None)
            }
        };
        let lock = lock(&path)?;
        Ok(RunFolder { path, task, destination: self, record: None, lines: None, _lock: lock })
    }
}

/// A run folder, locked until this is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The task folder, if the run is one of its numbered runs.
    task: Option<PathBuf>,
    destination: Destination,
    record: Option<RunRecord>,
    /// Number of evaluations in the metrics file; `None` if the file must be rewritten.
    lines: Option<usize>,
    _lock: Option<File>,
}

impl RunFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the run: removes the files of a replaced run, and writes the record, the settings (as
    /// TOML) and the evaluations so far.
    ///
    /// # Errors
    /// When a file cannot be removed or written.
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

    /// Points the link `latest` in the task folder to this run, if the run is in a task folder.
    ///
    /// # Errors
    /// When `latest` exists but is not a link to a run, or cannot be written.
    pub fn name_latest(&self) -> Result<()> {
        self.task.as_ref().map_or(Ok(()), |task| name_latest(task, &self.path))
    }

    /// Appends new evaluations to the metrics file. After an error, the next call rewrites the
    /// whole file.
    ///
    /// # Errors
    /// When a file cannot be written.
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
                append().map_err(|error| Error::file_system(&path, "append to it", &error))?;
            }
            _ => zor_io::atomic::write(&path, text(points).as_bytes())?,
        }
        self.write_record()?;
        self.lines = Some(points.len());
        Ok(())
    }

    /// Writes the final state of the run to its record.
    ///
    /// # Errors
    /// When the record cannot be written.
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

    /// Records the file names of the pictures, so that a run that replaces this one removes them.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn record_pictures(&mut self, names: Vec<String>) -> Result<()> {
        let Some(record) = &mut self.record else { return Ok(()) };
        record.pictures = names;
        self.write_record()
    }

    fn write_record(&self) -> Result<()> {
        self.record.as_ref().map_or(Ok(()), |record| record.write(&self.path))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Removes the folder of a run that never started, if it is empty.
        if self.record.is_none() && self.task.is_some() {
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Formats an evaluation as one line of JSON.
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

/// Locks a folder for this process; `None` if the file system does not support locks.
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

/// Whether a training run is writing to a folder.
pub fn is_under_way(folder: &Path) -> bool {
    folder.join(LOCK).exists() && lock(folder).is_err()
}

/// Creates the next run folder of a task, named after the date in UTC and a number.
fn next(task: &Path) -> Result<PathBuf> {
    let refused =
        |path: &Path, error: &std::io::Error| Error::file_system(path, "create the folder", error);
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
            // Another run created it in the meantime.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&path, &error)),
        }
    }
}

/// Points `latest` to a run: a link, or a text file with the run's name if the system does not
/// support links.
fn name_latest(task: &Path, run: &Path) -> Result<()> {
    let place = task.join(LATEST);
    let Some(name) = run.file_name() else { return Ok(()) };
    // Instead of a link, there may be a text file with the name of a run.
    let is_name = fs::read_to_string(&place)
        .is_ok_and(|text| RunRecord::read(&task.join(text.trim())).is_ok_and(|run| run.is_some()));
    if fs::symlink_metadata(&place).is_ok_and(|about| !about.is_symlink()) && !is_name {
        return Err(Error::in_file(
            &place,
            "it is not a link to a run and was left unchanged; remove it, so that a link to the last run can be made",
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

#[cfg(test)]
mod tests {
    use super::record::RECORD;
    use super::*;

    fn record(run: &str) -> RunRecord {
        RunRecord::start(run, "fashion-reconstruction", 0, 10)
    }

    fn at(path: &Path, overwrite: bool) -> Destination {
        Destination::Folder { path: path.to_path_buf(), overwrite }
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
