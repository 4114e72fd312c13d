//! The interface of a task, and everything that its methods take and return.

pub(crate) mod confusion;
pub(crate) mod data;
pub(crate) mod evaluation;
pub(crate) mod model;
pub(crate) mod score;

mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{Network, NetworkBuilder, Target, Workspace};
use zor_data::{Batch, Examples, Values};

pub use self::confusion::Confusion;
pub use self::data::{Data, DataLocation, EvaluationSet, in_batches, matrix};
pub use self::evaluation::{Evaluation, Predict};
pub use self::model::Model;
pub use self::plan::Plan;
pub use self::score::{Figure, Score, Unit};
use crate::error::Result;
use crate::report::{Report, Watch};
use crate::settings::{Options, Settings};

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
        let data = self.load(&place.settings(&model.plan.settings), &mut |_| {})?;
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

/// The evaluation of a task that does not define its own: the share of classes that is right, or
/// the error of values.
pub(crate) fn evaluate_with<T: Task + ?Sized>(
    task: &T,
    of: &Evaluation<'_>,
    predict: &mut Predict<'_>,
) -> Result<Score> {
    let pair = |batch: &Batch, settings: &Settings| task.pair(batch, settings, of.device);
    evaluation::score(of, &pair, predict)
}

/// A training that ended, for [`Task::report`].
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The task and its settings.
    pub plan: &'a Plan,
    /// The data.
    pub data: &'a Data,
    /// The trained network.
    pub network: &'a Network,
    /// Its evaluation.
    pub evaluation: &'a Score,
    /// The device.
    pub device: &'a Device,
    /// The folder of the run.
    pub folder: &'a Path,
}
