//! Checkpoints: a resumed training ends with the same bits as one that was never interrupted.
//!
//! A checkpoint is a model file ([`zor_io::save_checkpoint`]) whose [`Progress`] holds the settings
//! and the learning curve. Batches depend only on the seed and the step, so the number of steps is
//! the whole state of the random generator and the data loader.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zor_core::burn::tensor::Device;
use zor_io::{Header, Progress};

use super::run_folder::record::RunRecord;
use super::{Point, Training};
use crate::error::{Error, Result, shown};
use crate::settings::{Options, Settings};
use crate::task::{Data, Plan, Unit};

/// Metadata key of the digest of the training examples.
const DATA: &str = "data";
/// Metadata key of the number of steps done.
const STEPS: &str = "steps";
/// Metadata key of the run identity.
const RUN: &str = "run";
/// Metadata key of the digest of the file that the weights were initialized from.
const FROM: &str = "from";
/// Metadata key of the settings, a JSON object of [`Settings`].
const SETTINGS: &str = "settings";

/// Maximum number of bytes that the description of the data may take in a model file. The layers
/// and the settings need the rest of 1 MiB.
const MAX_METADATA: usize = 900 << 10;

/// Number of bytes of a text in a model file, as a JSON string.
pub(crate) fn metadata_len(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// Checks that the description of data fits into a model file, before anything is trained.
///
/// # Errors
/// When it does not. The message names the data.
pub(crate) fn check_metadata(source: &str, bytes: usize) -> Result<()> {
    match bytes <= MAX_METADATA {
        true => Ok(()),
        false => Err(Error::input(format!(
            "{source}: the description of its columns and classes takes {bytes} bytes, and a model \
             file has room for {MAX_METADATA}; leave columns out with --ignore"
        ))),
    }
}

/// Provenance of a network, stored as metadata in its files.
#[derive(Clone, Debug)]
pub struct Provenance(BTreeMap<String, String>);

impl Provenance {
    /// Provenance of a network trained with the plan's settings on the training examples. `from` is
    /// the SHA-256 digest of the file that the weights are initialized from, if any.
    ///
    /// # Errors
    /// When the settings cannot be written as JSON, or the description of the data is too long for
    /// a model file.
    pub fn new(plan: &Plan, data: &Data, from: Option<&str>) -> Result<Self> {
        let Plan { task, settings } = plan;
        let notes = [
            ("task", task.name().to_owned()),
            ("rule", settings.rule.to_string()),
            ("optimizer", settings.optimizer.to_string()),
            ("seed", settings.seed.to_string()),
            (DATA, digest(data)),
            ("zor", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let mut notes = BTreeMap::from(notes.map(|(key, value)| (key.to_owned(), value)));
        let of_data = task.notes(data);
        check_metadata(&data.source, of_data.values().map(|text| metadata_len(text)).sum())?;
        notes.extend(of_data);
        let mut settings = to_json(settings)?;
        // Paths and the number of threads differ between machines without changing the result; so
        // does the choice of a baseline.
        if let Some(settings) = settings.as_object_mut() {
            for key in ["threads", "data_dir", "data", "baseline"] {
                settings.remove(key);
            }
        }
        let settings = settings.to_string();
        let mut hasher = Sha256::new();
        for text in
            [&settings, &notes[DATA], &notes["zor"]].into_iter().map(String::as_str).chain(from)
        {
            hasher.update(text);
            hasher.update([0]);
        }
        if let Some(from) = from {
            notes.insert(FROM.to_owned(), from.to_owned());
        }
        let identity = hexadecimal(&hasher.finalize()[..8]);
        notes.insert(SETTINGS.to_owned(), settings);
        notes.insert(RUN.to_owned(), identity);
        Ok(Self(notes))
    }

    /// Returns the run identity: 16 hexadecimal digits of a digest of the settings, the training
    /// examples and the version of Zor. On one machine, two runs with the same identity compute the
    /// same values.
    pub fn run(&self) -> &str {
        &self.0[RUN]
    }

    /// Keeps the identity of a resumed run, even if its settings have changed.
    #[must_use]
    pub fn continued(mut self, run: &str) -> Self {
        self.0.insert(RUN.to_owned(), run.to_owned());
        self
    }

    /// Returns the metadata, with the number of steps and the most important metric of the last
    /// evaluation.
    pub fn notes(&self, training: &Training) -> BTreeMap<String, String> {
        let mut notes = self.0.clone();
        notes.insert(STEPS.to_owned(), training.steps.to_string());
        let evaluation = training.evaluation();
        if let Some(figure) = evaluation.headline() {
            let digits = if figure.unit == Unit::Decibel { 3 } else { 4 };
            notes.insert(figure.name.clone(), format!("{:.digits$}", figure.value));
        }
        notes
    }

    /// Whether the metadata of a file belongs to this run, at any step.
    fn is_of(&self, notes: &BTreeMap<String, String>) -> bool {
        notes.get(RUN).map(String::as_str) == Some(self.run())
    }
}

/// State of a training in a checkpoint, besides the network.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    options: serde_json::Value,
    curve: Vec<Point>,
    samples_seen: u64,
    train_seconds: f64,
}

/// A training read from a checkpoint file.
#[derive(Debug)]
pub struct Checkpoint {
    /// The training.
    pub training: Training,
    /// Identity of its run; `None` in files of older versions.
    pub run: Option<String>,
    data: String,
    /// The user's own data that it was trained on.
    place: Option<PathBuf>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or is a model and not a checkpoint.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let (network, header) = zor_io::load(path, device)?;
        let (progress, mut kept) = read(&header, path)?;
        for point in &mut kept.curve {
            point.evaluation = std::mem::take(&mut point.evaluation).completed();
        }
        let place = Options::from_json(kept.options)?.get("data");
        let mut training =
            Training::at(network, kept.curve, progress.step, kept.samples_seen, kept.train_seconds);
        training.stopped = true;
        let data = header.notes.get(DATA).cloned().unwrap_or_default();
        let run = header.notes.get(RUN).cloned();
        Ok(Self { training, run, data, place })
    }

    /// Checks that the training can be resumed with these settings and examples. `was_stopped` is
    /// true for a run that was stopped: after the last step, its calibration is missing.
    ///
    /// # Errors
    /// When the training examples differ from those of the checkpoint, or all steps are done.
    pub fn check(
        &self,
        settings: &Settings,
        provenance: &Provenance,
        was_stopped: bool,
    ) -> Result<()> {
        let found = &provenance.0[DATA];
        if *found != self.data {
            let remedy = match &self.place {
                Some(path) => format!(
                    "it was trained on {}; give the current path of that data with --data",
                    shown(path)
                ),
                None => "give the folder of its data set with --data-dir".to_owned(),
            };
            return Err(Error::input(format!(
                "the checkpoint was trained on other data ({}) than was found now ({found}); {remedy}",
                self.data
            )));
        }
        let last = if was_stopped { settings.steps } else { settings.steps.saturating_sub(1) };
        if self.training.steps > last {
            return Err(Error::input(format!(
                "the checkpoint has done {} steps and the training ends at {}; raise --steps to train longer",
                self.training.steps, settings.steps
            )));
        }
        Ok(())
    }
}

/// Returns the settings in the metadata of a model saved by `zor train`.
pub fn settings_of(notes: &BTreeMap<String, String>) -> Option<Options> {
    Options::from_json(serde_json::from_str(notes.get(SETTINGS)?).ok()?).ok()
}

/// Returns the run identity in the metadata of a model; empty if there is none.
pub fn run_of(notes: &BTreeMap<String, String>) -> &str {
    notes.get(RUN).map_or("", String::as_str)
}

/// Returns the digest of the file that the weights of a model were initialized from, if any.
pub fn from_of(notes: &BTreeMap<String, String>) -> Option<&str> {
    notes.get(FROM).map(String::as_str)
}

/// Returns the SHA-256 digest of bytes as hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the digest of the training examples.
fn digest(data: &Data) -> String {
    format!("sha256 {} of {} {}", data.train.digest(), data.train.len(), data.unit)
}

fn to_json(settings: &Settings) -> Result<serde_json::Value> {
    serde_json::to_value(settings)
        .map_err(|error| Error::input(format!("the settings cannot be written: {error}")))
}

/// Reads the settings of a checkpoint.
///
/// # Errors
/// When the file cannot be read, is damaged, or is a model and not a checkpoint.
pub fn options(path: &Path) -> Result<Options> {
    options_of(&zor_io::info(path)?, path)
}

/// Returns the settings in the header of a checkpoint. `path` is the file, for error messages.
///
/// # Errors
/// When the file is a model and not a checkpoint.
pub fn options_of(header: &Header, path: &Path) -> Result<Options> {
    Options::from_json(read(header, path)?.1.options).map_err(|error| error.at(shown(path)))
}

fn read<'a>(header: &'a Header, path: &Path) -> Result<(&'a Progress, Kept)> {
    let in_file = |message: &str| Error::in_file(path, message);
    let progress = header.progress.as_ref().ok_or_else(|| {
        in_file("this is a trained model, not a checkpoint; give a checkpoint to resume from")
    })?;
    let kept = serde_json::from_str(&progress.state)
        .map_err(|error| in_file(&format!("it is not a checkpoint of `zor train`: {error}")))?;
    Ok((progress, kept))
}

/// Saves a training to a folder as `checkpoint-STEPS.zor` and returns the path.
///
/// # Errors
/// When the network cannot be read from the device, or the file cannot be written.
pub fn save(
    training: &mut Training,
    settings: &Settings,
    provenance: &Provenance,
    folder: &Path,
) -> Result<PathBuf> {
    training.synchronize()?;
    let kept = Kept {
        options: to_json(settings)?,
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

/// Returns the newest valid checkpoint of the run in a folder, and the errors of newer checkpoints
/// that are damaged.
///
/// # Errors
/// When the folder cannot be read, or has no valid checkpoint.
pub fn newest(folder: &Path) -> Result<(PathBuf, Vec<Error>)> {
    // If the run record is damaged, every checkpoint in the folder counts.
    let run = RunRecord::read(folder).ok().flatten().map(|record| record.run);
    let mut damaged = Vec::new();
    for path in all(folder)?.into_iter().rev() {
        match zor_io::info(&path) {
            // A file of another run, left here or copied here, is skipped.
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
            format!("there is no valid checkpoint in it: {}", found.join("; "))
        },
    ))
}

/// Returns the newest valid checkpoint of the run in a folder.
///
/// # Errors
/// As [`newest`].
pub fn latest(folder: &Path) -> Result<PathBuf> {
    newest(folder).map(|(path, _)| path)
}

/// Returns the step of the last valid checkpoint after `step` in a folder, if any.
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

/// Removes the checkpoints after `step` in a folder.
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

/// Removes old checkpoints of a run from a folder. Keeps the last `keep` up to the training's step,
/// the one with the best metric, and those of later steps.
///
/// # Errors
/// When the folder cannot be read, or a file cannot be removed.
pub fn prune(
    folder: &Path,
    provenance: &Provenance,
    keep: usize,
    training: &Training,
) -> Result<()> {
    let evaluation = training.evaluation();
    let name = evaluation.headline().map_or("", |figure| &figure.name);
    let sign = match evaluation.headline() {
        Some(figure) if !figure.larger_is_better => -1.0,
        _ => 1.0,
    };
    let mut found = Vec::new();
    for path in all(folder)? {
        let steps = path.file_name().and_then(|name| step_of(name.to_str()?));
        // A damaged file may belong to another run.
        if steps.is_some_and(|steps| steps <= training.steps)
            && let Ok(header) = zor_io::info(&path)
            && provenance.is_of(&header.notes)
        {
            let figure = header.notes.get(name).and_then(|figure| figure.parse::<f64>().ok());
            let figure = figure.filter(|figure| !figure.is_nan()).map(|figure| sign * figure);
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

/// Parses the step from a checkpoint's file name; `None` if it is not a checkpoint.
pub(crate) fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Returns the checkpoints in a folder, ordered by step.
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
