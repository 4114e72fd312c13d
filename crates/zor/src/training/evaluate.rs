//! Evaluation of networks during and after training.

use zor_core::burn::tensor::Device;
use zor_core::{ErrorMetrics, Network, Workspace, ops};
use zor_data::Examples;

use crate::error::{Error, ErrorKind, Result};
use crate::task::{Evaluation, Plan, Score};

/// Evaluates a network on a set of examples.
///
/// # Errors
/// When the examples do not fit the network, or a weight is infinite or NaN.
pub fn evaluate(
    network: &Network,
    plan: &Plan,
    examples: &dyn Examples,
    device: &Device,
) -> Result<Score> {
    evaluate_part(network, plan, examples, device, false)
}

/// [`evaluate`], or a glance at a part of the examples during a training.
pub(crate) fn evaluate_part(
    network: &Network,
    plan: &Plan,
    examples: &dyn Examples,
    device: &Device,
    is_glance: bool,
) -> Result<Score> {
    check_finite(network)?;
    let mut workspace = Workspace::new(device);
    let Plan { task, settings } = plan;
    let of = Evaluation { settings, examples, device, network: Some(network), is_glance };
    task.evaluate(&of, &mut |input| task.predict(network, settings, input, &mut workspace))
}

/// Errors of the predictions for a part of the examples.
pub(super) fn deviation(
    network: &Network,
    plan: &Plan,
    examples: &dyn Examples,
    device: &Device,
) -> Result<ErrorMetrics> {
    let mut workspace = Workspace::new(device);
    let Plan { task, settings } = plan;
    let of = Evaluation { settings, examples, device, network: None, is_glance: true };
    let score =
        task.evaluate(&of, &mut |input| task.predict(network, settings, input, &mut workspace))?;
    Ok(score.deviation)
}

/// Checks that all weights are finite. Gates can hide infinite and NaN weights, so the metrics
/// would look valid.
fn check_finite(network: &Network) -> Result<()> {
    match network.tensors().into_iter().find(|(.., tensor)| !ops::all_finite(&tensor.value())) {
        None => Ok(()),
        Some((name, ..)) => Err(Error::new(
            ErrorKind::Diverged,
            format!(
                "tensor {name} of the network has values that are infinite or NaN; use a lower learning rate or weight decay"
            ),
        )),
    }
}
