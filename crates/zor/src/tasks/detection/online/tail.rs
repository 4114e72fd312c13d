//! How rare a large value is in a stream: an exponential tail above a high quantile, both of which
//! follow the stream (peaks over a threshold; Siffer et al. 2017).

/// Share of values below the quantile.
const QUANTILE: f64 = 0.98;
/// Number of excesses that their mean remembers.
const MEMORY: f64 = 160.0;
/// Step of the quantile, in standard deviations of the first values.
const STEP: f64 = 0.05;
/// Smallest mean excess at the start, and smallest standard deviation.
const LEAST: f64 = 1e-3;
/// Maximum number of decades.
pub(super) const MOST_DECADES: f64 = 12.0;

/// The quantile and the mean excess over it.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    quantile: f64,
    step: f64,
    mean_excess: f64,
    count: f64,
}

impl Tail {
    /// The tail of the first values, none of which is negative.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len().max(1) as f64;
        let quantile = sorted.get((QUANTILE * n) as usize).copied().unwrap_or(0.0);
        let mean = sorted.iter().sum::<f64>() / n;
        let variance = sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let deviation = variance.sqrt().max(LEAST);
        let excesses = sorted.iter().map(|value| value - quantile).filter(|excess| *excess > 0.0);
        let count = excesses.clone().count() as f64;
        let mean_excess = if count > 0.0 { excesses.sum::<f64>() / count } else { deviation };
        Self { quantile, step: STEP * deviation, mean_excess: mean_excess.max(LEAST), count }
    }

    /// Chance that a value is at least as large as this one, as a number of decades: 2 is one in a
    /// hundred.
    pub(super) fn decades(&self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        let excess = value - self.quantile;
        let above = 1.0 - QUANTILE;
        let decades = if excess > 0.0 {
            excess / self.mean_excess * std::f64::consts::LOG10_E - above.log10()
        } else if excess < 0.0 {
            -(above + QUANTILE * (1.0 - value / self.quantile.max(1e-9))).log10()
        } else {
            -above.log10()
        };
        decades.clamp(0.0, MOST_DECADES)
    }

    /// Follows a value.
    pub(super) fn follow(&mut self, value: f64) {
        let excess = value - self.quantile;
        if excess > 0.0 {
            self.count += 1.0;
            self.mean_excess += (excess - self.mean_excess) / self.count.min(MEMORY);
            self.quantile += self.step * QUANTILE;
        } else {
            self.quantile -= self.step * (1.0 - QUANTILE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_has_two_decades() {
        let mut tail = Tail { quantile: 1.0, step: 0.1, mean_excess: 0.5, count: 1.0 };
        assert!((tail.decades(1.0) - 50f64.log10()).abs() < 1e-12);
        assert!((tail.decades(1.0 + 0.5 * 2f64.ln()) - 2.0).abs() < 1e-12);
        assert_eq!(tail.decades(0.0), 0.0);
        assert_eq!(tail.decades(1e9), MOST_DECADES);
        assert_eq!(tail.decades(f64::NAN), 0.0);
        tail.follow(2.5);
        assert!((tail.mean_excess - 1.0).abs() < 1e-12 && (tail.quantile - 1.098).abs() < 1e-12);
    }

    #[test]
    fn the_chance_of_exponential_values_is_found() {
        let mut random = zor_core::Random::seeded(1);
        let mut drawn = || -f64::from(1.0 - random.uniform()).ln();
        let first: Vec<f64> = (0..500).map(|_| drawn()).collect();
        let mut tail = Tail::of(&first);
        (0..20_000).for_each(|_| tail.follow(drawn()));
        let thousandth = 1000f64.ln();
        assert!((tail.decades(thousandth) - 3.0).abs() < 0.5, "{}", tail.decades(thousandth));
        assert!(Tail::of(&[]).decades(1.0) > 0.0);
    }
}
