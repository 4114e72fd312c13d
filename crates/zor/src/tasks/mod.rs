//! Tasks: everything that differs between the things that `zor train` can learn.
//!
//! [`Task`] is the whole of a task; all else (the training loop, checkpoints, reports) is one code
//! for all. The command finds tasks in [`TASKS`] and among those that a program of its own gives to
//! `zor::command`.

pub mod cifar_classification;
pub mod cifar_colorization;
pub mod cifar_reconstruction;
pub mod classification;
pub mod colorization;
pub mod fashion_classification;
pub mod fashion_reconstruction;
pub mod parts;
pub mod reconstruction;
pub mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{Network, NetworkBuilder, Target, Workspace};
use zor_data::{Batch, Draw, Examples, Values};

use crate::error::Result;
use crate::model::Model;
use crate::report::{Outcome, Report, Watch};
use crate::settings::{Options, Settings, unknown};
use crate::training::evaluate::{Evaluation, Score, evaluate_with};
use crate::training::matrix;

/// All tasks of Zor.
pub static TASKS: &[&dyn Task] = &[
    &reconstruction::RECONSTRUCTION,
    &classification::CLASSIFICATION,
    &colorization::COLORIZATION,
    &fashion_reconstruction::FASHION_RECONSTRUCTION,
    &fashion_classification::FASHION_CLASSIFICATION,
    &cifar_reconstruction::CIFAR_RECONSTRUCTION,
    &cifar_colorization::CIFAR_COLORIZATION,
    &cifar_classification::CIFAR_CLASSIFICATION,
    &table::TABLE,
];

/// Tasks of this program beside Zor's.
static OWN: Mutex<Vec<&'static dyn Task>> = Mutex::new(Vec::new());

/// One thing that can be learned.
///
/// Three methods have no default: [`name`](Task::name), [`load`](Task::load) and
/// [`network`](Task::network). With the others left alone, integers among a set's targets are
/// classes, numbers are values to predict, and a set without targets is reproduced.
pub trait Task: fmt::Debug + Sync {
    /// The name, as in `zor train NAME`.
    fn name(&self) -> &'static str;

    /// A sentence for `zor tasks` and help texts, without a full stop.
    fn about(&self) -> &'static str {
        ""
    }

    /// The networks by name, the default first.
    fn networks(&self) -> &'static [&'static str] {
        &["default"]
    }

    /// The commands beside train, eval and export that take its models, such as `classify`.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// Settings where the user gives none. They may depend on those that are given.
    fn preset(&self, _given: &Options) -> Settings {
        Settings::default()
    }

    /// Settings that have no effect beside the others, each with the reason.
    fn without_effect(&self, _settings: &Settings) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Refuses settings that the task cannot be learned with.
    ///
    /// # Errors
    /// Names the setting, and the values that it may have.
    fn check(&self, _settings: &Settings) -> Result<()> {
        Ok(())
    }

    /// Loads the examples of a training. `tell` takes lines for the user, such as the progress of a
    /// download.
    ///
    /// # Errors
    /// When there are no data, or fewer than the settings ask for.
    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data>;

    /// Loads the examples for a model that was trained, as [`Task::load`] does, all of them to
    /// learn from; their classes are numbered as in the model. The second value has remarks on
    /// differences.
    ///
    /// # Errors
    /// When there are no data, or they do not suit the model.
    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        let data = self.load(&place.settings(&model.settings), &mut |_| {})?;
        Ok((data, Vec::new()))
    }

    /// The sets that `zor eval` evaluates a model on.
    ///
    /// # Errors
    /// Those of [`Task::load_for`].
    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        let (data, remarks) = self.load_for(model, place)?;
        let Data { evaluation_name: name, evaluation: examples, unit, .. } = data;
        Ok(vec![EvaluationSet { name, examples, remarks, left_out: 0, unit }])
    }

    /// The network for inputs of a shape; `outputs` is [`Data::outputs`].
    ///
    /// # Errors
    /// When no network can be made of the settings.
    fn network(
        &self,
        settings: &Settings,
        input: &[usize],
        outputs: usize,
    ) -> Result<NetworkBuilder>;

    /// Prepares a network before its first step.
    ///
    /// # Errors
    /// When the data do not suit the network.
    fn prepare(&self, _network: &mut Network, _settings: &Settings, _data: &Data) -> Result<()> {
        Ok(())
    }

    /// Changes a network before a step, counted from 0.
    fn before_step(&self, _network: &mut Network, _settings: &Settings, _step: u64) {}

    /// The examples as they are learned from, such as augmented images.
    ///
    /// # Errors
    /// When the settings do not suit the examples.
    fn learned_from(&self, data: &Data, _settings: &Settings) -> Result<Arc<dyn Examples>> {
        Ok(data.train.clone())
    }

    /// The input of a network and its target, from a batch.
    ///
    /// # Shapes
    /// Inputs are `[rows, inputs]`.
    ///
    /// # Errors
    /// When the batch's values are not rows of one length.
    fn pair(
        &self,
        batch: &Batch,
        settings: &Settings,
        device: &Device,
    ) -> Result<(Tensor<2>, Target)> {
        let input = matrix(batch.inputs.numbers(), batch.rows, device)?;
        let target = match &batch.targets {
            Values::Integers(classes) => {
                let classes = classes.iter().map(|class| *class as usize).collect();
                let smoothing = settings.label_smoothing;
                match &batch.weights[..] {
                    [] => Target::SmoothedClasses { classes, smoothing },
                    weights => {
                        let weights = weights.to_vec();
                        Target::WeightedClasses { classes, smoothing, weights }
                    }
                }
            }
            Values::Numbers(values) if values.is_empty() => Target::Values(input.clone()),
            Values::Numbers(values) => Target::Values(matrix(values, batch.rows, device)?),
        };
        Ok((input, target))
    }

    /// The prediction of a network.
    ///
    /// # Shapes
    /// `[rows, inputs]` -> `[rows, outputs]`.
    ///
    /// # Errors
    /// When the input does not fit the network.
    fn predict(
        &self,
        network: &Network,
        _settings: &Settings,
        input: Tensor<2>,
        workspace: &mut Workspace,
    ) -> Result<Tensor<2>> {
        Ok(network.predict_in(input, workspace)?)
    }

    /// Evaluates predictions of a set, whatever makes them: a network, its export or a baseline.
    ///
    /// # Errors
    /// When a prediction fails, or the examples do not suit it.
    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        evaluate_with(self, of, predict)
    }

    /// Notes for model files beside those that every model has.
    fn notes(&self, data: &Data) -> BTreeMap<String, String> {
        let _ = data;
        BTreeMap::new()
    }

    /// Faults of settings and data with which a training can be run, but its figures mean little:
    /// sentences with the remedy.
    fn warnings(&self, _settings: &Settings, _data: &Data) -> Vec<String> {
        Vec::new()
    }

    /// Adds comparisons, pictures and figures of the task to the report of a training.
    fn report(&self, _outcome: &Outcome<'_>, _watch: &mut dyn Watch, _report: &mut Report) {}
}

/// A function that makes predictions: `[rows, inputs]` -> `[rows, outputs]`.
pub type Predict<'a> = dyn FnMut(Tensor<2>) -> Result<Tensor<2>> + 'a;

/// The examples of a training.
#[derive(Clone, Debug)]
pub struct Data {
    /// Examples to learn from.
    pub train: Arc<dyn Examples>,
    /// Examples to evaluate on.
    pub evaluation: Arc<dyn Examples>,
    /// A description of the evaluation examples.
    pub evaluation_name: String,
    /// A description of the place that the examples come from.
    pub source: String,
    /// Number of classes, or of values to predict.
    pub outputs: usize,
    /// Names of the classes; none where there are no classes.
    pub class_names: Vec<String>,
    /// The word for several examples, such as "images".
    pub unit: &'static str,
}

impl Data {
    /// Examples with a number of outputs.
    pub fn new(
        train: impl Into<Arc<dyn Examples>>,
        evaluation: impl Into<Arc<dyn Examples>>,
        outputs: usize,
    ) -> Self {
        Self {
            train: train.into(),
            evaluation: evaluation.into(),
            evaluation_name: "examples that are not learned from".to_owned(),
            source: "the program".to_owned(),
            outputs,
            class_names: Vec::new(),
            unit: "examples",
        }
    }
}

/// A set that a model is evaluated on.
#[derive(Clone, Debug)]
pub struct EvaluationSet {
    /// A description of the set.
    pub name: String,
    /// The examples.
    pub examples: Arc<dyn Examples>,
    /// Differences between the set and the model, as sentences.
    pub remarks: Vec<String>,
    /// Number of examples that are left out.
    pub left_out: usize,
    /// The word for several examples.
    pub unit: &'static str,
}

/// A place of data that the user gives for a model.
#[derive(Clone, Debug, Default)]
pub struct DataLocation {
    /// The user's own data.
    pub data: Option<PathBuf>,
    /// The folder of named data sets.
    pub data_dir: Option<PathBuf>,
}

impl DataLocation {
    /// The settings of a model, with all training examples and the data from this place.
    pub fn settings(&self, settings: &Settings) -> Settings {
        Settings {
            data: self.data.clone(),
            data_dir: self.data_dir.clone(),
            train_samples: None,
            samples_per_class: None,
            ..settings.clone()
        }
    }
}

/// All examples of a set, in batches of at most `rows`.
pub fn in_batches(set: &dyn Examples, rows: usize) -> impl Iterator<Item = Batch> + '_ {
    (0..set.len()).step_by(rows.max(1)).map(move |from| {
        let indices: Vec<usize> = (from..(from + rows).min(set.len())).collect();
        let mut batch = Batch::default();
        set.fill(&Draw::of(&indices), &mut batch);
        batch
    })
}

impl PartialEq for dyn Task {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// Adds tasks to those that are found by name. A task replaces one of its name.
pub fn add(tasks: &[&'static dyn Task]) {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    for &task in tasks {
        own.retain(|other| other.name() != task.name());
        own.push(task);
    }
}

/// All tasks that are found by name.
pub fn all() -> Vec<&'static dyn Task> {
    let own = OWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_kept = |task: &&'static dyn Task| own.iter().all(|own| own.name() != task.name());
    TASKS.iter().copied().filter(is_kept).chain(own.iter().copied()).collect()
}

/// The names of all tasks.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|task| task.name()).collect()
}

/// The task with a name.
///
/// # Errors
/// When there is none. The message names the nearest one, and all.
pub fn named(name: &str) -> Result<&'static dyn Task> {
    let found = all().into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| unknown("task", name, &names()))
}

/// Tasks as their names in files.
pub(crate) mod by_name {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Task;

    pub(crate) fn serialize<S: Serializer>(
        task: &&'static dyn Task,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(task.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<&'static dyn Task, D::Error> {
        super::named(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
