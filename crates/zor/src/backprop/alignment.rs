//! Cosine similarity between the updates of a rule and the gradient of backpropagation.
//!
//! The correlation that the rule passes to the optimizer for each parameter is compared with the
//! gradient that burn's autodiff computes for the same weights and batch. Optimizers that normalise
//! their steps (Muon, Adam) can bring the resulting steps closer together or further apart.

use zor_core::burn::tensor::Tensor;
use zor_core::{Input, Network, Optimizer, Parameter, Target, Workspace};

use super::autodiff;
use crate::error::Result;
use crate::task::{Data, Plan, in_batches};

/// Maximum number of training examples for the cosines of a run.
const EXAMPLES: usize = 100;

/// Names of weight matrices, which may have a single row. Other parameters of one row are vectors.
const MATRICES: [&str; 2] = ["weight", "kernel"];

/// Minimum cosine at which updates are reported to coincide with backpropagation's.
pub const COINCIDES: f64 = 0.99;

/// An optimizer that stores each parameter's correlation in its state and leaves the weights
/// unchanged.
#[derive(Debug)]
struct Recorder;

impl Optimizer for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn check(&self) -> zor_core::Result<()> {
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
        parameter.update(|value, state, _| {
            state.tensors = vec![correlation];
            value
        });
    }
}

/// Returns the correlation that each parameter would learn from a batch, in the order of the
/// parameters; `None` for frozen parameters.
///
/// # Errors
/// When the batch does not fit the network.
pub fn updates(
    network: &Network,
    input: impl Into<Input>,
    target: impl Into<Target>,
) -> Result<Vec<Option<Tensor<2>>>> {
    let mut network = network.clone();
    network.reset_optimizer();
    network.train_batch(&Recorder, input, target)?;
    let parameters = network.layers().iter().flat_map(|layer| layer.parameters());
    Ok(parameters.map(|parameter| parameter.state().tensors.first().cloned()).collect())
}

/// Returns the cosine between the rule's update and backpropagation's for each trainable weight
/// matrix, from the first layer to the last.
///
/// # Errors
/// When the batch does not fit the network, or a layer is not supported under autodiff.
pub fn cosines(
    network: &Network,
    input: impl Into<Input>,
    target: impl Into<Target>,
) -> Result<Vec<f64>> {
    let (input, target) = (input.into(), target.into());
    let gradients = autodiff::parameter_gradients(network, input.clone(), target.clone())?;
    let updates = updates(network, input, target)?;
    let parameters = network.layers().iter().flat_map(|layer| layer.parameters());
    let all = parameters.zip(updates).zip(gradients);
    let pairs = all.filter_map(|((parameter, update), gradient)| {
        let is_matrix = MATRICES.contains(&parameter.name()) || parameter.shape()[0] > 1;
        let (update, gradient) = (update?, gradient?);
        is_matrix.then(|| cosine(&update, &gradient.neg()))
    });
    Ok(pairs.collect())
}

/// Returns the [`cosines`] of a run's network on its first training examples, without augmentation.
///
/// # Errors
/// As [`cosines`].
pub fn of_run(network: &Network, plan: &Plan, data: &Data) -> Result<Vec<f64>> {
    let first: Vec<usize> = (0..EXAMPLES.min(data.train.len())).collect();
    let set = data.train.subset(&first)?;
    let batch = in_batches(&*set, EXAMPLES).next().unwrap_or_default();
    let (input, target) = plan.task.pair(&batch, &plan.settings, network.device())?;
    cosines(network, input, target)
}

/// Returns the mean of the cosines.
pub fn mean(cosines: &[f64]) -> f64 {
    cosines.iter().sum::<f64>() / cosines.len() as f64
}

/// Returns the cosine of the angle between two updates of the same shape.
pub fn cosine(a: &Tensor<2>, b: &Tensor<2>) -> f64 {
    let values = |tensor: &Tensor<2>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
    let (a, b) = (values(a), values(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::tasks::parts::networks;
    use zor_core::burn::tensor::Device;
    use zor_core::{Random, Rule};

    fn found(rule: Rule) -> Vec<f64> {
        let device = Device::flex();
        let network = networks::airbench_of(&[32, 32, 3], [8, 8, 8], 10).rule(rule);
        let network = network.build(&device).unwrap();
        let mut random = Random::seeded(3);
        let input = Parameter::normal("input", [8, 3072], 1.0, &mut random, &device).value();
        let classes: Vec<usize> = (0..8).collect();
        let before: Vec<f32> = network.predict(input.clone()).unwrap().into_data().iter().collect();
        let cosines = cosines(&network, input.clone(), classes).unwrap();
        let after: Vec<f32> = network.predict(input).unwrap().into_data().iter().collect();
        assert_eq!(before, after, "nothing is learned");
        cosines
    }

    #[test]
    fn backprop_coincides_and_the_default_rule_does_not() {
        // Six convolutions and the last dense layer are trainable.
        let backprop = found(Rule::backprop());
        assert_eq!(backprop.len(), 7);
        assert!(backprop.iter().all(|cosine| *cosine > 0.999), "{backprop:?}");
        let default = mean(&found(Rule::default()));
        assert!(default > 0.1 && default < COINCIDES, "{default}");
    }
}
