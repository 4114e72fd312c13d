//! Settings of a training task: what a TOML file or flags say, laid over what the task's preset says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
pub use zor_core::ops::Precision;
use zor_core::{Activation, Optimizer, Rule};
use zor_data::Augment;
use zor_optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{Error, Result};
pub use crate::names::{
    Choice, Count, DataSetName, ModelName, OptimizerName, RuleName, Samples, ScheduleName, TaskName,
};
use crate::views::Views;

/// What a user says about a run; everything may be left out. The keys of a TOML file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The task.
    pub task: Option<TaskName>,
    /// The network.
    pub model: Option<ModelName>,
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
    /// How much of its last direction an optimizer keeps, Muon or SGD.
    pub momentum: Option<f32>,
    /// Decoupled weight decay.
    pub weight_decay: Option<f32>,
    /// Share of a label that lies evenly on all classes.
    pub label_smoothing: Option<f32>,
    /// Units between input and output.
    pub hidden: Option<usize>,
    /// Threshold of the hidden units.
    pub threshold: Option<f32>,
    /// Share of the hidden values that shall fire: thresholds or inhibitions move there while the network learns. 1 leaves them alone.
    pub target_spike_rate: Option<f32>,
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
    /// The first three eighths of the training learn from the middle of images, this share of their height and width: where weights do not depend
    /// on it, in less time.
    pub early_crop: Option<f32>,
    /// So many of the last training images are evaluated on, instead of the test set, and not learned from: for choosing settings.
    pub hold_out: Option<usize>,
    /// Whether classes are told from an image and its mirror image together.
    pub test_time_flip: Option<bool>,
    /// Whether classes are told from an image and the same moved by a pixel together.
    pub test_time_shift: Option<bool>,
    /// Whether backpropagation is trained beside it: two small networks, or in classification the same one.
    pub baseline: Option<bool>,
    /// Threads of the CPU; all cores if not said.
    pub threads: Option<usize>,
    /// The device, such as `flex`.
    pub device: Option<String>,
    /// How exactly a GPU multiplies matrices: `f32` if not said, `tf32` or `bf16`.
    pub precision: Option<Precision>,
    /// Where the data set lies.
    pub data_dir: Option<PathBuf>,
    /// A folder of images or a `.npy` file to learn from instead of the task's data set.
    pub images: Option<PathBuf>,
}

impl Options {
    /// The options that a table of TOML gives.
    ///
    /// # Errors
    /// When a key is unknown, with the closest known one, or a value does not suit its key.
    pub fn from_table(table: toml::Table) -> Result<Self> {
        Self::deserialize(table).map_err(|error| Error::input(explained(error.message())))
    }

    /// These options, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // A place of data here takes the place of another kind of place there.
        let others = match (&self.images, &self.data_dir) {
            (Some(_), _) => Self { data_dir: None, ..others },
            (None, Some(_)) => Self { images: None, ..others },
            (None, None) => others,
        };
        // Two ways to give a number of samples: one of them here takes the place of both there.
        let counted = self.train_samples.is_some() || self.samples_per_class.is_some();
        let others = if counted {
            Self { train_samples: None, samples_per_class: None, ..others }
        } else {
            others
        };
        Self {
            task: self.task.or(others.task),
            model: self.model.or(others.model),
            rule: self.rule.or(others.rule),
            seed: self.seed.or(others.seed),
            steps: self.steps.or(others.steps),
            batch: self.batch.or(others.batch),
            learning_rate: self.learning_rate.or(others.learning_rate),
            schedule: self.schedule.or(others.schedule),
            optimizer: self.optimizer.or(others.optimizer),
            momentum: self.momentum.or(others.momentum),
            weight_decay: self.weight_decay.or(others.weight_decay),
            label_smoothing: self.label_smoothing.or(others.label_smoothing),
            hidden: self.hidden.or(others.hidden),
            threshold: self.threshold.or(others.threshold),
            target_spike_rate: self.target_spike_rate.or(others.target_spike_rate),
            output_activation: self.output_activation.or(others.output_activation),
            train_samples: self.train_samples.or(others.train_samples),
            samples_per_class: self.samples_per_class.or(others.samples_per_class),
            samples: self.samples.or(others.samples),
            augment: self.augment.or(others.augment),
            augmentation: self.augmentation.or(others.augmentation),
            early_crop: self.early_crop.or(others.early_crop),
            hold_out: self.hold_out.or(others.hold_out),
            test_time_flip: self.test_time_flip.or(others.test_time_flip),
            test_time_shift: self.test_time_shift.or(others.test_time_shift),
            baseline: self.baseline.or(others.baseline),
            threads: self.threads.or(others.threads),
            device: self.device.or(others.device),
            precision: self.precision.or(others.precision),
            data_dir: self.data_dir.or(others.data_dir),
            images: self.images.or(others.images),
        }
    }
}

/// A parser's message in one line; for an unknown key with the closest of the keys that the message lists.
pub fn explained(message: &str) -> String {
    let line = message.lines().collect::<Vec<_>>().join(" ");
    let mut quoted = line.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(unknown) if line.starts_with("unknown field") => {
            let suggestion = crate::names::did_you_mean(unknown, quoted);
            let known = line.split_once(", ").map_or("", |(_, known)| known);
            format!("there is no setting '{unknown}'; {suggestion}{}", known.replace('`', ""))
        }
        _ => line,
    }
}

/// Everything a run needs, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The task.
    pub task: TaskName,
    /// The network.
    pub model: ModelName,
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
    /// How much of its last direction it keeps; none of an optimizer that has no momentum.
    pub momentum: Option<f32>,
    /// Its weight decay.
    pub weight_decay: f32,
    /// Share of a label that lies evenly on all classes.
    pub label_smoothing: f32,
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
    /// Share of the height and width of images whose middle the first three eighths of the training learn from.
    pub early_crop: f32,
    /// So many of the last training images are evaluated on instead of the test set.
    pub hold_out: Option<usize>,
    /// Whether classes are told from an image and its mirror image together.
    pub test_time_flip: bool,
    /// Whether classes are told from an image and the same moved by a pixel together.
    pub test_time_shift: bool,
    /// Whether backpropagation is trained beside it.
    pub baseline: bool,
    /// Threads of the CPU; all cores if not said.
    pub threads: Option<usize>,
    /// The device.
    pub device: String,
    /// How exactly a GPU multiplies matrices.
    pub precision: Precision,
    /// Where the data set lies, if said.
    pub data_dir: Option<PathBuf>,
    /// A folder of images or a `.npy` file to learn from instead of the task's data set.
    pub images: Option<PathBuf>,
}

/// A setting that only some tasks, models and optimizers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    WeightDecay,
    LabelSmoothing,
    Hidden,
    OutputActivation,
    EarlyCrop,
    Augmentation,
    Samples,
}

impl Settings {
    /// Whether a setting has an effect beside the others.
    fn uses(&self, special: Special) -> bool {
        let is_dense = self.model == ModelName::Dense;
        let is_reconstruction =
            matches!(self.task, TaskName::FashionReconstruction | TaskName::CifarReconstruction);
        match special {
            Special::WeightDecay => self.optimizer != OptimizerName::Adam,
            Special::LabelSmoothing => self.task.is_classification(),
            Special::Hidden => is_dense || is_reconstruction,
            Special::OutputActivation => is_dense && is_reconstruction,
            Special::EarlyCrop => {
                !is_dense && !is_reconstruction && self.rule.target_spike_rate.is_none()
            }
            Special::Augmentation => self.augment.is_some(),
            Special::Samples => self.samples != Samples::All,
        }
    }

    /// Refuses options that would change nothing. An option that is equal to the setting in force is no fault.
    fn refuse_without_effect(
        &self,
        options: &Options,
        preset: &crate::presets::Preset,
    ) -> Result<()> {
        let (task, model, optimizer) = (self.task, self.model, self.optimizer);
        let given = [
            (
                Special::WeightDecay,
                "weight_decay",
                options.weight_decay.is_some_and(|decay| decay != 0.0),
                format!("the optimizer is {optimizer}; choose adamw, muon or sgd"),
            ),
            (
                Special::LabelSmoothing,
                "label_smoothing",
                options.label_smoothing.is_some_and(|share| share != preset.label_smoothing),
                format!("the task is {task}, which has no labels"),
            ),
            (
                Special::Hidden,
                "hidden",
                options.hidden.is_some_and(|units| units != preset.hidden),
                format!("the sizes of the model '{model}' of {task} are fixed"),
            ),
            (
                Special::OutputActivation,
                "output_activation",
                options.output_activation.as_ref().is_some_and(|f| *f != preset.output_activation),
                format!("the model '{model}' of {task} has no output gate; dense models of reconstruction have one"),
            ),
            (
                Special::EarlyCrop,
                "early_crop",
                options.early_crop.is_some_and(|share| share != preset.early_crop),
                "it is for convolutional models of classification and colorization without target_spike_rate".to_owned(),
            ),
            (
                Special::Augmentation,
                "augmentation",
                options.augmentation.is_some(),
                "augment is false".to_owned(),
            ),
            (
                Special::Samples,
                "samples",
                options.samples == Some(Choice::Random),
                "all training images are learned from; give train_samples or samples_per_class".to_owned(),
            ),
        ];
        for (special, name, differs, reason) in given {
            if differs && !self.uses(special) {
                return Err(Error::input(format!("{name} has no effect here: {reason}")));
            }
        }
        Ok(())
    }

    /// Which views of an image classes are told from.
    pub fn views(&self) -> Views {
        Views { flip: self.test_time_flip, shift: self.test_time_shift }
    }

    /// Decides what the options leave open.
    ///
    /// # Errors
    /// When no task is named, or a value cannot be used.
    pub fn resolve(options: &Options) -> Result<Self> {
        let task = options.task.ok_or_else(|| {
            Error::input(format!("no task is named; choose from {}", TaskName::NAMES.join(", ")))
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
            (None, None) => match task {
                TaskName::FashionReconstruction => Samples::PerClass(1),
                _ => Samples::All,
            },
        };
        let rule_name = options.rule.unwrap_or(RuleName::Default);
        let model = options.model.unwrap_or(match task {
            TaskName::FashionClassification
            | TaskName::CifarColorization
            | TaskName::CifarClassification => ModelName::Conv,
            _ => ModelName::Dense,
        });
        let augment = options.augment.unwrap_or(match task {
            TaskName::FashionReconstruction => matches!(samples, Samples::PerClass(_)),
            TaskName::FashionClassification | TaskName::CifarClassification => true,
            TaskName::CifarReconstruction => {
                model == ModelName::Conv || !matches!(samples, Samples::All)
            }
            TaskName::CifarColorization => true,
        });
        let preset = match (task, model) {
            (TaskName::FashionReconstruction, ModelName::Dense) => {
                crate::presets::fashion_reconstruction(rule_name, samples, augment)
            }
            (TaskName::CifarReconstruction, ModelName::Dense | ModelName::Conv) => {
                crate::presets::cifar_reconstruction(rule_name, model, samples, augment)
            }
            (TaskName::FashionClassification, ModelName::Dense | ModelName::Conv) => {
                let sparse = options.target_spike_rate.is_some();
                crate::presets::fashion_classification(rule_name, model, sparse)
            }
            (TaskName::CifarClassification, _) => {
                crate::presets::cifar_classification(rule_name, model)
            }
            (TaskName::CifarColorization, ModelName::Conv) => {
                crate::presets::cifar_colorization(rule_name)
            }
            (_, model) => {
                let others = match task {
                    TaskName::FashionReconstruction => "dense",
                    TaskName::CifarColorization => "conv",
                    _ => "dense or conv",
                };
                return Err(Error::input(format!(
                    "{task} has no model '{model}'; choose {others}"
                )));
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
        let (usual_rate, usual_decay, usual_momentum) = if optimizer == preset.optimizer {
            (preset.learning_rate, preset.weight_decay, preset.momentum)
        } else {
            optimizer.usual()
        };
        if options.momentum.is_some() && usual_momentum.is_none() {
            return Err(Error::input(format!(
                "momentum is an option of muon and sgd; the optimizer is {optimizer}"
            )));
        }
        let momentum = options.momentum.or(usual_momentum);
        let peak = options.learning_rate.unwrap_or(usual_rate);
        let mut rule = preset.rule.clone();
        rule.threshold = options.threshold.unwrap_or(rule.threshold);
        rule.target_spike_rate = options.target_spike_rate;
        if rule_name == RuleName::Backprop {
            rule = Rule { normalize_signal: false, normalize_presynaptic: false, ..rule };
        }
        let settings = Self {
            task,
            model,
            rule_name,
            rule,
            seed: options.seed.unwrap_or(0),
            steps,
            batch: options.batch.unwrap_or(preset.batch),
            optimizer,
            learning_rate: Schedule { peak, warm_up: preset.warm_up.min(steps / 2), decay, steps },
            momentum,
            weight_decay: options.weight_decay.unwrap_or(usual_decay),
            label_smoothing: options.label_smoothing.unwrap_or(preset.label_smoothing),
            hidden: options.hidden.unwrap_or(preset.hidden),
            output_activation: options
                .output_activation
                .clone()
                .unwrap_or(preset.output_activation.clone()),
            samples,
            choice: options.samples.unwrap_or(Choice::First),
            augment: augment
                .then(|| options.augmentation.clone().unwrap_or(preset.augmentation.clone())),
            early_crop: options.early_crop.unwrap_or(preset.early_crop),
            hold_out: options.hold_out,
            test_time_flip: options.test_time_flip.unwrap_or(false),
            test_time_shift: options.test_time_shift.unwrap_or(false),
            baseline: options.baseline.unwrap_or(task == TaskName::FashionReconstruction),
            threads: options.threads,
            device: options.device.clone().unwrap_or_else(|| "auto".to_owned()),
            precision: options.precision.unwrap_or_default(),
            data_dir: options.data_dir.clone(),
            images: options.images.clone(),
        };
        settings.check()?;
        settings.refuse_without_effect(options, &preset)?;
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
            model: Some(self.model),
            rule: Some(self.rule_name),
            seed: Some(self.seed),
            steps: Some(self.steps),
            batch: Some(self.batch),
            learning_rate: Some(self.learning_rate.peak),
            schedule: Some(schedule),
            optimizer: Some(self.optimizer),
            momentum: self.momentum,
            weight_decay: self.uses(Special::WeightDecay).then_some(self.weight_decay),
            label_smoothing: self.uses(Special::LabelSmoothing).then_some(self.label_smoothing),
            hidden: self.uses(Special::Hidden).then_some(self.hidden),
            threshold: Some(self.rule.threshold),
            target_spike_rate: self.rule.target_spike_rate,
            output_activation: self
                .uses(Special::OutputActivation)
                .then(|| self.output_activation.clone()),
            train_samples,
            samples_per_class,
            samples: self.uses(Special::Samples).then_some(self.choice),
            augment: Some(self.augment.is_some()),
            augmentation: self.augment.clone(),
            early_crop: self.uses(Special::EarlyCrop).then_some(self.early_crop),
            hold_out: self.hold_out,
            test_time_flip: Some(self.test_time_flip),
            test_time_shift: Some(self.test_time_shift),
            baseline: Some(self.baseline),
            threads: self.threads,
            device: Some(self.device.clone()),
            precision: (self.precision != Precision::default()).then_some(self.precision),
            data_dir: self.data_dir.clone(),
            images: self.images.clone(),
        }
    }

    /// The optimizer with its schedule.
    pub fn build_optimizer(&self) -> Box<dyn Optimizer> {
        let (schedule, momentum) = (self.learning_rate, self.momentum.unwrap_or(0.0));
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

    fn check(&self) -> Result<()> {
        let at_least_one = [
            ("steps", self.steps == 0),
            ("batch", self.batch == 0),
            ("hidden", self.hidden == 0),
            ("samples_per_class", self.samples == Samples::PerClass(0)),
            ("train_samples", self.samples == Samples::Total(0)),
            ("hold_out", self.hold_out == Some(0)),
        ];
        for (name, is_zero) in at_least_one {
            if is_zero {
                return Err(Error::input(format!("{name} is 0; it must be at least 1")));
            }
        }
        check_threads(self.threads)?;
        if self.images.is_some() && self.data_dir.is_some() {
            return Err(Error::input(
                "images and data_dir exclude each other: a run learns from your images or from the task's data set; give one of them",
            ));
        }
        for (name, path) in [("images", &self.images), ("data_dir", &self.data_dir)] {
            if let Some(path) = path
                && path.to_str().is_none()
            {
                return Err(Error::input(format!(
                    "{name} is {}, a name that is not UTF-8 and that settings cannot hold; rename it, or make a link to it with another name",
                    crate::error::shown(path)
                )));
            }
        }
        for (name, asked) in
            [("test_time_flip", self.test_time_flip), ("test_time_shift", self.test_time_shift)]
        {
            if asked && !self.task.is_classification() {
                return Err(Error::input(format!(
                    "{name} is for classification; the task is {}",
                    self.task
                )));
            }
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
        if let Some(augment) = &self.augment {
            augment.check()?;
        }
        self.rule.check()?;
        self.build_optimizer().check()?;
        Ok(())
    }
}

/// Threads of the CPU, at most: more take longer to start than to compute.
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
        let kinds =
            ["task = 'fashion-classification'", "task = 'fashion-classification'\nmodel = 'dense'"];
        for other in kinds {
            let settings = resolve(other).unwrap();
            let written = toml::to_string(&settings.to_options()).unwrap();
            assert_eq!(resolve(&written).unwrap(), settings, "{written}");
        }
        for extra in ["", "train_samples = 'all'", "rule = 'classic'\naugment = false"] {
            let settings = resolve(&format!("{TASK}{extra}")).unwrap();
            let written = toml::to_string(&settings.to_options()).unwrap();
            assert_eq!(resolve(&written).unwrap(), settings, "{written}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: Options = toml::from_str("steps = 5\nsamples_per_class = 3").unwrap();
        let flags = Options { train_samples: Some(Count::All), ..Options::default() };
        let both = flags.or(file);
        assert_eq!((both.steps, both.samples_per_class), (Some(5), None));
    }

    #[test]
    fn the_rule_of_backprop_is_the_tasks_own_without_normalisation() {
        for task in TaskName::NAMES {
            let own = resolve(&format!("task = '{task}'")).unwrap();
            let backprop = resolve(&format!("task = '{task}'\nrule = 'backprop'")).unwrap();
            let rule =
                Rule { normalize_signal: false, normalize_presynaptic: false, ..own.rule.clone() };
            assert_eq!(backprop, Settings { rule, rule_name: RuleName::Backprop, ..own });
        }
    }

    #[test]
    fn small_pools_as_they_are_get_gates_that_stay_open() {
        let task = "task = 'cifar-reconstruction'\ntrain_samples = 64\n";
        let plain = resolve(&format!("{task}augment = false")).unwrap();
        assert_eq!((plain.rule.threshold, plain.batch), (-100.0, 64));
        let augmented = resolve(task).unwrap();
        assert!(augmented.augment.is_some_and(|augment| augment.stretch > 0.0));
        assert_eq!(augmented.rule.threshold, -2.0);
    }

    #[test]
    fn another_optimizer_brings_its_own_learning_rate() {
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'")).unwrap();
        assert_eq!((settings.learning_rate.peak, settings.weight_decay), (1e-3, 0.01));
        let settings = resolve(&format!("{TASK}optimizer = 'adamw'\nlearning_rate = 0.5")).unwrap();
        assert_eq!(settings.learning_rate.peak, 0.5);
    }

    #[test]
    fn settings_without_effect_are_refused() {
        let cifar = "task = 'cifar-classification'\n";
        let cases = [
            (format!("{TASK}optimizer = 'adam'\nweight_decay = 0.5"), "weight_decay"),
            (format!("{TASK}label_smoothing = 0.9"), "label_smoothing"),
            (format!("{TASK}early_crop = 0.5"), "early_crop"),
            (format!("{TASK}augment = false\n[augmentation]\nshift = 3"), "augmentation"),
            (format!("{TASK}train_samples = 'all'\nsamples = 'random'"), "samples"),
            (format!("{cifar}hidden = 5"), "hidden"),
            (format!("{cifar}output_activation = 'relu'"), "output_activation"),
            (format!("{cifar}target_spike_rate = 0.2\nearly_crop = 0.5"), "early_crop"),
            ("task = 'fashion-classification'\nhidden = 5".to_owned(), "hidden"),
            ("task = 'cifar-colorization'\nhidden = 5".to_owned(), "hidden"),
            (
                "task = 'cifar-reconstruction'\nmodel = 'conv'\nearly_crop = 0.5".to_owned(),
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
            format!("{cifar}model = 'mlp'\nhidden = 5\nlabel_smoothing = 0.3"),
            format!("{cifar}early_crop = 0.875"),
            "task = 'cifar-reconstruction'\nmodel = 'conv'\nhidden = 5".to_owned(),
        ] {
            resolve(&toml).unwrap();
        }
    }

    #[test]
    fn two_places_of_data_exclude_each_other_and_a_flag_replaces_either() {
        refused(&format!("{TASK}images = 'a'\ndata_dir = 'b'"), &["images", "data_dir", "exclude"]);
        let place = |name: &str| Some(PathBuf::from(name));
        let file = Options { images: place("a"), ..Options::default() };
        let flags = Options { data_dir: place("b"), ..Options::default() };
        let both = flags.clone().or(file.clone());
        assert_eq!((both.images, both.data_dir), (None, place("b")));
        let both = file.or(flags);
        assert_eq!((both.images, both.data_dir), (place("a"), None));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        refused("", &["no task", "fashion-reconstruction"]);
        refused("task = 'knitting'", &["knitting", "fashion-reconstruction"]);
        refused(&format!("{TASK}model = 'conv'"), &["no model 'conv'", "dense"]);
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
        refused(&format!("{TASK}label_smoothing = 1.5"), &["label_smoothing", "0 to 1"]);
        refused(&format!("{TASK}early_crop = 0.0"), &["early_crop", "at most 1"]);
        refused(&format!("{TASK}train_samples = 5\nsamples_per_class = 1"), &["exclude"]);
    }
}
