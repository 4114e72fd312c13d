//! The data of a task: examples to learn from, and sets to evaluate on.

use std::path::PathBuf;
use std::sync::Arc;

use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_data::{Batch, Draw, Examples};

use crate::error::{Error, Result};
use crate::settings::Settings;

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

/// Values as a matrix, row after row.
///
/// # Shapes
/// `rows * columns` values -> `[rows, columns]`.
///
/// # Errors
/// When the values are not `rows` rows of one length.
pub fn matrix(values: &[f32], rows: usize, device: &Device) -> Result<Tensor<2>> {
    if rows == 0 || !values.len().is_multiple_of(rows) {
        return Err(Error::input(format!(
            "{} values are not {rows} rows of one length",
            values.len()
        )));
    }
    let shape = [rows, values.len() / rows];
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}
