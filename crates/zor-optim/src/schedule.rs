//! Learning-rate schedules that depend on the step alone, so that a resumed training continues
//! exactly.

use serde::{Deserialize, Serialize};
use zor_core::{Error, Result};

/// A learning rate with optional warm-up and decay.
///
/// Rates are per step, with steps counted from 1. After its last step a decaying schedule stays at
/// its final rate.
///
/// Steps are counted from the first step of the parameter with this schedule. A schedule with
/// another peak or decay, or of another kind of optimizer, starts at its own step 1. One that
/// differs only in `steps` or `warm_up` continues at the current step of the last one, so that a
/// training can be extended. For a second phase with the same peak and decay, call
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
    /// Maximum learning rate.
    pub peak: f32,
    /// Number of steps of linear growth from zero to the peak.
    pub warm_up: u64,
    /// Shape of the decay after warm-up.
    pub decay: Decay,
    /// Number of steps until the decay ends, warm-up included.
    pub steps: u64,
}

/// The shape of a decay from the peak to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// No decay.
    #[default]
    Constant,
    /// Half a cosine (Loshchilov and Hutter 2017).
    Cosine,
    /// A straight line.
    Linear,
}

impl Schedule {
    /// A constant rate.
    pub fn constant(rate: f32) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Constant, steps: 0 }
    }

    /// Decay from the rate to zero along half a cosine.
    pub fn cosine(rate: f32, steps: u64) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Cosine, steps }
    }

    /// Decay from the rate to zero along a straight line.
    pub fn linear(rate: f32, steps: u64) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Linear, steps }
    }

    /// Adds a linear warm-up over the first steps.
    #[must_use]
    pub fn with_warm_up(mut self, steps: u64) -> Self {
        self.warm_up = steps;
        self
    }

    /// Returns the learning rate of a step, counted from 1.
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

    /// Identifier shared by schedules of the same peak and decay. It is part of checkpoints and
    /// must never change.
    pub(crate) fn identity(&self) -> u64 {
        let decay = match self.decay {
            Decay::Constant => 1,
            Decay::Cosine => 2,
            Decay::Linear => 3,
        };
        decay << 32 | u64::from(self.peak.to_bits())
    }

    /// Rejects invalid rates.
    ///
    /// # Errors
    /// If the rate is negative, NaN or infinite.
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
