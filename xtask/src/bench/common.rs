//! Values and numbers that several suites measure with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zor::core::Parameter;
use zor::prelude::*;
use zor::task::Model;
use zor::task::Plan;

/// Cores that the suites use: all of them.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A model that is in no file.
pub(super) fn model(network: Network, plan: &Plan) -> Model {
    let (notes, path) = (BTreeMap::new(), PathBuf::new());
    Model { network, plan: plan.clone(), notes, path }
}

/// The classes of a batch.
pub(super) fn classes(batch: &Batch) -> Vec<usize> {
    batch.targets.integers().iter().map(|class| *class as usize).collect()
}

/// Normally distributed values.
pub(crate) fn noise(shape: [usize; 2]) -> Tensor<2> {
    noise_on(&Device::flex(), shape)
}

/// The same on another device.
pub(super) fn noise_on(device: &Device, shape: [usize; 2]) -> Tensor<2> {
    Parameter::normal("noise", shape, 1.0, &mut Random::seeded(1), device).value()
}
