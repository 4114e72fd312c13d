//! Trainings that go on later as if they had never stopped.
//!
//! A checkpoint is a model file ([`zor_io::save_checkpoint`]) whose [`Progress`] holds the settings and the curve. Batches depend on seed and step
//! alone, so that the number of steps is their generator and their place in the data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zor_core::burn::tensor::Device;
use zor_io::{Header, Progress};

use crate::error::{Error, Result, shown};
use crate::images::RunData;
use crate::options::{Options, Settings, TaskName};
use crate::run::RunRecord;
use crate::train::{Point, Training};

/// The key of the digest of the images learned from.
const DATA: &str = "data";
/// The key of the names of classes, a JSON array.
pub const CLASSES: &str = "classes";
/// The key of the number of steps done.
const STEPS: &str = "steps";
/// The key of a run's identity.
const RUN: &str = "run";
/// The key of the settings, a JSON object of [`Options`].
const SETTINGS: &str = "settings";

/// The origin of a network: notes for its files.
#[derive(Clone, Debug)]
pub struct Provenance(BTreeMap<String, String>);

impl Provenance {
    /// Of a run with these settings on these images.
    pub fn new(settings: &Settings, data: &RunData) -> Self {
        let notes = [
            ("task", settings.task.to_string()),
            ("rule", settings.rule_name.to_string()),
            ("optimizer", settings.optimizer.to_string()),
            ("seed", settings.seed.to_string()),
            ("preprocessing", "bytes / 255, channels last".to_owned()),
            (DATA, format!("sha256 {} of {} images", data.train.digest(), data.train.len())),
            ("zor", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let mut notes = BTreeMap::from(notes.map(|(key, value)| (key.to_owned(), value)));
        if settings.task.is_classification() {
            let names = serde_json::json!(data.train.class_names());
            notes.insert(CLASSES.to_owned(), names.to_string());
        }
        // Places and machines differ from user to user, and change no bit.
        let settings = Options {
            threads: None,
            data_dir: None,
            images: None,
            baseline: None,
            ..settings.to_options()
        };
        let mut settings = serde_json::json!(settings);
        if let Some(given) = settings.as_object_mut() {
            given.retain(|_, value| !value.is_null());
        }
        let settings = settings.to_string();
        let mut hasher = Sha256::new();
        for text in [&settings, &notes[DATA], &notes["zor"]] {
            hasher.update(text);
            hasher.update([0]);
        }
        let identity = hasher.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        notes.insert(SETTINGS.to_owned(), settings);
        notes.insert(RUN.to_owned(), identity);
        Self(notes)
    }

    /// The run's identity: 16 hexadecimal digits of a digest of its settings, the images learned from and the version of Zor. On one
    /// machine two runs of one identity compute the same values.
    pub fn run(&self) -> &str {
        &self.0[RUN]
    }

    /// The origin of a run that continues under its identity, whatever its settings are now.
    #[must_use]
    pub fn continued(mut self, run: &str) -> Self {
        self.0.insert(RUN.to_owned(), run.to_owned());
        self
    }

    /// The notes, with the number of steps and the figure of the last evaluation.
    pub fn notes(&self, training: &Training) -> BTreeMap<String, String> {
        let mut notes = self.0.clone();
        notes.insert(STEPS.to_owned(), training.steps.to_string());
        let evaluation = training.evaluation();
        let (key, figure) = match evaluation.top1() {
            Some(top1) => ("top1", format!("{top1:.4}")),
            None => ("psnr_db", format!("{:.3}", evaluation.deviation.psnr_db())),
        };
        notes.insert(key.to_owned(), figure);
        notes
    }

    /// Whether notes are of this run, at whatever step.
    fn is_of(&self, notes: &BTreeMap<String, String>) -> bool {
        notes.get(RUN).map(String::as_str) == Some(self.run())
    }
}

/// What a training keeps in a checkpoint beside its network.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    options: Options,
    curve: Vec<Point>,
    samples_seen: u64,
    train_seconds: f64,
}

/// A training that was read from a file.
#[derive(Debug)]
pub struct Checkpoint {
    /// The training.
    pub training: Training,
    /// The identity of its run; `None` in a file of an older Zor.
    pub run: Option<String>,
    data: String,
    images: Option<PathBuf>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is a model and no checkpoint.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let (network, header) = zor_io::load(path, device)?;
        let (progress, kept) = read(&header, path)?;
        let mut training =
            Training::at(network, kept.curve, progress.step, kept.samples_seen, kept.train_seconds);
        training.stopped = true;
        let data = header.notes.get(DATA).cloned().unwrap_or_default();
        let run = header.notes.get(RUN).cloned();
        Ok(Self { training, run, data, images: kept.options.images })
    }

    /// Refuses to go on with other images, or past the end.
    ///
    /// # Errors
    /// When the images learned from were others, or all steps are done.
    pub fn check(&self, settings: &Settings, provenance: &Provenance) -> Result<()> {
        let found = &provenance.0[DATA];
        if *found != self.data {
            let remedy = match &self.images {
                Some(path) => format!(
                    "it learned from {}; give the place of those images with --images",
                    shown(path)
                ),
                None => "give the folder of its data set with --data-dir".to_owned(),
            };
            return Err(Error::input(format!(
                "the checkpoint was trained on other images ({}) than are found now ({found}); {remedy}",
                self.data
            )));
        }
        if self.training.steps >= settings.steps {
            return Err(Error::input(format!(
                "the checkpoint has done {} steps and the training ends at {}; give more with --steps",
                self.training.steps, settings.steps
            )));
        }
        Ok(())
    }
}

/// The settings that a model's notes have, if it is from `zor train`.
pub fn settings_of(notes: &BTreeMap<String, String>) -> Option<Options> {
    let settings = notes.get(SETTINGS)?;
    serde_json::from_str(settings).ok()
}

/// The names of the classes that a model tells apart, in the order of its outputs; `None` if its notes have none.
pub fn classes_of(notes: &BTreeMap<String, String>) -> Option<Vec<String>> {
    serde_json::from_str(notes.get(CLASSES)?).ok()
}

/// The task that a model was trained for.
///
/// # Errors
/// When its notes name none, or one that is unknown. `path` is the model's place, for the message.
pub fn task_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<TaskName> {
    let name = notes.get("task").map_or("", String::as_str);
    name.parse().map_err(|_| {
        Error::in_file(
            path,
            format!(
                "it was trained for the task '{}', which is unknown here; known tasks are {}",
                crate::error::escaped(name),
                TaskName::NAMES.join(", ")
            ),
        )
    })
}

/// The settings of a checkpoint's training, as options.
///
/// # Errors
/// When the file cannot be read, is damaged, or is a model and no checkpoint.
pub fn options(path: &Path) -> Result<Options> {
    options_of(&zor_io::info(path)?, path)
}

/// The settings of the training that a checkpoint's header is of, as options. `path` is its place, for messages.
///
/// # Errors
/// When it is a model and no checkpoint.
pub fn options_of(header: &Header, path: &Path) -> Result<Options> {
    Ok(read(header, path)?.1.options)
}

fn read<'a>(header: &'a Header, path: &Path) -> Result<(&'a Progress, Kept)> {
    let in_file = |message: &str| Error::in_file(path, message);
    let progress = header.progress.as_ref().ok_or_else(|| {
        in_file("this is a model, whose training ended; give a checkpoint to continue from")
    })?;
    let kept = serde_json::from_str(&progress.state)
        .map_err(|error| in_file(&format!("it is not a checkpoint of `zor train`: {error}")))?;
    Ok((progress, kept))
}

/// Saves a training in a folder, as `checkpoint-STEPS.zor`. Returns the file's place.
///
/// # Errors
/// When the network cannot be saved, or the file system refuses.
pub fn save(
    training: &mut Training,
    settings: &Settings,
    provenance: &Provenance,
    folder: &Path,
) -> Result<PathBuf> {
    training.settle()?;
    let kept = Kept {
        options: settings.to_options(),
        curve: training.curve.clone(),
        samples_seen: training.samples_seen,
        train_seconds: training.train_seconds,
    };
    let state = serde_json::to_string(&kept).map_err(|error| Error::input(error.to_string()))?;
    let progress = Progress {
        step: training.steps,
        optimizer: settings.optimizer.to_string(),
        counts: Vec::new(),
        state,
    };
    let path = folder.join(format!("{PREFIX}{:08}{SUFFIX}", training.steps));
    zor_io::save_checkpoint(&training.network, &provenance.notes(training), progress, &path)?;
    Ok(path)
}

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".zor";

/// The newest sound checkpoint of the run in a folder, and the errors of newer ones that are damaged.
///
/// # Errors
/// When the folder cannot be read, or has no sound checkpoint.
pub fn newest(folder: &Path) -> Result<(PathBuf, Vec<Error>)> {
    // Where the record is damaged, the checkpoints speak for themselves.
    let run = RunRecord::read(folder).ok().flatten().map(|record| record.run);
    let mut damaged = Vec::new();
    for path in all(folder)?.into_iter().rev() {
        match zor_io::info(&path) {
            // A file that another run left here, or that was copied here, does not belong to this run.
            Ok(header)
                if run.is_none()
                    || header.notes.get(RUN).is_none_or(|of| run.as_ref() == Some(of)) =>
            {
                return Ok((path, damaged));
            }
            Ok(_) => {}
            Err(error) => damaged.push(error.into()),
        }
    }
    let found: Vec<String> = damaged.iter().map(Error::to_string).collect();
    Err(Error::in_file(
        folder,
        if found.is_empty() {
            format!("there is no {PREFIX}STEPS{SUFFIX} in it")
        } else {
            format!("there is no sound checkpoint in it: {}", found.join("; "))
        },
    ))
}

/// The newest sound checkpoint of the run in a folder.
///
/// # Errors
/// Those of [`newest`].
pub fn latest(folder: &Path) -> Result<PathBuf> {
    newest(folder).map(|(path, _)| path)
}

/// The steps of the last sound checkpoint in a folder beyond a step, if there are any.
///
/// # Errors
/// When the folder cannot be read.
pub fn later(folder: &Path, step: u64) -> Result<Option<u64>> {
    let steps = |path: &PathBuf| step_of(path.file_name()?.to_str()?).filter(|found| *found > step);
    let sound = all(folder)?
        .into_iter()
        .rev()
        .find(|path| steps(path).is_some() && zor_io::info(path).is_ok());
    Ok(sound.as_ref().and_then(steps))
}

/// Removes the checkpoints in a folder that are beyond a step.
///
/// # Errors
/// When the folder cannot be read, or a file cannot be removed.
pub fn remove_later(folder: &Path, step: u64) -> Result<()> {
    for path in all(folder)? {
        let steps = path.file_name().and_then(|name| step_of(name.to_str()?));
        if steps.is_some_and(|steps| steps > step) {
            fs::remove_file(&path)
                .map_err(|error| Error::file_system(&path, "remove it", &error))?;
        }
    }
    Ok(())
}

/// Removes checkpoints of a run from a folder, but for the last `keep` up to a step and the one with the best figure. Later ones stay.
///
/// # Errors
/// When the folder cannot be read, or a file cannot be removed.
pub fn prune(folder: &Path, provenance: &Provenance, keep: usize, step: u64) -> Result<()> {
    let mut found = Vec::new();
    for path in all(folder)? {
        let steps = path.file_name().and_then(|name| step_of(name.to_str()?));
        // A damaged file may be of another run.
        if steps.is_some_and(|steps| steps <= step)
            && let Ok(header) = zor_io::info(&path)
            && provenance.is_of(&header.notes)
        {
            let figure = |key| header.notes.get(key)?.parse::<f64>().ok();
            let figure = figure("psnr_db").or(figure("top1")).filter(|figure| !figure.is_nan());
            found.push((path, figure.unwrap_or(f64::NEG_INFINITY)));
        }
    }
    let best = found.iter().enumerate().max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
    let best = best.map(|(index, _)| index);
    let old = found.len().saturating_sub(keep.max(1));
    for (index, (path, _)) in found.iter().enumerate().take(old) {
        if Some(index) != best {
            fs::remove_file(path).map_err(|error| Error::file_system(path, "remove it", &error))?;
        }
    }
    Ok(())
}

/// The steps in the name of a checkpoint's file; `None` of another name.
pub(crate) fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Checkpoints in a folder, by steps.
fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::in_file(folder, "there is no such folder"),
        _ => Error::file_system(folder, "read it", &error),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let steps = path.file_name().and_then(|name| step_of(name.to_str()?));
        if let Some(steps) = steps.filter(|_| path.is_file()) {
            found.push((steps, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
