//! Learning rates as a function of the step alone, so that a resumed training continues exactly.

use serde::{Deserialize, Serialize};
use zor_core::{Error, Result};

/// A learning rate that may warm up and decay.
///
/// Rates are per step, steps counted from 1. Past its last step a decaying schedule stays where it
/// ended.
///
/// Steps are counted from where the parameter met this schedule. A schedule with another peak or
/// decay, or of another kind of optimizer, begins at its own step 1. One that differs only in
/// `steps` or `warm_up` continues at the step where the last one stands: a training is made longer
/// in this way. For a second phase with the same peak and decay call
/// [`Network::begin_phase`](zor_core::Network::begin_phase) first.
///
/// ```
/// use zor_optim::Schedule;
/// let schedule = Schedule::cosine(0.1, 100).with_warm_up(10);
/// assert_eq!(schedule.rate(5), 0.05);
/// assert_eq!(schedule.rate(11), 0.1);
/// assert!(schedule.rate(100) < 1e-3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f32,
    /// Steps of linear growth from zero to the peak.
    pub warm_up: u64,
    /// What happens after warm-up.
    pub decay: Decay,
    /// Steps until a decay ends, warm-up included.
    pub steps: u64,
}

/// The shape of a decay from the peak to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// None: the rate stays.
    #[default]
    Constant,
    /// Half a cosine (Loshchilov and Hutter 2017).
    Cosine,
    /// A straight line.
    Linear,
}

impl Schedule {
    /// The same rate at every step.
    pub fn constant(rate: f32) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Constant, steps: 0 }
    }

    /// From the rate to zero along half a cosine.
    pub fn cosine(rate: f32, steps: u64) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Cosine, steps }
    }

    /// From the rate to zero along a straight line.
    pub fn linear(rate: f32, steps: u64) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Linear, steps }
    }

    /// Grows linearly over the first steps.
    #[must_use]
    pub fn with_warm_up(mut self, steps: u64) -> Self {
        self.warm_up = steps;
        self
    }

    /// The learning rate of a step, counted from 1.
    pub fn rate(&self, step: u64) -> f32 {
        if self.warm_up > 0 && step <= self.warm_up {
            return self.peak * step as f32 / self.warm_up as f32;
        }
        let length = self.steps.saturating_sub(self.warm_up).max(1);
        let passed = (step - self.warm_up).saturating_sub(1).min(length) as f32 / length as f32;
        self.peak
            * match self.decay {
                Decay::Constant => 1.0,
                Decay::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * passed).cos()),
                Decay::Linear => 1.0 - passed,
            }
    }

    /// A number that schedules of the same peak and decay have in common; it is part of checkpoints
    /// and must never change.
    pub(crate) fn identity(&self) -> u64 {
        let decay = match self.decay {
            Decay::Constant => 1,
            Decay::Cosine => 2,
            Decay::Linear => 3,
        };
        decay << 32 | u64::from(self.peak.to_bits())
    }

    /// Refuses rates that cannot be trained with.
    ///
    /// # Errors
    /// When the rate is negative, NaN or infinite.
    pub fn check(&self) -> Result<()> {
        if self.peak.is_finite() && self.peak >= 0.0 {
            Ok(())
        } else {
            Err(Error::setting(format!(
                "the learning rate is {}; it must be a finite number, zero or above",
                self.peak
            )))
        }
    }
}

impl From<f32> for Schedule {
    fn from(rate: f32) -> Self {
        Self::constant(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: Schedule, expected: &[(u64, f32)]) {
        for &(step, rate) in expected {
            let found = schedule.rate(step);
            assert!((found - rate).abs() < 1e-6, "{schedule:?} at {step}: {found}, not {rate}");
        }
    }

    #[test]
    fn rates_follow_their_curves() {
        check(Schedule::constant(0.3), &[(0, 0.3), (1, 0.3), (1_000_000, 0.3)]);
        check(Schedule::linear(1.0, 10), &[(1, 1.0), (6, 0.5), (10, 0.1), (11, 0.0), (99, 0.0)]);
        check(Schedule::cosine(1.0, 10), &[(1, 1.0), (6, 0.5), (11, 0.0), (99, 0.0)]);
        let warm = Schedule::linear(1.0, 14).with_warm_up(4);
        check(warm, &[(1, 0.25), (4, 1.0), (5, 1.0), (10, 0.5)]);
    }

    #[test]
    fn rates_that_are_no_numbers_are_refused() {
        for rate in [f32::NAN, f32::INFINITY, -0.1] {
            assert!(Schedule::constant(rate).check().is_err());
        }
        assert_eq!(Schedule::constant(0.0).check(), Ok(()));
    }
}
