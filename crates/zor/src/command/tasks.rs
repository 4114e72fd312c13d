//! `zor tasks`: lists the tasks, or the settings of one task.

use std::fmt::Write as _;

use crate::task::{Plan, Task};
use crate::tasks;
use crate::{Error, Result};

/// `zor tasks`, or `zor tasks NAME`.
pub(super) fn run(name: Option<&str>) -> Result<()> {
    let text = match name {
        Some(name) => description(tasks::named(name)?)?,
        None => list(),
    };
    say!("{}", text.trim_end());
    Ok(())
}

/// Formats a line for each task.
pub(super) fn list() -> String {
    let tasks = tasks::all();
    let width = tasks.iter().map(|task| task.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for task in tasks {
        let _ = writeln!(text, "  {:<width$}  {}", task.name(), task.about());
    }
    text
}

/// Describes the networks and settings of a task, without settings that have no effect.
pub(super) fn description(task: &'static dyn Task) -> Result<String> {
    let plan = Plan::of(task);
    let wrong = |error: &dyn std::fmt::Display| {
        Error::input(format!("the settings of {} cannot be written: {error}", task.name()))
    };
    let mut table: toml::Table = plan.settings.to_toml()?.parse().map_err(|error| wrong(&error))?;
    for (key, _) in plan.without_effect() {
        table.remove(key);
    }
    let text = toml::to_string(&table).map_err(|error| wrong(&error))?;
    Ok(format!(
        "{}: {}\n\nNetworks (--network), the default first: {}\n\nSettings, as in a --config file; --set KEY=VALUE changes one:\n\n{}",
        task.name(),
        task.about(),
        task.networks().join(", "),
        text.trim_end()
    ))
}
