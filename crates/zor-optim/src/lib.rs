#![doc = include_str!("../README.md")]

mod adam;
mod from_burn;
mod muon;
mod schedule;
mod sgd;
#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
mod tests;

pub use adam::AdamW;
pub use from_burn::FromBurn;
pub use muon::{Muon, orthogonalize};
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;

use zor_core::burn::tensor::Tensor;
use zor_core::{Error, OptimizerState, Result, ops};

/// Adds the correlation to the momentum in the state. Returns the direction of the update.
fn accumulate(
    state: &mut OptimizerState,
    correlation: Tensor<2>,
    momentum: f32,
    nesterov: bool,
) -> Tensor<2> {
    if momentum == 0.0 {
        state.tensors.clear();
        return correlation;
    }
    let dims = correlation.dims();
    let kept = state.tensors.pop().filter(|kept| kept.dims() == dims);
    state.tensors.clear();
    let kept = match kept {
        Some(kept) => ops::scaled_sum(kept, correlation.clone(), momentum, 1.0, f32::INFINITY),
        None => {
            let nothing = ops::zeros(correlation.dims(), &correlation.device());
            ops::scaled_sum(nothing, correlation.clone(), 0.0, 1.0, f32::INFINITY)
        }
    };
    let weights = if nesterov { (1.0, momentum) } else { (0.0, 1.0) };
    let direction = ops::scaled_sum(correlation, kept.clone(), weights.0, weights.1, f32::INFINITY);
    state.tensors.push(kept);
    direction
}

fn check_weight_decay(weight_decay: f32) -> Result<()> {
    if weight_decay.is_finite() && weight_decay >= 0.0 {
        Ok(())
    } else {
        Err(Error::setting(format!("weight_decay is {weight_decay}; it must be zero or above")))
    }
}

fn check_momentum(momentum: f32) -> Result<()> {
    if (0.0..1.0).contains(&momentum) {
        Ok(())
    } else {
        Err(Error::setting(format!("momentum is {momentum}; it must be in [0, 1)")))
    }
}
