//! Standardisation of a stream by a mean and a variance that follow it.

/// Number of values that the mean and the variance remember.
const MEMORY: f64 = 2000.0;
/// Standardised values stay within ± this.
const LIMIT: f64 = 10.0;

/// Mean and variance of a channel so far. Old values are forgotten slowly.
#[derive(Clone, Debug, Default)]
pub(super) struct Scale {
    mean: f64,
    variance: f64,
    count: f64,
}

impl Scale {
    /// The mean and the variance of the known values.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let known = values.filter(|value| value.is_finite());
        let count = known.clone().count() as f64;
        let mean = known.clone().sum::<f64>() / count.max(1.0);
        let variance = known.map(|value| (value - mean).powi(2)).sum::<f64>() / count.max(1.0);
        Self { mean, variance, count }
    }

    /// Standardised value; NaN if the value is missing.
    pub(super) fn standardised(&self, value: f64) -> f32 {
        if !value.is_finite() {
            return f32::NAN;
        }
        let standardised = (value - self.mean) / self.deviation();
        standardised.clamp(-LIMIT, LIMIT) as f32
    }

    /// Value in the unit of the channel.
    pub(super) fn in_unit(&self, standardised: f32) -> f64 {
        self.mean + f64::from(standardised) * self.deviation()
    }

    /// Follows a value, unless it is missing.
    pub(super) fn follow(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1.0;
        let share = (1.0 / self.count).max(1.0 / MEMORY);
        let difference = value - self.mean;
        self.mean += share * difference;
        self.variance = (1.0 - share) * (self.variance + share * difference * difference);
    }

    /// Standard deviation, with a floor for channels that are constant.
    fn deviation(&self) -> f64 {
        (self.variance + 1e-12 * (1.0 + self.mean * self.mean)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_stream_has_the_mean_and_the_variance_of_all_its_values() {
        let values = [1.0, 2.0, f64::NAN, 4.0, 9.0];
        let mut scale = Scale::of(values[..2].iter().copied());
        values[2..].iter().for_each(|&value| scale.follow(value));
        assert!((scale.mean - 4.0).abs() < 1e-12 && (scale.variance - 9.5).abs() < 1e-12);
        assert!((scale.in_unit(scale.standardised(7.0)) - 7.0).abs() < 1e-5);
        assert!(scale.standardised(f64::NAN).is_nan());
    }

    #[test]
    fn a_change_of_a_constant_channel_is_large_but_limited() {
        let scale = Scale::of([5.0; 9].into_iter());
        assert_eq!(scale.standardised(5.0), 0.0);
        assert_eq!(scale.standardised(5.1), 10.0);
        assert_eq!(Scale::of([f64::NAN].into_iter()).standardised(0.0), 0.0);
    }
}
