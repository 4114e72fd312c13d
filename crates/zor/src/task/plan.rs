//! A task with the settings to train it with.

use toml::Table;

use super::{Data, Task};
use crate::error::{Error, Result};
use crate::settings::{OptimizerName, Options, RuleName, Settings, TrainingSize, did_you_mean};

/// A task and the settings to train it with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The task.
    pub task: &'static dyn Task,
    /// Settings; [`Settings::task`] is the name of the task.
    pub settings: Settings,
}

impl Plan {
    /// A plan with the preset of the task.
    pub fn of(task: &'static dyn Task) -> Self {
        Self { task, settings: preset(task, &Options::default()) }
    }

    /// A plan with the preset of the task, overridden by the user's settings.
    ///
    /// # Errors
    /// When a value is not valid, or a given setting has no effect.
    pub fn new(task: &'static dyn Task, given: &Options) -> Result<Self> {
        let preset = Self { task, settings: preset(task, given) };
        check_network(task, &preset.settings.network)?;
        let optimizer = preset.settings.optimizer;
        if given.has("momentum") && optimizer.usual().2.is_none() {
            return Err(Error::input(format!(
                "momentum is an option of muon and sgd; the optimizer is {optimizer}"
            )));
        }
        let plan = Self { task, settings: merged(given, &preset.settings)? };
        plan.settings.check()?;
        task.check(&plan.settings)?;
        match plan.changed_without_effect(&preset.settings) {
            Some((key, reason)) => Err(Error::input(format!("{key} has no effect here: {reason}"))),
            None => Ok(plan),
        }
    }

    /// Adapts the settings that the user did not give to the data; see [`Task::fit_settings`].
    ///
    /// # Errors
    /// When a value is not valid.
    pub fn fit_to(&mut self, given: &Options, data: &Data) -> Result<()> {
        let mut fitted = self.settings.clone();
        self.task.fit_settings(data, &mut fitted);
        self.settings = merged(given, &fitted)?;
        self.settings.check()
    }

    /// Returns the settings that have no effect given the others, each with the reason.
    pub(crate) fn without_effect(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        let mut idle = self.task.without_effect(settings);
        if settings.optimizer == OptimizerName::Adam {
            let optimizer = settings.optimizer;
            let reason = format!("the optimizer is {optimizer}; choose adamw, muon or sgd");
            idle.push(("weight_decay", reason));
        }
        if !settings.augment {
            idle.push(("augmentation", "augment is false".to_owned()));
        }
        if settings.training_size() == TrainingSize::All {
            let reason = "all training examples are used; give train_samples or samples_per_class";
            idle.push(("samples", reason.to_owned()));
        }
        idle
    }

    /// Returns the first setting that differs from `others` but has no effect, with the reason.
    pub(crate) fn changed_without_effect(
        &self,
        others: &Settings,
    ) -> Option<(&'static str, String)> {
        let values = |settings: &Settings| Table::try_from(settings).unwrap_or_default();
        let (mine, theirs) = (values(&self.settings), values(others));
        self.without_effect().into_iter().find(|(key, _)| mine.get(*key) != theirs.get(*key))
    }
}

/// Returns the given settings over others, which keep their task and network: given names of these
/// may be aliases.
fn merged(given: &Options, others: &Settings) -> Result<Settings> {
    let (task, network) = (others.task.clone(), others.network.clone());
    Ok(Settings { task, network, ..given.over(others)? })
}

/// Returns the task's preset, which may depend on the given settings.
fn preset(task: &'static dyn Task, given: &Options) -> Settings {
    let preset = task.preset(given);
    let network = given.network().unwrap_or_else(|| match &preset.network[..] {
        "" => task.networks()[0].to_owned(),
        name => name.to_owned(),
    });
    let name = task.name().to_owned();
    let mut settings = Settings { task: name, network, rule: given.rule(), ..preset };
    // The learning rate and weight decay of a preset belong to its own optimizer.
    let optimizer = given.optimizer().unwrap_or(settings.optimizer);
    if optimizer != settings.optimizer {
        (settings.learning_rate, settings.weight_decay, settings.momentum) = optimizer.usual();
        settings.optimizer = optimizer;
    } else if settings.momentum.is_none() {
        settings.momentum = optimizer.usual().2;
    }
    if settings.rule == RuleName::Backprop {
        settings.rule_settings.normalize_signal = false;
        settings.rule_settings.normalize_presynaptic = false;
    }
    settings
}

fn check_network(task: &dyn Task, name: &str) -> Result<()> {
    let known = task.networks();
    if known.contains(&name) {
        return Ok(());
    }
    Err(Error::input(format!(
        "{} has no network '{name}'; {}choose {}",
        task.name(),
        did_you_mean(name, known.iter().copied()),
        known.join(" or ")
    )))
}
