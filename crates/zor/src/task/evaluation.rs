//! Evaluation of predictions, whatever makes them.

use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{ErrorMetrics, Target, ops, step};
use zor_data::{Batch, Examples};

use super::confusion::Confusion;
use super::data::in_batches;
use super::score::{Figure, Score, Unit};
use crate::error::Result;
use crate::settings::Settings;

/// Number of examples that are evaluated at once.
pub(crate) const EVALUATION_BATCH: usize = 100;

/// A function that makes predictions: `[rows, inputs]` -> `[rows, outputs]`.
pub type Predict<'a> = dyn FnMut(Tensor<2>) -> Result<Tensor<2>> + 'a;

/// The examples that predictions are evaluated on.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// The settings of the training, or of the model.
    pub settings: &'a Settings,
    /// The examples.
    pub examples: &'a dyn Examples,
    /// The device of inputs.
    pub device: &'a Device,
}

/// Makes the input of a network and its target from a batch.
pub(crate) type Pair<'a> = dyn Fn(&Batch, &Settings) -> Result<(Tensor<2>, Target)> + 'a;

/// Scores predictions: classes by the share that is right, values by their error.
///
/// # Errors
/// When a prediction fails, or the examples do not suit it.
pub(crate) fn score(
    of: &Evaluation<'_>,
    pair: &Pair<'_>,
    predict: &mut Predict<'_>,
) -> Result<Score> {
    // Predictions are compared with labels that are not smoothed.
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

/// The column of the largest output of every row.
pub(crate) fn likeliest(output: Tensor<2>) -> Result<Vec<usize>> {
    let columns = output.dims()[1];
    let values = ops::read(output)?;
    Ok(values.chunks_exact(columns).map(largest).collect())
}

/// The place of the largest value; the last of equal ones, and 0 where there is none.
pub(crate) fn largest(values: &[f32]) -> usize {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0)
}
