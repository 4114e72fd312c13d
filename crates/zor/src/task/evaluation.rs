//! Evaluation of predictions of a network, an exported program or a baseline.

use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{ErrorMetrics, Input, Network, Target, ops, step};
use zor_data::{Batch, Examples};

use super::confusion::Confusion;
use super::data::in_batches;
use super::score::{Figure, Score, Unit};
use crate::error::Result;
use crate::settings::Settings;

/// Batch size of evaluations.
pub(crate) const EVALUATION_BATCH: usize = 100;

/// A prediction function: `[rows, inputs]` -> `[rows, outputs]`.
pub type Predict<'a> = dyn FnMut(Input) -> Result<Tensor<2>> + 'a;

/// The examples to evaluate on and how to read them.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// Settings of the training run or the model.
    pub settings: &'a Settings,
    /// Evaluation examples.
    pub examples: &'a dyn Examples,
    /// Device for the inputs.
    pub device: &'a Device,
    /// The network, where it is one that is evaluated.
    pub network: Option<&'a Network>,
    /// Whether a part of the examples is evaluated during a training.
    pub is_glance: bool,
}

/// A function that makes the network's input and its target from a batch.
pub(crate) type Pair<'a> = dyn Fn(&Batch, &Settings) -> Result<(Input, Target)> + 'a;

/// Scores predictions: top-1 accuracy for classes, errors for values.
///
/// # Errors
/// When a prediction fails, or the examples do not fit it.
pub(crate) fn score(
    of: &Evaluation<'_>,
    pair: &Pair<'_>,
    predict: &mut Predict<'_>,
) -> Result<Score> {
    // Predictions are compared with the labels without smoothing.
    let settings = Settings { label_smoothing: 0.0, ..of.settings.clone() };
    let mut score = Score { samples: of.examples.len(), ..Score::default() };
    for batch in in_batches(of.examples, EVALUATION_BATCH) {
        let (input, target) = pair(&batch, &settings)?;
        let output = predict(input)?;
        if let Some(classes) = target.classes() {
            let n_classes = output.dims()[1];
            let confusion = score.confusion.get_or_insert_with(|| Confusion::new(n_classes));
            let predicted = likeliest(output.clone())?;
            for (truth, predicted) in classes.iter().zip(predicted) {
                confusion.add(*truth, predicted);
            }
        }
        score.deviation += step::top_signal(target, output)?.1;
    }
    if score.samples > 0 {
        let deviation = &score.deviation;
        score.figures = match &score.confusion {
            Some(confusion) => vec![Figure::top1(confusion, score.samples)],
            None => vec![Figure::mae(deviation), rmse(deviation)],
        };
    }
    Ok(score)
}

fn rmse(deviation: &ErrorMetrics) -> Figure {
    let mean = deviation.sums.squared / deviation.elements as f64;
    Figure::new("rmse", "RMSE", mean.sqrt(), Unit::Number).smaller_is_better()
}

/// Returns the column of the largest output of each row.
pub(crate) fn likeliest(output: Tensor<2>) -> Result<Vec<usize>> {
    let columns = output.dims()[1];
    let values = ops::read(output)?;
    Ok(values.chunks_exact(columns).map(largest).collect())
}

/// Returns the index of the largest value: the last one if several are equal, and 0 if there are
/// none.
pub(crate) fn largest(values: &[f32]) -> usize {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0)
}
