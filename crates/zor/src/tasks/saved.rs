//! Loading of saved models. Their task is found by the name in their metadata.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zor_core::burn::tensor::Device;
use zor_io::Registry;

use crate::error::{Error, Result};
use crate::task::{Model, Plan, Task};
use crate::training::checkpoint;
use crate::training::run_folder;

impl Model {
    /// Loads a model from a model file, a run folder or a task folder.
    ///
    /// # Errors
    /// When there is no model, the file is damaged, or its task is unknown.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let path = run_folder::model_file(path)?;
        let (network, header) = zor_io::load(&path, device)?;
        let plan = plan_of(&header.notes, &path)?;
        Ok(Self { network, plan, notes: header.notes, path })
    }

    /// Loads a model from the contents of a model file.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let path = PathBuf::from("these bytes");
        let (network, header) = zor_io::load_bytes(bytes, device, &Registry::default())?;
        let plan = plan_of(&header.notes, &path)?;
        Ok(Self { network, plan, notes: header.notes, path })
    }

    /// Returns the identity of the run that trained the model; empty for files of an earlier
    /// version.
    pub fn run(&self) -> &str {
        checkpoint::run_of(&self.notes)
    }

    /// Checks that the model's task supports a command.
    ///
    /// # Errors
    /// When it does not. The message lists the tasks that do.
    pub fn check_command(&self, command: &str) -> Result<()> {
        if self.plan.task.commands().contains(&command) {
            return Ok(());
        }
        let tasks = super::all().into_iter().filter(|task| task.commands().contains(&command));
        let tasks: Vec<&str> = tasks.map(|task| task.name()).collect();
        Err(Error::in_file(
            &self.path,
            format!(
                "this is a model of {}; `zor {command}` needs a model of {}",
                self.plan.task.name(),
                tasks.join(", ")
            ),
        ))
    }
}

/// Restores the plan from a model's metadata. `path` is the file, for error messages.
///
/// # Errors
/// When the task is unknown.
pub fn plan_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<Plan> {
    let task = task_of(notes, path)?;
    let options = checkpoint::settings_of(notes).unwrap_or_default();
    // Settings saved by an earlier version may be invalid today; the preset is enough to use a
    // model.
    Ok(Plan::new(task, &options).unwrap_or_else(|_| Plan::of(task)))
}

/// Returns the task that a model was trained for.
fn task_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<&'static dyn Task> {
    let name = notes.get("task").map_or("", String::as_str);
    super::named(name).map_err(|_| {
        Error::in_file(
            path,
            format!(
                "it was trained for the unknown task '{}'; known tasks are {}",
                crate::error::escaped(name),
                super::names().join(", ")
            ),
        )
    })
}
