//! Settings of a training: the defaults, the task's own, a TOML file and flags, merged in this
//! order.

mod names;
mod options;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;
pub use zor_core::ops::Precision;
use zor_core::{Activation, Optimizer, Rule};
use zor_data::table::TargetKind;
use zor_data::{Augment, Reading, Size};
use zor_optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{Error, Result};
use crate::tasks::{self, Task};
use names::did_you_mean;
pub(crate) use names::unknown;
pub use names::{
    ClassBalance, Count, OptimizerName, RuleName, ScheduleName, Selection, TrainingSize,
};
pub use options::Options;

/// The settings of a training. The fields are the keys of a TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The task.
    #[serde(with = "tasks::by_name")]
    pub task: &'static dyn Task,
    /// The network, one of the task's.
    pub network: String,
    /// The preset of the rule.
    pub rule: RuleName,
    /// Seed of weights, batches, augmentation and random selection.
    pub seed: u64,
    /// Number of training steps.
    pub steps: u64,
    /// Number of examples in a batch.
    pub batch: usize,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// Number of steps in which the learning rate rises from zero, at most half of all.
    pub warm_up: u64,
    /// The course of the learning rate after that.
    pub schedule: ScheduleName,
    /// The momentum of Muon or SGD, in [0, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of a label that is spread evenly over all classes.
    pub label_smoothing: f32,
    /// The way that classes of different sizes count alike.
    pub class_balance: ClassBalance,
    /// Units of a hidden layer.
    pub hidden: usize,
    /// Activation function of the output.
    pub output_activation: Activation,
    /// Number of training examples, or "all".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_samples: Option<Count>,
    /// Number of training examples of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_class: Option<usize>,
    /// The first examples of the set, or random ones, where not all are taken.
    pub samples: Selection,
    /// Whether examples are changed at random while learning.
    pub augment: bool,
    /// Relative height and width of the centre crop that the first 3/8 of the steps train on; 1
    /// turns it off.
    pub early_crop: f32,
    /// Number of training examples that are held out for evaluation instead of the test set: of
    /// each class its share, the last ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<usize>,
    /// Whether predictions are averaged over an image and its mirror image.
    pub test_time_flip: bool,
    /// Whether predictions are averaged over an image and its copies moved by a pixel.
    pub test_time_shift: bool,
    /// Whether backpropagation is trained for comparison.
    pub baseline: bool,
    /// Number of CPU threads; all cores by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// The device, such as `flex`.
    pub device: String,
    /// Precision of matrix products on a GPU.
    pub precision: Precision,
    /// The folder of named data sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The user's own data in place of a named data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The size that the user's pictures are scaled to, such as `32x32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Size>,
    /// The size of the centre that is cut out of the user's pictures, after they are scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Size>,
    /// Whether damaged pictures of the user are skipped.
    pub skip_damaged: bool,
    /// The column of a table that is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The kind of the target: classes or numbers; found by its values by default.
    pub target_kind: TargetKind,
    /// Columns of a table that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Random changes of images.
    pub augmentation: Augment,
    /// Details of the rule.
    pub rule_settings: Rule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            task: tasks::TASKS[0],
            network: String::new(),
            rule: RuleName::Default,
            seed: 0,
            steps: 1000,
            batch: 128,
            optimizer: OptimizerName::Muon,
            learning_rate: 0.02,
            warm_up: 0,
            schedule: ScheduleName::Linear,
            momentum: None,
            weight_decay: 0.0,
            label_smoothing: 0.0,
            class_balance: ClassBalance::None,
            hidden: 64,
            output_activation: Activation::None,
            train_samples: None,
            samples_per_class: None,
            samples: Selection::First,
            augment: false,
            early_crop: 1.0,
            hold_out: None,
            test_time_flip: false,
            test_time_shift: false,
            baseline: false,
            threads: None,
            device: "auto".to_owned(),
            precision: Precision::default(),
            data_dir: None,
            data: None,
            resize: None,
            crop: None,
            skip_damaged: false,
            target: None,
            target_kind: TargetKind::Auto,
            ignore: Vec::new(),
            augmentation: Augment::default(),
            rule_settings: Rule::default(),
        }
    }
}

impl Settings {
    /// The settings in a text of TOML, and the task's for all others.
    ///
    /// # Errors
    /// Those of [`Options::parse`] and [`Options::resolve`].
    pub fn parse(text: &str) -> Result<Self> {
        Options::parse(text)?.resolve()
    }

    /// The settings of a task where the user gives none.
    pub fn of(task: &'static dyn Task) -> Self {
        Self::preset(task, &Options::default())
    }

    fn preset(task: &'static dyn Task, given: &Options) -> Self {
        let preset = task.preset(given);
        let network = given.network().unwrap_or_else(|| match &preset.network[..] {
            "" => task.networks()[0].to_owned(),
            name => name.to_owned(),
        });
        let mut settings = Self { task, network, rule: given.rule(), ..preset };
        // A preset's learning rate and weight decay are for its own optimizer.
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

    pub(crate) fn resolve(given: &Options) -> Result<Self> {
        for [one, other] in options::EXCLUSIVE {
            if given.has(one) && given.has(other) {
                return Err(Error::input(format!(
                    "{one} and {other} exclude each other; give one of them"
                )));
            }
        }
        let task = match given.get::<String>("task") {
            Some(name) => tasks::named(&name)?,
            None => {
                return Err(Error::input(format!(
                    "no task is named; choose from {}",
                    tasks::names().join(", ")
                )));
            }
        };
        let preset = Self::preset(task, given);
        check_network(task, &preset.network)?;
        if given.has("momentum") && preset.optimizer.usual().2.is_none() {
            return Err(Error::input(format!(
                "momentum is an option of muon and sgd; the optimizer is {}",
                preset.optimizer
            )));
        }
        let internal = |error: &dyn std::fmt::Display| {
            Error::input(format!("the settings of {} cannot be merged: {error}", task.name()))
        };
        let mut table = Table::try_from(&preset).map_err(|error| internal(&error))?;
        options::merge(&mut table, given.table().clone());
        let mut settings = Self::deserialize(table).map_err(|error| internal(&error.message()))?;
        settings.network = preset.network.clone();
        settings.check()?;
        match settings.changed_without_effect(&preset) {
            Some((key, reason)) => Err(Error::input(format!("{key} has no effect here: {reason}"))),
            None => Ok(settings),
        }
    }

    /// Settings that repeat the training exactly, as TOML.
    ///
    /// # Errors
    /// When a value has no form in TOML, such as a seed above 2^63 - 1.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::input(format!("the settings cannot be written: {error}")))
    }

    /// Number of examples that the training learns from.
    pub fn training_size(&self) -> TrainingSize {
        match (self.samples_per_class, self.train_samples) {
            (Some(n), _) => TrainingSize::PerClass(n),
            (None, Some(Count::Number(n))) => TrainingSize::Total(n),
            (None, None | Some(Count::All)) => TrainingSize::All,
        }
    }

    /// Random changes of images, if there are any.
    pub fn augmentation(&self) -> Option<&Augment> {
        self.augment.then_some(&self.augmentation)
    }

    /// The way that the user's pictures are read.
    pub fn reading(&self) -> Reading {
        let (resize, crop, skip_damaged) = (self.resize, self.crop, self.skip_damaged);
        Reading { resize, crop, skip_damaged }
    }

    /// The course of the learning rate.
    pub fn learning_rate(&self) -> Schedule {
        let decay = match self.schedule {
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Linear => Decay::Linear,
        };
        let warm_up = self.warm_up.min(self.steps / 2);
        Schedule { peak: self.learning_rate, warm_up, decay, steps: self.steps }
    }

    /// The optimizer with its learning rate.
    pub fn build_optimizer(&self) -> Box<dyn Optimizer> {
        let (schedule, momentum) = (self.learning_rate(), self.momentum.unwrap_or(0.0));
        match self.optimizer {
            OptimizerName::AdamW => {
                Box::new(AdamW::new(schedule).with_weight_decay(self.weight_decay))
            }
            OptimizerName::Adam => Box::new(AdamW::adam(schedule)),
            OptimizerName::Muon => Box::new(
                Muon::new(schedule).with_momentum(momentum).with_weight_decay(self.weight_decay),
            ),
            OptimizerName::Sgd => {
                let weight_decay = self.weight_decay;
                Box::new(Sgd { momentum, weight_decay, ..Sgd::new(schedule) })
            }
        }
    }

    /// Settings that have no effect beside the others, each with the reason.
    pub(crate) fn without_effect(&self) -> Vec<(&'static str, String)> {
        let mut idle = self.task.without_effect(self);
        if self.optimizer == OptimizerName::Adam {
            let reason = format!("the optimizer is {}; choose adamw, muon or sgd", self.optimizer);
            idle.push(("weight_decay", reason));
        }
        if !self.augment {
            idle.push(("augmentation", "augment is false".to_owned()));
        }
        if self.training_size() == TrainingSize::All {
            let reason =
                "all training examples are learned from; give train_samples or samples_per_class";
            idle.push(("samples", reason.to_owned()));
        }
        idle
    }

    /// The first setting that differs from the others' and changes nothing, with the reason.
    pub(crate) fn changed_without_effect(&self, others: &Self) -> Option<(&'static str, String)> {
        let values = |settings: &Self| Table::try_from(settings).unwrap_or_default();
        let (mine, theirs) = (values(self), values(others));
        self.without_effect().into_iter().find(|(key, _)| mine.get(*key) != theirs.get(*key))
    }

    fn check(&self) -> Result<()> {
        let at_least_one = [
            ("steps", self.steps == 0),
            ("batch", self.batch == 0),
            ("hidden", self.hidden == 0),
            ("samples_per_class", self.samples_per_class == Some(0)),
            ("train_samples", self.train_samples == Some(Count::Number(0))),
            ("hold_out", self.hold_out == Some(0)),
        ];
        for (name, is_zero) in at_least_one {
            if is_zero {
                return Err(Error::input(format!("{name} is 0; it must be at least 1")));
            }
        }
        check_threads(self.threads)?;
        for (name, path) in [("data", &self.data), ("data_dir", &self.data_dir)] {
            check_path(name, path.as_deref())?;
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::input(format!(
                "label_smoothing is {}; it must be from 0 to 1",
                self.label_smoothing
            )));
        }
        if !(self.early_crop > 0.0 && self.early_crop <= 1.0) {
            return Err(Error::input(format!(
                "early_crop is {}; it must be above 0 and at most 1, which is whole images",
                self.early_crop
            )));
        }
        if self.augment {
            self.augmentation.check()?;
        }
        self.rule_settings.check()?;
        self.build_optimizer().check()?;
        self.task.check(self)
    }
}

/// The name of a network; `mlp` is another name for `dense`.
fn network_name(name: String) -> String {
    if name == "mlp" { "dense".to_owned() } else { name }
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

/// Refuses a path that settings cannot hold. `name` is that of its setting or flag.
pub(crate) fn check_path(name: &str, path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) if path.to_str().is_none() => Err(Error::input(format!(
            "{name} is {}, a name that is not UTF-8 and that settings cannot hold; rename it, or make a link to it with another name",
            crate::error::shown(path)
        ))),
        _ => Ok(()),
    }
}

/// Largest number of CPU threads: more take longer to start than to compute.
const MAX_THREADS: usize = 512;

/// Refuses numbers of threads that cannot be worked with.
///
/// # Errors
/// When the number is 0 or above 512.
pub fn check_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(n) if !(1..=MAX_THREADS).contains(&n) => Err(Error::input(format!(
            "threads is {n}; it must be at least 1 and at most {MAX_THREADS}, best the number of cores"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(toml: &str) -> Result<Settings> {
        Settings::parse(toml)
    }

    fn refused(toml: &str, words: &[&str]) {
        let message = resolve(toml).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "'{word}' is not in: {message}");
        }
    }

    const TASK: &str = "task = 'fashion-reconstruction'\n";

    #[test]
    fn a_training_is_repeated_by_the_settings_it_writes() {
        let mut texts: Vec<String> =
            tasks::names().iter().map(|name| format!("task = '{name}'")).collect();
        texts.push("task = 'fashion-classification'\nnetwork = 'dense'".to_owned());
        texts.push("task = 'cifar-classification'\nrule = 'backprop'".to_owned());
        for extra in [
            "train_samples = 'all'",
            "rule = 'classic'\naugment = false",
            "threshold = 0.5",
            "optimizer = 'adam'",
        ] {
            texts.push(format!("{TASK}{extra}"));
        }
        for text in texts {
            let settings = resolve(&text).unwrap();
            let written = settings.to_toml().unwrap();
            assert_eq!(resolve(&written).unwrap(), settings, "{written}");
            let json = serde_json::to_value(&settings).unwrap();
            assert_eq!(Options::from_json(json).unwrap().resolve().unwrap(), settings);
        }
    }

    #[test]
    fn settings_of_earlier_versions_are_understood() {
        let json = serde_json::json!({
            "task": "cifar-classification", "model": "dense", "rule": "default", "seed": 3,
            "threshold": 0.25, "target_spike_rate": null, "learning_rate": 0.019_999_999_552_965_164,
            "augment": false, "augmentation": null, "images": "/own", "momentum": 0.5,
        });
        let settings = Options::from_json(json).unwrap().resolve().unwrap();
        assert_eq!((&settings.network[..], settings.seed), ("dense", 3));
        assert_eq!((settings.rule_settings.threshold, settings.learning_rate), (0.25, 0.02));
        assert_eq!(settings.data, Some(PathBuf::from("/own")));
    }

    #[test]
    fn later_settings_win_and_tables_are_merged_key_by_key() {
        let file =
            Options::parse("steps = 5\nsamples_per_class = 3\naugmentation.shift = 1").unwrap();
        let flags = Options::parse("train_samples = 'all'\naugmentation.dim = 0.5").unwrap();
        let both = flags.or(file);
        assert_eq!((both.get("steps"), both.has("samples_per_class")), (Some(5), false));
        let task = Options::parse("task = 'fashion-classification'").unwrap();
        let augmentation = both.or(task).resolve().unwrap().augmentation;
        assert_eq!((augmentation.shift, augmentation.dim), (1, 0.5));
        assert!(augmentation.flip, "the task's own stays");
    }

    #[test]
    fn the_rule_of_backprop_is_the_tasks_own_without_normalisation() {
        for task in tasks::names() {
            let own = resolve(&format!("task = '{task}'")).unwrap();
            let backprop = resolve(&format!("task = '{task}'\nrule = 'backprop'")).unwrap();
            let rule_settings = Rule {
                normalize_signal: false,
                normalize_presynaptic: false,
                ..own.rule_settings.clone()
            };
            assert_eq!(backprop, Settings { rule_settings, rule: RuleName::Backprop, ..own });
        }
    }

    #[test]
    fn small_pools_as_they_are_get_gates_that_stay_open() {
        let task = "task = 'cifar-reconstruction'\ntrain_samples = 64\n";
        let plain = resolve(&format!("{task}augment = false")).unwrap();
        assert_eq!((plain.rule_settings.threshold, plain.batch), (-100.0, 64));
        let augmented = resolve(task).unwrap();
        assert!(augmented.augmentation().is_some_and(|augment| augment.stretch > 0.0));
        assert_eq!(augmented.rule_settings.threshold, -2.0);
    }

    #[test]
    fn another_optimizer_brings_its_own_learning_rate() {
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'")).unwrap();
        assert_eq!((settings.learning_rate, settings.weight_decay), (1e-3, 0.01));
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'\nlearning_rate = 0.5")).unwrap();
        assert_eq!(settings.learning_rate, 0.5);
    }

    #[test]
    fn settings_without_effect_are_refused() {
        let cifar = "task = 'cifar-classification'\n";
        let cases = [
            (format!("{TASK}optimizer = 'adam'\nweight_decay = 0.5"), "weight_decay"),
            (format!("{TASK}label_smoothing = 0.9"), "label_smoothing"),
            (format!("{TASK}early_crop = 0.5"), "early_crop"),
            (format!("{TASK}test_time_flip = true"), "test_time_flip"),
            (format!("{TASK}target = 'price'"), "target"),
            (format!("{TASK}augment = false\n[augmentation]\nshift = 3"), "augmentation"),
            (format!("{TASK}train_samples = 'all'\nsamples = 'random'"), "samples"),
            (format!("{cifar}hidden = 5"), "hidden"),
            (format!("{cifar}output_activation = 'relu'"), "output_activation"),
            (format!("{cifar}target_spike_rate = 0.2\nearly_crop = 0.5"), "early_crop"),
            ("task = 'fashion-classification'\nhidden = 5".to_owned(), "hidden"),
            ("task = 'cifar-colorization'\nhidden = 5".to_owned(), "hidden"),
            (
                "task = 'cifar-reconstruction'\nnetwork = 'conv'\nearly_crop = 0.5".to_owned(),
                "early_crop",
            ),
        ];
        for (toml, name) in cases {
            refused(&toml, &[name, "no effect"]);
        }
        // Values in force are no fault, and neither are settings that have an effect.
        for toml in [
            format!("{TASK}optimizer = 'adam'\nweight_decay = 0.0"),
            format!("{TASK}label_smoothing = 0.0\nearly_crop = 1.0\nhidden = 5"),
            format!("{cifar}network = 'mlp'\nhidden = 5\nlabel_smoothing = 0.3"),
            format!("{cifar}early_crop = 0.875"),
            "task = 'cifar-reconstruction'\nnetwork = 'conv'\nhidden = 5".to_owned(),
        ] {
            resolve(&toml).unwrap();
        }
    }

    #[test]
    fn two_places_of_data_exclude_each_other_and_a_later_one_replaces_either() {
        refused(&format!("{TASK}data = 'a'\ndata_dir = 'b'"), &["data", "data_dir", "exclude"]);
        let parse = |text| Options::parse(text).unwrap();
        let both = parse("data_dir = 'b'").or(parse("data = 'a'"));
        assert_eq!((both.has("data"), both.has("data_dir")), (false, true));
        let both = parse("data = 'a'").or(parse("data_dir = 'b'"));
        assert_eq!((both.has("data"), both.has("data_dir")), (true, false));
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_the_nearest_key() {
        refused(&format!("{TASK}\nstep = 5"), &["line 3", "'step'", "did you mean 'steps'"]);
        refused(&format!("{TASK}tresholt = 1"), &["line 2", "did you mean 'threshold'"]);
        let inner = format!("{TASK}steps = 1\n[augmentation]\nflip = true\nshft = 3");
        refused(&inner, &["line 5", "'shft'", "did you mean 'shift'"]);
        refused(&format!("{TASK}steps = 'many'"), &["line 2", "steps: ", "many"]);
        refused(&format!("{TASK}steps = \n"), &["line 2"]);
        refused("task = 'fashion-reconstrution'", &["did you mean 'fashion-reconstruction'"]);
        refused(&format!("{TASK}network = 'dens'"), &["no network 'dens'", "did you mean 'dense'"]);
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_by_name() {
        refused("", &["no task", "fashion-reconstruction"]);
        refused("task = 'knitting'", &["knitting", "fashion-reconstruction"]);
        refused(&format!("{TASK}network = 'conv'"), &["no network 'conv'", "dense"]);
        refused(&format!("{TASK}colour = 1"), &["colour"]);
        refused(&format!("{TASK}steps = 0"), &["steps", "at least 1"]);
        refused(&format!("{TASK}batch = 0"), &["batch"]);
        refused(&format!("{TASK}samples_per_class = 0"), &["samples_per_class"]);
        refused(&format!("{TASK}train_samples = 0"), &["train_samples"]);
        refused(&format!("{TASK}learning_rate = nan"), &["learning rate", "NaN"]);
        refused(&format!("{TASK}learning_rate = inf"), &["learning rate", "inf"]);
        refused(&format!("{TASK}optimizer = 'lion'"), &["lion", "muon"]);
        refused(&format!("{TASK}threshold = nan"), &["threshold"]);
        refused(&format!("{TASK}target_spike_rate = 1.5"), &["target_spike_rate", "at most 1"]);
        refused(&format!("{TASK}momentum = 1.0"), &["momentum", "[0, 1)"]);
        refused(
            &format!("{TASK}optimizer = 'adam'\nmomentum = 0.5"),
            &["momentum", "muon", "adam"],
        );
        refused(
            "task = 'fashion-classification'\nlabel_smoothing = 1.5",
            &["label_smoothing", "0 to 1"],
        );
        refused("task = 'cifar-colorization'\nearly_crop = 0.0", &["early_crop", "at most 1"]);
        refused(&format!("{TASK}train_samples = 5\nsamples_per_class = 1"), &["exclude"]);
    }
}
