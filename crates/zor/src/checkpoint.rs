//! Trainings that go on later as if they had never stopped.
//!
//! A checkpoint is a model file ([`zor_io::save_checkpoint`]) whose [`Progress`] holds the settings and the curve. Batches depend on seed and step
//! alone, so that the number of steps is their generator and their place in the data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Device;
use zor_io::{Header, Progress};

use crate::error::{Error, Result};
use crate::images::RunData;
use crate::options::{Options, Settings};
use crate::train::{Point, Training};

/// The key of the digest of the images learned from.
const DATA: &str = "data";
/// The key of the names of classes, a JSON array.
pub const CLASSES: &str = "classes";
/// The key of how far a training is.
const STEPS: &str = "steps";

/// Where a network comes from: notes for its files.
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
        Self(notes)
    }

    /// The same, with how far the training is and how well it does.
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
        self.0.iter().all(|(key, value)| notes.get(key) == Some(value))
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
    data: String,
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
        Ok(Self { training, data })
    }

    /// Refuses to go on with other images, or past the end.
    ///
    /// # Errors
    /// When the images learned from were others, or all steps are done.
    pub fn check(&self, settings: &Settings, provenance: &Provenance) -> Result<()> {
        let found = &provenance.0[DATA];
        if *found != self.data {
            return Err(Error::input(format!(
                "the checkpoint was trained on other images ({}) than are found now ({found}); say where its images are",
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

/// The settings of a checkpoint's training, as options.
///
/// # Errors
/// When the file cannot be read, is damaged, or is a model and no checkpoint.
pub fn options(path: &Path) -> Result<Options> {
    let header = zor_io::info(path)?;
    Ok(read(&header, path)?.1.options)
}

fn read<'a>(header: &'a Header, path: &Path) -> Result<(&'a Progress, Kept)> {
    let in_file = |message: &str| Error::input(format!("{}: {message}", path.display()));
    let progress = header.progress.as_ref().ok_or_else(|| {
        in_file("this is a model, whose training ended; give a checkpoint to go on from")
    })?;
    let kept = serde_json::from_str(&progress.state)
        .map_err(|error| in_file(&format!("this is no training of zor train: {error}")))?;
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

/// The checkpoint with most steps in a folder.
///
/// # Errors
/// When the folder cannot be read, or has none.
pub fn latest(folder: &Path) -> Result<PathBuf> {
    all(folder)?.pop().ok_or_else(|| {
        Error::input(format!("{}: there is no {PREFIX}STEPS{SUFFIX} in it", folder.display()))
    })
}

/// Removes checkpoints of a run from a folder, but for the last so many and the one that did best when last evaluated.
///
/// # Errors
/// When the folder cannot be read, or a file cannot be removed.
pub fn prune(folder: &Path, provenance: &Provenance, keep: usize) -> Result<()> {
    let mut found = Vec::new();
    for path in all(folder)? {
        // One that is damaged is not ours to remove.
        if let Ok(header) = zor_io::info(&path)
            && provenance.is_of(&header.notes)
        {
            let figure = |key| header.notes.get(key)?.parse::<f64>().ok();
            found.push((path, figure("psnr_db").or(figure("top1"))));
        }
    }
    let best = found.iter().enumerate().max_by(|(_, (_, a)), (_, (_, b))| {
        let figure = |figure: &Option<f64>| figure.unwrap_or(f64::NEG_INFINITY);
        figure(a).total_cmp(&figure(b))
    });
    let best = best.map(|(index, _)| index);
    let old = found.len().saturating_sub(keep);
    for (index, (path, _)) in found.iter().enumerate().take(old) {
        if Some(index) != best {
            fs::remove_file(path).map_err(|error| refused(path, "remove it", &error))?;
        }
    }
    Ok(())
}

/// Checkpoints in a folder, by steps.
fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::input(format!("{}: there is no such folder", folder.display()))
        }
        _ => refused(folder, "read it", &error),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let steps = name.and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        if let Some(steps) = steps.and_then(|steps| steps.parse::<u64>().ok()) {
            found.push((steps, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn refused(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    let message = format!("{}: cannot {doing}: {error}", path.display());
    Error::new(crate::ErrorKind::FileSystem, message)
}
