//! Gradient descent with momentum: `m = momentum * m + correlation`, `weight += learning_rate * m`.

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Tensor;
use zor_core::ops::{self, Rows};
use zor_core::{Optimizer, Parameter, Result, Workspace};

use crate::{Schedule, accumulate};

/// Stochastic gradient descent with momentum and decoupled weight decay.
///
/// State: the momentum. The momentum of Muon is not continued.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Learning rate.
    pub schedule: Schedule,
    /// Share of the previous direction that is kept; zero for none.
    pub momentum: f32,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Decoupled weight decay: each step first multiplies a weight by
    /// `1 - learning_rate * weight_decay`.
    pub weight_decay: f32,
}

impl Sgd {
    /// SGD with this learning rate or schedule, momentum 0.9 and no weight decay.
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

    /// Only the rows that occur are read and written if no other row moves: without momentum,
    /// weight decay and a limit. Otherwise the whole parameter takes a step.
    fn step_rows(
        &self,
        parameter: &mut Parameter,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let moves_all = self.momentum > 0.0 || self.weight_decay > 0.0;
        // A step of the whole parameter skips values that are not finite on such a device.
        let skips = ops::is_asynchronous(&correlation.device());
        if moves_all || skips || parameter.limit().is_finite() {
            let whole = parameter.correlation_of_rows(rows, correlation, workspace);
            return self.step(parameter, whole, workspace);
        }
        parameter.update_as("sgd", self.schedule.identity(), |weight, state, step| {
            state.tensors.clear();
            let rate = self.schedule.rate(step.of_schedule);
            ops::add_to_rows(weight, correlation.clone(), rows, rate)
        });
        workspace.give(correlation);
    }
}
