//! Settings of a training: the defaults, the task's own, a TOML file and flags, merged in this
//! order.

mod names;
mod options;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
pub use zor_core::ops::Precision;
use zor_core::{Activation, Optimizer, Rule};
use zor_data::table::TargetKind;
use zor_data::{Augment, Reading, Size};
use zor_optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{Error, Result};
pub use names::{
    ClassBalance, Count, OptimizerName, RuleName, ScheduleName, Selection, TrainingSize,
};
pub(crate) use names::{did_you_mean, unknown};
pub use options::Options;

/// The settings of a training. The fields are the keys of a TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The name of the task.
    pub task: String,
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
            task: String::new(),
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

    /// Refuses settings that cannot be used, whatever the task.
    ///
    /// # Errors
    /// Names the setting, and the values that it may have.
    pub fn check(&self) -> Result<()> {
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
        Ok(self.build_optimizer().check()?)
    }
}

/// The name of a network; `mlp` is another name for `dense`.
fn network_name(name: String) -> String {
    if name == "mlp" { "dense".to_owned() } else { name }
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
