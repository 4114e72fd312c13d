//! Loading of saved models: their task is found by the name in their notes.

use std::collections::BTreeMap;
use std::path::Path;

use zor_core::burn::tensor::Device;

use crate::error::{Error, Result};
use crate::settings::Options;
use crate::task::{Model, Plan, Task};
use crate::training::checkpoint;
use crate::training::run_folder;

impl Model {
    /// Loads a model from a file, a run's folder or a task's folder.
    ///
    /// # Errors
    /// When there is none, the file is damaged, or its task is unknown.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let path = run_folder::model_file(path)?;
        let (network, header) = zor_io::load(&path, device)?;
        let plan = plan_of(&header.notes, &path)?;
        Ok(Self { network, plan, notes: header.notes, path })
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
        if self.plan.task.commands().contains(&command) {
            return Ok(());
        }
        let tasks = super::all().into_iter().filter(|task| task.commands().contains(&command));
        let tasks: Vec<&str> = tasks.map(|task| task.name()).collect();
        Err(Error::in_file(
            &self.path,
            format!(
                "it is a model of {}; zor {command} takes models of {}",
                self.plan.task.name(),
                tasks.join(", ")
            ),
        ))
    }
}

/// The plan in the notes of a model. `path` is its place, for messages.
///
/// # Errors
/// When its task is unknown.
pub fn plan_of(notes: &BTreeMap<String, String>, path: &Path) -> Result<Plan> {
    let task = task_of(notes, path)?;
    let options = checkpoint::settings_of(notes).unwrap_or_default();
    // Settings that an earlier version wrote may be refused today; the task's own are enough to use
    // a model.
    Ok(Plan::new(task, &with_task(options, task)).unwrap_or_else(|_| Plan::of(task)))
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
    super::named(name).map_err(|_| {
        Error::in_file(
            path,
            format!(
                "it was trained for the task '{}', which is unknown here; known tasks are {}",
                crate::error::escaped(name),
                super::names().join(", ")
            ),
        )
    })
}
