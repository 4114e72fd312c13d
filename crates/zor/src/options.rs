//! Settings of a training task: what a TOML file or flags say, laid over what the task's preset says.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zor_core::{Activation, Optimizer, Rule};
use zor_data::Augment;
use zor_optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{Error, Result};

/// Names a value of an enum as in TOML files and flags.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// All names, as in TOML files and flags.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name, as in TOML files and flags.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(Error::input(format!(
                        "'{name}' is not known here; choose from {}", Self::NAMES.join(", ")
                    ))),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A task that Zor has a preset for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskName {
    /// Learn to reproduce photographs of clothing, from one of each kind by default.
    FashionReconstruction,
}
named!(TaskName { FashionReconstruction = "fashion-reconstruction" });

/// A preset of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleName {
    /// [`Rule::classic`].
    Classic,
    /// [`Rule::default`], as the task tunes it.
    Default,
}
named!(RuleName { Classic = "classic", Default = "default" });

/// An optimizer by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptimizerName {
    /// AdamW.
    AdamW,
    /// Adam without weight decay.
    Adam,
    /// Muon.
    Muon,
    /// Gradient descent with momentum.
    Sgd,
}
named!(OptimizerName { AdamW = "adamw", Adam = "adam", Muon = "muon", Sgd = "sgd" });

impl OptimizerName {
    /// Learning rate and weight decay where a task has none for it.
    fn usual(self) -> (f32, f32) {
        match self {
            Self::AdamW => (1e-3, 0.01),
            Self::Adam => (1e-3, 0.0),
            Self::Muon => (0.02, 0.0),
            Self::Sgd => (1e-3, 0.0),
        }
    }
}

/// A learning-rate schedule by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleName {
    /// The same rate at every step.
    Constant,
    /// Half a cosine to zero.
    Cosine,
    /// A straight line to zero.
    Linear,
}
named!(ScheduleName { Constant = "constant", Cosine = "cosine", Linear = "linear" });

/// Which images of a class are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first of the set.
    First,
    /// Drawn with the seed.
    Random,
}
named!(Choice { First = "first", Random = "random" });

/// Which training images a run learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// So many of each class.
    PerClass(usize),
    /// So many of the whole set.
    Total(usize),
    /// All there are.
    All,
}

/// `all` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All there are.
    All,
    /// So many.
    Number(usize),
}

impl std::str::FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Number).map_err(|_| {
                Error::input(format!(
                    "'{text}' is not a number of samples; give one, or 'all'"
                ))
            }),
        }
    }
}

impl Serialize for Count {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_str("all"),
            Self::Number(n) => to.serialize_u64(*n as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(usize),
            Word(String),
        }
        match Either::deserialize(from)? {
            Either::Number(n) => Ok(Self::Number(n)),
            Either::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// What a user says about a run; everything may be left out. The keys of a TOML file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The task.
    pub task: Option<TaskName>,
    /// The rule's preset.
    pub rule: Option<RuleName>,
    /// Seed of weights, batches, augmentation and random choice.
    pub seed: Option<u64>,
    /// Training steps.
    pub steps: Option<u64>,
    /// Images in a batch.
    pub batch: Option<usize>,
    /// Highest learning rate.
    pub learning_rate: Option<f32>,
    /// How it decays.
    pub schedule: Option<ScheduleName>,
    /// The optimizer.
    pub optimizer: Option<OptimizerName>,
    /// Decoupled weight decay.
    pub weight_decay: Option<f32>,
    /// Units between input and output.
    pub hidden: Option<usize>,
    /// Threshold of the hidden units.
    pub threshold: Option<f32>,
    /// Activation function of the output.
    pub output_activation: Option<Activation>,
    /// How many training images: a number or "all".
    pub train_samples: Option<Count>,
    /// How many training images of each class.
    pub samples_per_class: Option<usize>,
    /// The first images, or random ones.
    pub samples: Option<Choice>,
    /// Whether images are augmented.
    pub augment: Option<bool>,
    /// How they are augmented.
    pub augmentation: Option<Augment>,
    /// Whether two networks with backpropagation are trained beside it.
    pub baseline: Option<bool>,
    /// Threads of the CPU; all cores if not said.
    pub threads: Option<usize>,
    /// The device, such as `flex`.
    pub device: Option<String>,
    /// Where the data set lies.
    pub data_dir: Option<PathBuf>,
}

impl Options {
    /// These options, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // Two ways to say how many samples: one of them here silences both there.
        let counted = self.train_samples.is_some() || self.samples_per_class.is_some();
        let others = if counted {
            Self {
                train_samples: None,
                samples_per_class: None,
                ..others
            }
        } else {
            others
        };
        Self {
            task: self.task.or(others.task),
            rule: self.rule.or(others.rule),
            seed: self.seed.or(others.seed),
            steps: self.steps.or(others.steps),
            batch: self.batch.or(others.batch),
            learning_rate: self.learning_rate.or(others.learning_rate),
            schedule: self.schedule.or(others.schedule),
            optimizer: self.optimizer.or(others.optimizer),
            weight_decay: self.weight_decay.or(others.weight_decay),
            hidden: self.hidden.or(others.hidden),
            threshold: self.threshold.or(others.threshold),
            output_activation: self.output_activation.or(others.output_activation),
            train_samples: self.train_samples.or(others.train_samples),
            samples_per_class: self.samples_per_class.or(others.samples_per_class),
            samples: self.samples.or(others.samples),
            augment: self.augment.or(others.augment),
            augmentation: self.augmentation.or(others.augmentation),
            baseline: self.baseline.or(others.baseline),
            threads: self.threads.or(others.threads),
            device: self.device.or(others.device),
            data_dir: self.data_dir.or(others.data_dir),
        }
    }
}

/// Everything a run needs, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The task.
    pub task: TaskName,
    /// The rule's preset by name.
    pub rule_name: RuleName,
    /// The rule.
    pub rule: Rule,
    /// Seed of weights, batches, augmentation and random choice.
    pub seed: u64,
    /// Training steps.
    pub steps: u64,
    /// Images in a batch.
    pub batch: usize,
    /// The optimizer by name.
    pub optimizer: OptimizerName,
    /// Its learning rate.
    pub learning_rate: Schedule,
    /// Its weight decay.
    pub weight_decay: f32,
    /// Units between input and output.
    pub hidden: usize,
    /// Activation function of the output.
    pub output_activation: Activation,
    /// Which images are learned from.
    pub samples: Samples,
    /// The first images, or random ones.
    pub choice: Choice,
    /// How images are augmented, if they are.
    pub augment: Option<Augment>,
    /// Whether two networks with backpropagation are trained beside it.
    pub baseline: bool,
    /// Threads of the CPU; all cores if not said.
    pub threads: Option<usize>,
    /// The device.
    pub device: String,
    /// Where the data set lies, if said.
    pub data_dir: Option<PathBuf>,
}

impl Settings {
    /// Decides what the options leave open.
    ///
    /// # Errors
    /// When no task is named, or a value cannot be used.
    pub fn resolve(options: &Options) -> Result<Self> {
        let task = options.task.ok_or_else(|| {
            Error::input(format!(
                "no task is named; choose from {}",
                TaskName::NAMES.join(", ")
            ))
        })?;
        let samples = match (options.samples_per_class, options.train_samples) {
            (Some(_), Some(_)) => {
                return Err(Error::input(
                    "train_samples and samples_per_class exclude each other; give one of them",
                ));
            }
            (Some(n), None) => Samples::PerClass(n),
            (None, Some(Count::Number(n))) => Samples::Total(n),
            (None, Some(Count::All)) => Samples::All,
            (None, None) => Samples::PerClass(1),
        };
        let augment = options
            .augment
            .unwrap_or(matches!(samples, Samples::PerClass(_)));
        let rule_name = options.rule.unwrap_or(RuleName::Default);
        let preset = match task {
            TaskName::FashionReconstruction => {
                crate::presets::fashion_reconstruction(rule_name, samples, augment)
            }
        };
        let steps = options.steps.unwrap_or(preset.steps);
        let decay = match options.schedule.unwrap_or(preset.schedule) {
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Linear => Decay::Linear,
        };
        // A preset's rate and decay are for its own optimizer.
        let optimizer = options.optimizer.unwrap_or(preset.optimizer);
        let (usual_rate, usual_decay) = if optimizer == preset.optimizer {
            (preset.learning_rate, preset.weight_decay)
        } else {
            optimizer.usual()
        };
        let peak = options.learning_rate.unwrap_or(usual_rate);
        let threshold = options.threshold.unwrap_or(preset.rule.threshold);
        let settings = Self {
            task,
            rule_name,
            rule: Rule {
                threshold,
                ..preset.rule
            },
            seed: options.seed.unwrap_or(0),
            steps,
            batch: options.batch.unwrap_or(preset.batch),
            optimizer,
            learning_rate: Schedule {
                peak,
                warm_up: 0,
                decay,
                steps,
            },
            weight_decay: options.weight_decay.unwrap_or(usual_decay),
            hidden: options.hidden.unwrap_or(64),
            output_activation: options
                .output_activation
                .clone()
                .unwrap_or(preset.output_activation),
            samples,
            choice: options.samples.unwrap_or(Choice::First),
            augment: augment.then(|| options.augmentation.clone().unwrap_or(preset.augmentation)),
            baseline: options.baseline.unwrap_or(true),
            threads: options.threads,
            device: options.device.clone().unwrap_or_else(|| "auto".to_owned()),
            data_dir: options.data_dir.clone(),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Options that repeat this run exactly.
    pub fn to_options(&self) -> Options {
        let (train_samples, samples_per_class) = match self.samples {
            Samples::PerClass(n) => (None, Some(n)),
            Samples::Total(n) => (Some(Count::Number(n)), None),
            Samples::All => (Some(Count::All), None),
        };
        let schedule = match self.learning_rate.decay {
            Decay::Constant => ScheduleName::Constant,
            Decay::Cosine => ScheduleName::Cosine,
            Decay::Linear => ScheduleName::Linear,
        };
        Options {
            task: Some(self.task),
            rule: Some(self.rule_name),
            seed: Some(self.seed),
            steps: Some(self.steps),
            batch: Some(self.batch),
            learning_rate: Some(self.learning_rate.peak),
            schedule: Some(schedule),
            optimizer: Some(self.optimizer),
            weight_decay: Some(self.weight_decay),
            hidden: Some(self.hidden),
            threshold: Some(self.rule.threshold),
            output_activation: Some(self.output_activation.clone()),
            train_samples,
            samples_per_class,
            samples: Some(self.choice),
            augment: Some(self.augment.is_some()),
            augmentation: self.augment.clone(),
            baseline: Some(self.baseline),
            threads: self.threads,
            device: Some(self.device.clone()),
            data_dir: self.data_dir.clone(),
        }
    }

    /// The optimizer with its schedule.
    pub fn build_optimizer(&self) -> Box<dyn Optimizer> {
        let schedule = self.learning_rate;
        match self.optimizer {
            OptimizerName::AdamW => {
                Box::new(AdamW::new(schedule).with_weight_decay(self.weight_decay))
            }
            OptimizerName::Adam => Box::new(AdamW::adam(schedule)),
            OptimizerName::Muon => {
                Box::new(Muon::new(schedule).with_weight_decay(self.weight_decay))
            }
            OptimizerName::Sgd => Box::new(Sgd {
                weight_decay: self.weight_decay,
                ..Sgd::new(schedule)
            }),
        }
    }

    fn check(&self) -> Result<()> {
        let at_least_one = [
            ("steps", self.steps == 0),
            ("batch", self.batch == 0),
            ("hidden", self.hidden == 0),
            ("samples_per_class", self.samples == Samples::PerClass(0)),
            ("train_samples", self.samples == Samples::Total(0)),
            ("threads", self.threads == Some(0)),
        ];
        for (name, is_zero) in at_least_one {
            if is_zero {
                return Err(Error::input(format!("{name} is 0; it must be at least 1")));
            }
        }
        if let Some(augment) = &self.augment {
            augment.check()?;
        }
        self.rule.check()?;
        self.build_optimizer().check()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(toml: &str) -> Result<Settings> {
        let options: Options =
            toml::from_str(toml).map_err(|error| Error::input(error.to_string()))?;
        Settings::resolve(&options)
    }

    fn refused(toml: &str, words: &[&str]) {
        let message = resolve(toml).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "'{word}' is not in: {message}");
        }
    }

    const TASK: &str = "task = 'fashion-reconstruction'\n";

    #[test]
    fn a_run_is_repeated_by_the_options_it_writes() {
        for extra in [
            "",
            "train_samples = 'all'",
            "rule = 'classic'\naugment = false",
        ] {
            let settings = resolve(&format!("{TASK}{extra}")).unwrap();
            let written = toml::to_string(&settings.to_options()).unwrap();
            assert_eq!(resolve(&written).unwrap(), settings, "{written}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: Options = toml::from_str("steps = 5\nsamples_per_class = 3").unwrap();
        let flags = Options {
            train_samples: Some(Count::All),
            ..Options::default()
        };
        let both = flags.or(file);
        assert_eq!((both.steps, both.samples_per_class), (Some(5), None));
    }

    #[test]
    fn another_optimizer_brings_its_own_learning_rate() {
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'")).unwrap();
        assert_eq!(
            (settings.learning_rate.peak, settings.weight_decay),
            (1e-3, 0.01)
        );
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'\nlearning_rate = 0.5")).unwrap();
        assert_eq!(settings.learning_rate.peak, 0.5);
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        refused("", &["no task", "fashion-reconstruction"]);
        refused("task = 'knitting'", &["knitting", "fashion-reconstruction"]);
        refused(&format!("{TASK}colour = 1"), &["colour"]);
        refused(&format!("{TASK}steps = 0"), &["steps", "at least 1"]);
        refused(&format!("{TASK}batch = 0"), &["batch"]);
        refused(
            &format!("{TASK}samples_per_class = 0"),
            &["samples_per_class"],
        );
        refused(&format!("{TASK}train_samples = 0"), &["train_samples"]);
        refused(
            &format!("{TASK}learning_rate = nan"),
            &["learning rate", "NaN"],
        );
        refused(
            &format!("{TASK}learning_rate = inf"),
            &["learning rate", "inf"],
        );
        refused(&format!("{TASK}optimizer = 'lion'"), &["lion", "muon"]);
        refused(&format!("{TASK}threshold = nan"), &["threshold"]);
        refused(
            &format!("{TASK}train_samples = 5\nsamples_per_class = 1"),
            &["exclude"],
        );
    }
}
