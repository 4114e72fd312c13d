//! Gradient descent with momentum: `m = momentum * m + correlation`, `weight += learning_rate * m`.

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Tensor;
use zor_core::ops;
use zor_core::{Optimizer, Parameter, Result, Workspace};

use crate::{Schedule, accumulate};

/// Stochastic gradient descent with momentum and decoupled weight decay.
///
/// State: the momentum. Muon's is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// The learning rate.
    pub schedule: Schedule,
    /// How much of the last step's direction stays; zero for none.
    pub momentum: f32,
    /// Whether the direction looks one step ahead (Nesterov).
    pub nesterov: bool,
    /// Each step first multiplies a weight by `1 - learning_rate * weight_decay`.
    pub weight_decay: f32,
}

impl Sgd {
    /// With this learning rate or schedule, momentum 0.9, no weight decay.
    pub fn new(schedule: impl Into<Schedule>) -> Self {
        Self { schedule: schedule.into(), momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &str {
        "sgd"
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()?;
        crate::check_momentum(self.momentum)?;
        crate::check_weight_decay(self.weight_decay)
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        let limit = parameter.limit();
        parameter.update_as("sgd", self.schedule.identity(), |weight, state, step| {
            let rate = self.schedule.rate(step.of_schedule);
            let decay = 1.0 - rate * self.weight_decay;
            let direction = accumulate(state, correlation, self.momentum, self.nesterov);
            let weight = ops::scaled_sum(weight, direction.clone(), decay, rate, limit);
            workspace.give(direction);
            weight
        });
    }
}
