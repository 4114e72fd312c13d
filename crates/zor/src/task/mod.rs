//! The [`Task`] trait and the types that its methods take and return.

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
use zor_core::{Input, Network, NetworkBuilder, Target, Workspace};
use zor_data::{Batch, Examples, Values};

pub use self::confusion::Confusion;
pub use self::data::{Data, DataLocation, EvaluationSet, in_batches, matrix, sequences};
pub use self::evaluation::{Evaluation, Predict};
pub use self::model::Model;
pub use self::plan::Plan;
pub use self::score::{Figure, Score, Unit};
use crate::error::Result;
use crate::report::{Report, Watch};
use crate::settings::{Options, Settings};

/// A learning task.
///
/// Three methods have no default: [`name`](Task::name), [`load`](Task::load) and
/// [`network`](Task::network). By default, integer targets are class indices, floating-point
/// targets are values to predict, and a set without targets trains an autoencoder.
pub trait Task: fmt::Debug + Sync {
    /// Returns the name, as in `zor train NAME`.
    fn name(&self) -> &'static str;

    /// Returns a short description for `zor tasks` and help texts, without a full stop.
    fn about(&self) -> &'static str {
        ""
    }

    /// Returns the names of the network architectures, the default first.
    fn networks(&self) -> &'static [&'static str] {
        &["default"]
    }

    /// Returns the commands that accept models of this task, such as `classify`, besides train,
    /// eval and export.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the default settings. They may depend on the settings that are given.
    fn preset(&self, _given: &Options) -> Settings {
        Settings::default()
    }

    /// Returns the settings that have no effect given the others, each with the reason.
    fn without_effect(&self, _settings: &Settings) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Validates the settings of this task.
    ///
    /// # Errors
    /// When a value is out of range. The message gives the setting and the allowed values.
    fn check(&self, _settings: &Settings) -> Result<()> {
        Ok(())
    }

    /// Loads the training and evaluation examples. `tell` prints a line for the user, such as the
    /// progress of a download.
    ///
    /// # Errors
    /// When there is no data, or less than the settings require.
    fn load(&self, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Data>;

    /// Loads the examples for a training that starts with the weights of a model, or that resumes
    /// such a training. `notes` is the metadata of the model or of the checkpoint.
    ///
    /// # Errors
    /// As [`Task::load`], and when the data does not fit the model.
    fn load_continued(
        &self,
        settings: &Settings,
        _notes: &BTreeMap<String, String>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Data> {
        self.load(settings, tell)
    }

    /// Loads the examples for a trained model, as [`Task::load`] does, but with all training
    /// examples and with the class indices of the model. Also returns sentences on differences
    /// between data and model.
    ///
    /// # Errors
    /// When there is no data, or it does not fit the model.
    fn load_for(&self, model: &Model, place: &DataLocation) -> Result<(Data, Vec<String>)> {
        let data = self.load(&place.settings(&model.plan.settings), &mut |_| {})?;
        Ok((data, Vec::new()))
    }

    /// Returns the sets that `zor eval` evaluates a model on.
    ///
    /// # Errors
    /// As [`Task::load_for`].
    fn evaluation_sets(&self, model: &Model, place: &DataLocation) -> Result<Vec<EvaluationSet>> {
        let (data, remarks) = self.load_for(model, place)?;
        let Data { evaluation_name: name, evaluation: examples, unit, .. } = data;
        Ok(vec![EvaluationSet { name, examples, remarks, left_out: 0, unit }])
    }

    /// Returns the network architecture for an input shape; `outputs` is [`Data::outputs`].
    ///
    /// # Errors
    /// When the settings do not describe a valid network.
    fn network(
        &self,
        settings: &Settings,
        input: &[usize],
        outputs: usize,
    ) -> Result<NetworkBuilder>;

    /// Prepares a network before its first training step.
    ///
    /// # Errors
    /// When the data does not fit the network.
    fn prepare(&self, _network: &mut Network, _settings: &Settings, _data: &Data) -> Result<()> {
        Ok(())
    }

    /// Modifies the network before each training step; `step` counts from 0.
    fn before_step(&self, _network: &mut Network, _settings: &Settings, _step: u64) {}

    /// Returns the examples that batches are drawn from, for example augmented images.
    ///
    /// # Errors
    /// When the settings do not fit the examples.
    fn learned_from(&self, data: &Data, _settings: &Settings) -> Result<Arc<dyn Examples>> {
        Ok(data.train.clone())
    }

    /// Returns a batch as the network's input and its target. Targets that are NaN are missing.
    ///
    /// # Shapes
    /// The input is `[rows, inputs]`.
    ///
    /// # Errors
    /// When the number of values is not a multiple of the number of rows.
    fn pair(&self, batch: &Batch, settings: &Settings, device: &Device) -> Result<(Input, Target)> {
        if !batch.lengths.is_empty() {
            let smoothing = settings.label_smoothing;
            let classes = batch.targets.integers().iter().map(|class| *class as usize).collect();
            let target = Target::SmoothedClasses { classes, smoothing };
            return Ok((sequences(batch)?.into(), target));
        }
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
            Values::Numbers(values) if values.iter().any(|value| value.is_nan()) => {
                let or_zero = |value: &f32| if value.is_nan() { 0.0 } else { *value };
                let is_known = |value: &f32| f32::from(u8::from(!value.is_nan()));
                let matrix = |of: &dyn Fn(&f32) -> f32| {
                    matrix(&values.iter().map(of).collect::<Vec<_>>(), batch.rows, device)
                };
                Target::PartialValues { values: matrix(&or_zero)?, known: matrix(&is_known)? }
            }
            Values::Numbers(values) => Target::Values(matrix(values, batch.rows, device)?),
        };
        Ok((input.into(), target))
    }

    /// Returns the network's predictions.
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
        input: Input,
        workspace: &mut Workspace,
    ) -> Result<Tensor<2>> {
        Ok(network.predict_in(input, workspace)?)
    }

    /// Adapts default settings to the data, such as the number of steps. Settings that the user
    /// gives are kept.
    fn fit_settings(&self, _data: &Data, _settings: &mut Settings) {}

    /// Calibrates a network after its last training step. `None` if the task has nothing to
    /// calibrate.
    ///
    /// # Errors
    /// When a prediction or a further training fails, or the user stops it
    /// ([`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted)).
    fn calibrate(&self, _of: &Outcome<'_>, _watch: &mut dyn Watch) -> Result<Option<Calibrated>> {
        Ok(None)
    }

    /// Evaluates predictions, whether of a network, its exported program or a baseline.
    ///
    /// # Errors
    /// When a prediction fails, or the examples do not fit it.
    fn evaluate(&self, of: &Evaluation<'_>, predict: &mut Predict<'_>) -> Result<Score> {
        evaluate_with(self, of, predict)
    }

    /// Returns metadata for model files, in addition to what every model file has.
    fn notes(&self, data: &Data) -> BTreeMap<String, String> {
        let _ = data;
        BTreeMap::new()
    }

    /// Returns sentences about settings or data that can be trained with but make the metrics
    /// unreliable, each with a remedy.
    fn warnings(&self, _settings: &Settings, _data: &Data) -> Vec<String> {
        Vec::new()
    }

    /// Adds baselines, pictures and metrics of this task to the report of a training run.
    fn report(&self, _outcome: &Outcome<'_>, _watch: &mut dyn Watch, _report: &mut Report) {}
}

/// The default evaluation: top-1 accuracy for classes, errors for values.
pub(crate) fn evaluate_with<T: Task + ?Sized>(
    task: &T,
    of: &Evaluation<'_>,
    predict: &mut Predict<'_>,
) -> Result<Score> {
    let pair = |batch: &Batch, settings: &Settings| task.pair(batch, settings, of.device);
    evaluation::score(of, &pair, predict)
}

/// Result of [`Task::calibrate`].
#[derive(Clone, Debug)]
pub struct Calibrated {
    /// Metadata for the model file.
    pub notes: BTreeMap<String, String>,
    /// Evaluation of the calibrated network.
    pub evaluation: Score,
}

/// A finished training run, for [`Task::calibrate`] and [`Task::report`].
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// The task and its settings.
    pub plan: &'a Plan,
    /// Training and evaluation examples.
    pub data: &'a Data,
    /// The trained network.
    pub network: &'a Network,
    /// Evaluation of the network.
    pub evaluation: &'a Score,
    /// The device.
    pub device: &'a Device,
    /// Run folder.
    pub folder: &'a Path,
}
