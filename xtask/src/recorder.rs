//! An optimizer that keeps what it is given, to compare what rules would learn.

use std::sync::Mutex;

use zor::core::{Parameter, Workspace};
use zor::prelude::{Optimizer, Tensor};

/// Keeps what each layer would learn, and changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<Vec<f32>>>);

impl Optimizer for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn check(&self) -> zor::core::Result<()> {
        Ok(())
    }

    fn step(&self, _: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
        if let Ok(mut kept) = self.0.lock() {
            kept.push(correlation.into_data().iter::<f32>().collect());
        }
    }
}

/// The cosine of the angle between two updates.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
