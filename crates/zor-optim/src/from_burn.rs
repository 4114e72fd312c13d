//! Adapter for burn's optimizers, driven by the local rule.

use std::fmt;
use std::sync::Arc;

use burn::optim::Optimizer as BurnOptimizer;
use zor_core::burn::tensor::Tensor;
use zor_core::{Optimizer, Parameter, Result, Workspace, ops};

use crate::Schedule;

/// One of burn's optimizers as a Zor [`Optimizer`].
///
/// ```
/// use burn::optim::RmsPropConfig;
/// use zor_core::Optimizer;
/// use zor_optim::{FromBurn, Schedule};
/// let schedule = Schedule::constant(1e-3);
/// let optimizer = FromBurn::new("rmsprop", RmsPropConfig::new().build(), schedule);
/// assert_eq!(optimizer.name(), "rmsprop");
/// ```
#[derive(Clone)]
pub struct FromBurn<O> {
    name: String,
    owner: String,
    inner: O,
    schedule: Schedule,
}

impl<O: BurnOptimizer> FromBurn<O> {
    /// Wraps an optimizer under a name of the caller's choice. Optimizers with the same name
    /// continue each other's state.
    pub fn new(name: impl Into<String>, inner: O, schedule: Schedule) -> Self {
        let name = name.into();
        Self { owner: format!("burn/{name}"), name, inner, schedule }
    }
}

impl<O> fmt::Debug for FromBurn<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromBurn")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

impl<O: BurnOptimizer> Optimizer for FromBurn<O> {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<()> {
        self.schedule.check()
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        let limit = parameter.limit();
        parameter.update_as(&self.owner, self.schedule.identity(), |weight, state, step| {
            let before = state.foreign.take().and_then(|state| {
                Arc::downcast::<O::State<2>>(state).ok().map(Arc::unwrap_or_clone)
            });
            let rate = f64::from(self.schedule.rate(step.of_schedule));
            // burn's optimizers descend along a gradient; the correlation points the other way.
            let (weight, after) = self.inner.step(rate, weight, correlation.clone().neg(), before);
            if let Some(after) = after {
                state.foreign = Some(Arc::new(after));
            }
            if limit.is_finite() {
                ops::scaled_sum(weight, correlation.clone(), 1.0, 0.0, limit)
            } else {
                weight
            }
        });
        workspace.give(correlation);
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::AdamW;
    use burn::optim::AdamWConfig;
    use zor_core::Random;
    use zor_core::burn::tensor::Device;

    #[test]
    fn burns_adamw_takes_the_same_steps_as_ours() {
        let device = Device::flex();
        let mut random = Random::seeded(3);
        let start = Parameter::normal("weight", [7, 9], 0.1, &mut random, &device).with_limit(0.2);
        let mut workspace = Workspace::new(&device);
        let theirs = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).build();
        let theirs = FromBurn::new("adamw", theirs, Schedule::constant(0.01));
        let ours = AdamW::new(0.01);
        let (mut a, mut b) = (start.clone(), start);
        for _ in 0..10 {
            let step = Parameter::normal("step", [7, 9], 1.0, &mut random, &device).value();
            ours.step(&mut a, step.clone(), &mut workspace);
            theirs.step(&mut b, step, &mut workspace);
        }
        let difference = (a.value() - b.value()).abs().max().into_data().iter::<f32>().next();
        assert!(difference.is_some_and(|d| d < 1e-6), "{difference:?}");
    }
}
