//! Training settings, merged from defaults, the preset of the task, a TOML file and command-line
//! flags, each overriding the ones before.

mod detection;
mod names;
mod options;
mod translation;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
pub use zor_core::ops::Precision;
use zor_core::{Activation, Optimizer, Rule};
use zor_data::table::TargetKind;
use zor_data::{Augment, Reading, Size};
use zor_optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{Error, Result};
pub use detection::DetectionSettings;
pub use names::{
    ClassBalance, Count, OptimizerName, RuleName, ScheduleName, Selection, TrainingSize,
};
pub(crate) use names::{did_you_mean, unknown};
pub use options::Options;
pub(crate) use translation::MAX_BEAM;
pub use translation::{TranslationSettings, languages_of};

/// Settings of a training run. The field names are the keys of the TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the task.
    pub task: String,
    /// Name of the network architecture, one of [`Task::networks`](crate::task::Task::networks).
    pub network: String,
    /// Preset of the learning rule.
    pub rule: RuleName,
    /// Random seed for weights, batches, augmentation and the selection of examples.
    pub seed: u64,
    /// Number of training steps.
    pub steps: u64,
    /// Batch size.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: OptimizerName,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Number of steps of linear learning-rate warm-up; at most half of `steps` is used.
    pub warm_up: u64,
    /// Learning-rate schedule after warm-up.
    pub schedule: ScheduleName,
    /// Momentum of Muon or SGD, in [0, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Label smoothing: fraction of each label's weight that is spread evenly over all classes.
    pub label_smoothing: f32,
    /// Class balancing.
    pub class_balance: ClassBalance,
    /// Number of units in each hidden layer.
    pub hidden: usize,
    /// Activation function of the output layer.
    pub output_activation: Activation,
    /// Number of training examples, or "all".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_samples: Option<Count>,
    /// Number of training examples per class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_class: Option<usize>,
    /// Selection of training examples if not all are used: the first ones, or random ones.
    pub samples: Selection,
    /// Whether training examples are augmented.
    pub augment: bool,
    /// Early progressive resizing: relative height and width of the centre crop used for the first
    /// 3/8 of the steps; 1 turns it off.
    pub early_crop: f32,
    /// Number of training examples that are held out and evaluated on instead of the test set: the
    /// last ones, in proportion to the class sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<usize>,
    /// Test-time augmentation: whether predictions are averaged over an image and its mirror image.
    pub test_time_flip: bool,
    /// Test-time augmentation: whether predictions are averaged over an image and copies shifted by
    /// one pixel.
    pub test_time_shift: bool,
    /// Whether a backpropagation baseline is trained too.
    pub baseline: bool,
    /// Number of CPU threads; all cores by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Device name, such as `flex`.
    pub device: String,
    /// Precision of matrix multiplication on GPUs.
    pub precision: Precision,
    /// Folder with the named data sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The user's own data, used instead of a named data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Size to which the user's own images are resized, such as `32x32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Size>,
    /// Size of the centre crop of the user's own images, taken after resizing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Size>,
    /// Whether damaged files among the user's own images are skipped.
    pub skip_damaged: bool,
    /// Table column to predict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Kind of the target column: classes or numbers. By default it is inferred from the values.
    pub target_kind: TargetKind,
    /// Table columns to ignore.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Table column with labels for evaluation: 1 for an anomaly, 0 for a normal row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Table column with time stamps, which reveal gaps in a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Number of consecutive rows of a series that are read together; 1 for a table.
    pub window: usize,
    /// Number of rows from the start of a window to the start of the next.
    pub stride: usize,
    /// Target spike rate of the last step. The target moves there from that of the rule, by an
    /// equal amount in each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_spike_rate: Option<f32>,
    /// Options of detectors.
    pub detection: DetectionSettings,
    /// Options of translation.
    pub translation: TranslationSettings,
    /// Augmentation options for images.
    pub augmentation: Augment,
    /// Options of the learning rule.
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
            label: None,
            time: None,
            window: 1,
            stride: 1,
            detection: DetectionSettings::default(),
            translation: TranslationSettings::default(),
            augmentation: Augment::default(),
            rule_settings: Rule::default(),
            final_spike_rate: None,
        }
    }
}

impl Settings {
    /// Returns the settings as TOML. A run with them is bit-identical.
    ///
    /// # Errors
    /// When a value cannot be written as TOML, such as a seed above 2^63 - 1.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::input(format!("the settings cannot be written: {error}")))
    }

    /// Returns the number of examples to train on.
    pub fn training_size(&self) -> TrainingSize {
        match (self.samples_per_class, self.train_samples) {
            (Some(n), _) => TrainingSize::PerClass(n),
            (None, Some(Count::Number(n))) => TrainingSize::Total(n),
            (None, None | Some(Count::All)) => TrainingSize::All,
        }
    }

    /// Returns the augmentation options, or `None` if augmentation is off.
    pub fn augmentation(&self) -> Option<&Augment> {
        self.augment.then_some(&self.augmentation)
    }

    /// Returns the options for reading the user's own images.
    pub fn reading(&self) -> Reading {
        let (resize, crop, skip_damaged) = (self.resize, self.crop, self.skip_damaged);
        Reading { resize, crop, skip_damaged }
    }

    /// Returns the learning-rate schedule with its warm-up.
    pub fn learning_rate(&self) -> Schedule {
        let decay = match self.schedule {
            ScheduleName::Constant => Decay::Constant,
            ScheduleName::Cosine => Decay::Cosine,
            ScheduleName::Linear => Decay::Linear,
        };
        let warm_up = self.warm_up.min(self.steps / 2);
        Schedule { peak: self.learning_rate, warm_up, decay, steps: self.steps }
    }

    /// Builds the optimizer with its learning-rate schedule.
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

    /// Validates the settings that do not depend on the task.
    ///
    /// # Errors
    /// When a value is out of range. The message gives the setting and the allowed values.
    pub fn check(&self) -> Result<()> {
        let at_least_one = [
            ("steps", self.steps == 0),
            ("batch", self.batch == 0),
            ("hidden", self.hidden == 0),
            ("samples_per_class", self.samples_per_class == Some(0)),
            ("train_samples", self.train_samples == Some(Count::Number(0))),
            ("hold_out", self.hold_out == Some(0)),
            ("window", self.window == 0),
            ("stride", self.stride == 0),
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
                "early_crop is {}; it must be above 0 and at most 1; 1 uses full images",
                self.early_crop
            )));
        }
        if self.augment {
            self.augmentation.check()?;
        }
        self.detection.check()?;
        self.translation.check()?;
        self.rule_settings.check()?;
        if let Some(rate) = self.final_spike_rate {
            if self.rule_settings.target_spike_rate.is_none() {
                return Err(Error::input(
                    "final_spike_rate needs a target to move from; set \
                     rule_settings.target_spike_rate",
                ));
            }
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(Error::input(format!(
                    "final_spike_rate is {rate}; it must be above 0 and at most 1"
                )));
            }
        }
        Ok(self.build_optimizer().check()?)
    }

    /// Target spike rate of a step, if the target moves.
    pub(crate) fn spike_rate_at(&self, step: u64) -> Option<f32> {
        let (first, last) = (self.rule_settings.target_spike_rate?, self.final_spike_rate?);
        let progress = step as f64 / self.steps.saturating_sub(1).max(1) as f64;
        Some(first + (last - first) * progress.min(1.0) as f32)
    }
}

/// Resolves the alias `mlp` of the network `dense`.
fn network_name(name: String) -> String {
    if name == "mlp" { "dense".to_owned() } else { name }
}

/// Rejects a path that is not UTF-8 and so cannot be stored in settings. `name` is the setting or
/// flag, for the error message.
pub(crate) fn check_path(name: &str, path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) if path.to_str().is_none() => Err(Error::input(format!(
            "{name} is {}, which is not UTF-8 and cannot be stored in settings; rename it, or use a link with another name",
            crate::error::shown(path)
        ))),
        _ => Ok(()),
    }
}

/// Maximum number of CPU threads; starting more takes longer than the work they would do.
const MAX_THREADS: usize = 512;

/// Validates the number of CPU threads.
///
/// # Errors
/// When it is 0 or above 512.
pub fn check_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(n) if !(1..=MAX_THREADS).contains(&n) => Err(Error::input(format!(
            "threads is {n}; it must be at least 1 and at most {MAX_THREADS}; the number of cores is usually best"
        ))),
        _ => Ok(()),
    }
}
