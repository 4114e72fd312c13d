//! Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), fused into
//! one pass over memory.

use serde::{Deserialize, Serialize};
use zor_core::burn::tensor::Tensor;
use zor_core::ops::{self, AdamStep};
use zor_core::{Error, Optimizer, Parameter, Result, Workspace};

use crate::Schedule;

/// AdamW, or Adam without weight decay.
///
/// State: first and second moment of the correlation, shared by AdamW and Adam.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Learning rate.
    pub schedule: Schedule,
    /// Decay rates of the two moments.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay: each step first multiplies a weight by
    /// `1 - learning_rate * weight_decay`.
    pub weight_decay: f32,
}

impl AdamW {
    /// AdamW with this learning rate or schedule, other settings as in [`AdamW::default`].
    pub fn new(schedule: impl Into<Schedule>) -> Self {
        Self { schedule: schedule.into(), ..Self::default() }
    }

    /// Adam with this learning rate or schedule: no weight decay.
    pub fn adam(schedule: impl Into<Schedule>) -> Self {
        Self::new(schedule).with_weight_decay(0.0)
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Default for AdamW {
    /// Learning rate 1e-3, betas 0.9 and 0.999, epsilon 1e-8, weight decay 0.01, as in the classic
    /// preset.
    fn default() -> Self {
        Self {
            schedule: Schedule::constant(1e-3),
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &str {
        if self.weight_decay == 0.0 { "adam" } else { "adamw" }
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()?;
        let betas = [self.betas.0, self.betas.1];
        if betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            return Err(Error::setting(format!("betas are {betas:?}; both must be in [0, 1)")));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Error::setting(format!(
                "epsilon is {}; it must be above zero",
                self.epsilon
            )));
        }
        crate::check_weight_decay(self.weight_decay)
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        self.step_as(OWNER, parameter, correlation, workspace);
    }

    fn step_in_factors(
        &self,
        parameter: &mut Parameter,
        presynaptic: &Tensor<2>,
        signal: &Tensor<2>,
        _: &mut Workspace,
    ) {
        self.update(OWNER, parameter, |weight, [first, second], step| {
            let (presynaptic, signal) = (presynaptic.clone(), signal.clone());
            ops::adam_step_in_factors(weight, presynaptic, signal, first, second, step)
        });
    }
}

/// Owner of the state.
const OWNER: &str = "adamw";

impl AdamW {
    /// A step with the state of the given owner.
    pub(crate) fn step_as(
        &self,
        owner: &str,
        parameter: &mut Parameter,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        self.update(owner, parameter, |weight, [first, second], step| {
            ops::adam_step(weight, correlation.clone(), first, second, step)
        });
        workspace.give(correlation);
    }

    /// Updates weight and moments by one step of these settings.
    fn update(
        &self,
        owner: &str,
        parameter: &mut Parameter,
        move_all: impl FnOnce(Tensor<2>, [Tensor<2>; 2], AdamStep) -> (Tensor<2>, Tensor<2>, Tensor<2>),
    ) {
        let limit = parameter.limit();
        parameter.update_as(owner, self.schedule.identity(), |weight, state, step| {
            let rate = self.schedule.rate(step.of_schedule);
            let (beta_1, beta_2) = self.betas;
            let steps = step.of_state as f64;
            let correction = |beta: f32| 1.0 / (1.0 - f64::from(beta).powf(steps)) as f32;
            let settings = AdamStep {
                rate: rate * correction(beta_1),
                beta_1,
                beta_2,
                correction_2: correction(beta_2),
                epsilon: self.epsilon,
                decay: 1.0 - rate * self.weight_decay,
                limit,
            };
            // A state that was not written by a step of this optimizer, such as an incomplete one,
            // is discarded.
            if state.tensors.len() != 2 || state.tensors.iter().any(|m| m.dims() != weight.dims()) {
                state.tensors.clear();
            }
            let mut moment = || {
                state.tensors.pop().unwrap_or_else(|| ops::zeros(weight.dims(), &weight.device()))
            };
            let (second, first) = (moment(), moment());
            let (weight, first, second) = move_all(weight, [first, second], settings);
            state.tensors.extend([first, second]);
            weight
        });
    }
}
