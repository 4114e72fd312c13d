//! Helpers of several suites.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use zor::core::Parameter;
use zor::prelude::*;
use zor::task::{Data, Model, Plan};
use zor::training::{self, Method, Training};

use crate::paths::text;

/// Number of threads that the suites use: one per core, or `RAYON_NUM_THREADS`.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Returns a folder of `ZOR_DATA_DIR`.
///
/// # Errors
/// When it is missing. The message says what belongs there.
pub(super) fn folder(name: &str, contents: &str) -> Result<PathBuf, String> {
    let place = std::env::var_os("ZOR_DATA_DIR").map(|place| PathBuf::from(place).join(name));
    place
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| format!("{contents} are needed in the folder {name} of ZOR_DATA_DIR"))
}

/// Trains on the CPU to the last step.
pub(crate) fn train_to_end(plan: &Plan, data: &Data, method: Method) -> Result<Training, String> {
    let never_stop = &mut |_: &mut Training| ControlFlow::Continue(());
    training::run(plan, data, &Device::flex(), method, never_stop).map_err(text)
}

/// Returns a model that is not in a file.
pub(super) fn model(network: Network, plan: &Plan) -> Model {
    let (notes, path) = (BTreeMap::new(), PathBuf::new());
    Model { network, plan: plan.clone(), notes, path }
}

/// Returns the classes of a batch.
pub(super) fn classes(batch: &Batch) -> Vec<usize> {
    batch.targets.integers().iter().map(|class| *class as usize).collect()
}

/// Returns normally distributed values on the CPU.
pub(crate) fn noise(shape: [usize; 2]) -> Tensor<2> {
    Parameter::normal("noise", shape, 1.0, &mut Random::seeded(1), &Device::flex()).value()
}

/// Returns values between 0 and 1, as pictures have and as peers learn from, on a device. Fewer
/// units fire on [`noise`], which makes a step shorter.
pub(super) fn pixels(device: &Device, [rows, columns]: [usize; 2]) -> Result<Tensor<2>, String> {
    let mut random = Random::seeded(1);
    let values: Vec<f32> = (0..rows * columns).map(|_| random.uniform()).collect();
    matrix(&values, rows, device).map_err(text)
}
