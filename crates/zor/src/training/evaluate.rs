//! Evaluation of networks, and of anything else that predicts.

use zor_core::burn::tensor::{Device, Tensor};
use zor_core::{Network, Workspace, ops, step};
use zor_data::Examples;

use super::score::Figure;
pub use super::score::Score;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Settings;
use crate::tasks::parts::confusion::Confusion;
use crate::tasks::{Predict, Task, in_batches};

/// Examples evaluated at once.
pub(crate) const EVALUATION_BATCH: usize = 100;

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

/// Evaluates a network on a set.
///
/// # Errors
/// When the examples do not fit the network, or its weights are infinite or NaN.
pub fn evaluate(
    network: &Network,
    settings: &Settings,
    examples: &dyn Examples,
    device: &Device,
) -> Result<Score> {
    check_finite(network)?;
    let mut workspace = Workspace::new(device);
    let task = settings.task;
    task.evaluate(&Evaluation { settings, examples, device }, &mut |input| {
        task.predict(network, settings, input, &mut workspace)
    })
}

/// Evaluates predictions: classes by their share that is right, values by their error.
pub(crate) fn evaluate_with<T: Task + ?Sized>(
    task: &T,
    of: &Evaluation<'_>,
    predict: &mut Predict<'_>,
) -> Result<Score> {
    // Labels are compared as they are.
    let settings = Settings { label_smoothing: 0.0, ..of.settings.clone() };
    let mut score = Score { samples: of.examples.len(), ..Score::default() };
    for batch in in_batches(of.examples, EVALUATION_BATCH) {
        let (input, target) = task.pair(&batch, &settings, of.device)?;
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

fn rmse(deviation: &zor_core::ErrorMetrics) -> Figure {
    let mean = deviation.sums.squared / deviation.elements as f64;
    Figure::new("rmse", "RMSE", mean.sqrt(), super::score::Unit::Number).smaller_is_better()
}

/// Refuses a network with weights that are infinite or NaN: gates would hide them, and its figures
/// would mean nothing.
fn check_finite(network: &Network) -> Result<()> {
    match network.tensors().into_iter().find(|(.., tensor)| !ops::all_finite(&tensor.value())) {
        None => Ok(()),
        Some((name, ..)) => Err(Error::new(
            ErrorKind::Diverged,
            format!(
                "{name} of the network has values that are infinite or NaN; use a lower learning rate or weight decay"
            ),
        )),
    }
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
