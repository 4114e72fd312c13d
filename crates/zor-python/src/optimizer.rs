//! Optimizers.

use pyo3::prelude::*;
use zor::optim::{AdamW, Decay, Muon, Schedule, Sgd};

use crate::error::{exception, input};

/// An optimizer with its settings. The classes of `zor.optimizers` create it.
#[pyclass(frozen, module = "zor._zor")]
pub(crate) struct Optimizer(pub(crate) Box<dyn zor::core::Optimizer>);

/// Peak, steps of warm-up, shape of the decay, and steps until it ends.
type ScheduleParts = (f32, u64, String, u64);

fn schedule((peak, warm_up, decay, steps): ScheduleParts) -> PyResult<Schedule> {
    let decay = match decay.as_str() {
        "constant" => Decay::Constant,
        "cosine" => Decay::Cosine,
        "linear" => Decay::Linear,
        other => {
            return Err(input(format!(
                "decay is '{other}'; it must be constant, cosine or linear"
            )));
        }
    };
    Ok(Schedule { peak, warm_up, decay, steps })
}

fn checked(optimizer: impl zor::core::Optimizer + 'static) -> PyResult<Optimizer> {
    optimizer.check().map_err(exception)?;
    Ok(Optimizer(Box::new(optimizer)))
}

#[pymethods]
impl Optimizer {
    /// Creates AdamW.
    #[staticmethod]
    fn adamw(
        learning_rate: ScheduleParts,
        betas: (f32, f32),
        epsilon: f32,
        weight_decay: f32,
    ) -> PyResult<Self> {
        checked(AdamW { schedule: schedule(learning_rate)?, betas, epsilon, weight_decay })
    }

    /// Creates Muon.
    #[staticmethod]
    fn muon(
        learning_rate: ScheduleParts,
        momentum: f32,
        nesterov: bool,
        weight_decay: f32,
        iterations: u32,
    ) -> PyResult<Self> {
        let schedule = schedule(learning_rate)?;
        checked(Muon { schedule, momentum, nesterov, weight_decay, iterations })
    }

    /// Creates stochastic gradient descent.
    #[staticmethod]
    fn sgd(
        learning_rate: ScheduleParts,
        momentum: f32,
        nesterov: bool,
        weight_decay: f32,
    ) -> PyResult<Self> {
        checked(Sgd { schedule: schedule(learning_rate)?, momentum, nesterov, weight_decay })
    }

    /// Returns the learning rate of a step, counted from 1, of a schedule.
    #[staticmethod]
    fn rate(learning_rate: ScheduleParts, step: u64) -> PyResult<f32> {
        let schedule = schedule(learning_rate)?;
        schedule.check().map_err(exception)?;
        Ok(schedule.rate(step))
    }
}
