//! A saved model with the settings that it was trained with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zor_core::Network;
use zor_core::burn::tensor::Device;

use crate::error::{Error, Result};
use crate::settings::{Options, Settings};
use crate::tasks::{self, Task};
use crate::training::checkpoint;
use crate::training::run_folder;

/// A saved model of `zor train`.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The settings of its training.
    pub settings: Settings,
    /// The notes of its file.
    pub notes: BTreeMap<String, String>,
    /// The file.
    pub path: PathBuf,
}

impl Model {
    /// Loads a model from a file, a run's folder or a task's folder.
    ///
    /// # Errors
    /// When there is none, the file is damaged, or its task is unknown.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let path = run_folder::model_file(path)?;
        let (network, header) = zor_io::load(&path, device)?;
        let settings = settings_of(&header.notes, &path)?;
        Ok(Self { network, settings, notes: header.notes, path })
    }

    /// The names of the classes that the model tells apart, in the order of its outputs; none if it
    /// tells no classes.
    pub fn classes(&self) -> Option<Vec<String>> {
        checkpoint::classes_of(&self.notes)
    }

    /// The identity of the run that made the model; empty in a file of an earlier version.
    pub fn run(&self) -> &str {
        checkpoint::run_of(&self.notes)
    }

    /// Refuses a model whose task does not have a command.
    ///
    /// # Errors
    /// Names the tasks that have it, and the commands of the model's task.
    pub fn check_command(&self, command: &str) -> Result<()> {
        if self.settings.task.commands().contains(&command) {
            return Ok(());
        }
        let tasks = tasks::all().into_iter().filter(|task| task.commands().contains(&command));
        let tasks: Vec<&str> = tasks.map(|task| task.name()).collect();
        Err(Error::in_file(
            &self.path,
            format!(
                "it is a model of {}; zor {command} takes models of {}",
                self.settings.task.name(),
                tasks.join(", ")
            ),
        ))
    }
}

/// The settings in the notes of a model. `path` is its place, for messages.
///
/// # Errors
/// When its task is unknown.
pub(crate) fn settings_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<Settings> {
    let task = task_of(notes, path)?;
    let options = checkpoint::settings_of(notes).unwrap_or_default();
    // Settings that an earlier version wrote may be refused today; the task's own are enough to use
    // a model.
    Ok(with_task(options, task).resolve().unwrap_or_else(|_| Settings::of(task)))
}

fn with_task(options: Options, task: &'static dyn Task) -> Options {
    let mut own = Options::default();
    // The name of a task that is known is always accepted.
    let _ = own.set("task", task.name());
    own.or(options)
}

/// The task that a model was trained for.
fn task_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<&'static dyn Task> {
    let name = notes.get("task").map_or("", String::as_str);
    tasks::named(name).map_err(|_| {
        Error::in_file(
            path,
            format!(
                "it was trained for the task '{}', which is unknown here; known tasks are {}",
                crate::error::escaped(name),
                tasks::names().join(", ")
            ),
        )
    })
}
