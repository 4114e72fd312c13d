//! An optimizer that keeps what it is given, to compare what rules would learn.

use std::sync::Mutex;

use zor::core::{Network, Parameter, Target, Workspace};
use zor::prelude::{Optimizer, Tensor};

/// What a layer would learn: the parameter's name, and the direction it would move along.
pub(crate) type Update = (&'static str, Vec<f32>);

/// Keeps what each layer would learn, and changes nothing.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Update>>);

impl Optimizer for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn check(&self) -> zor::core::Result<()> {
        Ok(())
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
        if let Ok(mut kept) = self.0.lock() {
            kept.push((parameter.name(), correlation.into_data().iter::<f32>().collect()));
        }
    }
}

/// What `twin` would learn from a batch with the weights of `network`, from the top layer down.
pub(crate) fn updates(
    network: &Network,
    mut twin: Network,
    input: Tensor<2>,
    target: impl Into<Target>,
) -> Result<Vec<Update>, String> {
    let from = network.layers().iter().flat_map(|layer| layer.parameters());
    let to = twin.layers_mut().iter_mut().flat_map(|layer| layer.parameters_mut());
    for (from, to) in from.zip(to) {
        to.set_value(from.value()).map_err(|error| error.to_string())?;
    }
    let recorder = Recorder::default();
    twin.train_batch(&recorder, input, target).map_err(|error| error.to_string())?;
    Ok(recorder.0.into_inner().unwrap_or_default())
}

/// The cosine of the angle between two updates.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
