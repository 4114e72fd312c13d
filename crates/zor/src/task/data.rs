//! Data of a task: training examples and evaluation sets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zor_core::Sequences;
use zor_core::burn::tensor::{Device, Tensor, TensorData};
use zor_data::text::Suggestions;
use zor_data::{Batch, Draw, Examples};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// Training and evaluation examples of a training run.
#[derive(Clone, Debug)]
pub struct Data {
    /// Training examples.
    pub train: Arc<dyn Examples>,
    /// Evaluation examples.
    pub evaluation: Arc<dyn Examples>,
    /// Description of the evaluation examples.
    pub evaluation_name: String,
    /// Description of the source of the examples.
    pub source: String,
    /// Number of classes, or of values to predict.
    pub outputs: usize,
    /// Class names; empty if there are no classes.
    pub class_names: Vec<String>,
    /// Plural noun for the examples in messages, such as "images".
    pub unit: &'static str,
}

impl Data {
    /// Data for a network with `outputs` outputs, without class names.
    pub fn new(
        train: impl Into<Arc<dyn Examples>>,
        evaluation: impl Into<Arc<dyn Examples>>,
        outputs: usize,
    ) -> Self {
        Self {
            train: train.into(),
            evaluation: evaluation.into(),
            evaluation_name: "held-out examples".to_owned(),
            source: "the program".to_owned(),
            outputs,
            class_names: Vec::new(),
            unit: "examples",
        }
    }
}

/// A set to evaluate a model on.
#[derive(Clone, Debug)]
pub struct EvaluationSet {
    /// Description of the set.
    pub name: String,
    /// The examples.
    pub examples: Arc<dyn Examples>,
    /// Sentences on how the set differs from the model's training data, for warnings.
    pub remarks: Vec<String>,
    /// Number of examples that are left out.
    pub left_out: usize,
    /// Plural noun for the examples in messages.
    pub unit: &'static str,
}

/// Location of data to use with a saved model.
#[derive(Clone, Debug, Default)]
pub struct DataLocation {
    /// The user's own data.
    pub data: Option<PathBuf>,
    /// Folder with the named data sets.
    pub data_dir: Option<PathBuf>,
    /// Column of a table with labels of anomalies.
    pub label: Option<String>,
}

impl DataLocation {
    /// Path of the user's table.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn table_file(&self) -> Result<&Path> {
        self.data.as_deref().ok_or_else(|| {
            Error::input("this model needs a table; give a .csv, .npy or .npz file with --data")
        })
    }
}

impl DataLocation {
    /// Returns the model's settings with all training examples and the data from this location.
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

/// Iterates over all examples of a set in batches of at most `rows`.
pub fn in_batches(set: &dyn Examples, rows: usize) -> impl Iterator<Item = Batch> + '_ {
    (0..set.len()).step_by(rows.max(1)).map(move |from| {
        let indices: Vec<usize> = (from..(from + rows).min(set.len())).collect();
        let mut batch = Batch::default();
        set.fill(&Draw::of(&indices), &mut batch);
        batch
    })
}

/// Returns the sequences of a batch.
///
/// # Errors
/// When lengths, prefixes and tokens do not fit.
pub fn sequences(batch: &Batch) -> Result<Sequences> {
    let tokens = batch.inputs.integers().to_vec();
    let sequences = Sequences::new(tokens, &batch.lengths)?.with_prefixes(&batch.prefixes)?;
    let Suggestions { starts, tokens, weights } = &batch.suggestions;
    match tokens.is_empty() {
        true => Ok(sequences),
        false => {
            let parts = (starts.clone(), tokens.clone(), weights.clone());
            Ok(sequences.with_suggestions(parts.0, parts.1, parts.2)?)
        }
    }
}

/// Copies values in row-major order into a matrix on the device. [`zor_core::ops::read`] reads them
/// back.
///
/// # Shapes
/// `rows * columns` values -> `[rows, columns]`.
///
/// # Errors
/// When the number of values is not a multiple of `rows`.
pub fn matrix(values: &[f32], rows: usize, device: &Device) -> Result<Tensor<2>> {
    if rows == 0 || !values.len().is_multiple_of(rows) {
        return Err(Error::input(format!(
            "{} values cannot be split into {rows} rows of equal length",
            values.len()
        )));
    }
    let shape = [rows, values.len() / rows];
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}
