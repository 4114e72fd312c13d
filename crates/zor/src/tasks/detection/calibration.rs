//! Calibration of scores: how a fresh normal row compares with held-out normal rows.
//!
//! The conformal p-value of a score is `(1 + n) / (1 + N)`, where `n` of the `N` held-out scores
//! are at least as large (Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random
//! World"). If a fresh row and the held-out rows are exchangeable, a p-value is at most `a` with
//! probability at most `a`, so an alarm at `p <= a` has the false-alarm rate `a` at most.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Maximum number of held-out scores that are kept.
const MAX_SCORES: usize = 2000;

/// Scores of held-out normal rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f32>", into = "Vec<f32>")]
pub struct Calibration {
    /// In increasing order.
    scores: Vec<f32>,
}

impl Calibration {
    /// A calibration by the scores of held-out normal rows. Of more than 2,000 scores, evenly
    /// spaced ones are kept.
    ///
    /// # Errors
    /// When there are no scores, or one is not a number.
    pub fn new(mut scores: Vec<f32>) -> Result<Self> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return Err(Error::input("the scores of the held-out rows are not all numbers"));
        }
        scores.sort_by(f32::total_cmp);
        if scores.len() > MAX_SCORES {
            // Ranks are rounded up, so that p-values are not too small.
            let rank = |kept: usize| ((kept + 1) * scores.len()).div_ceil(MAX_SCORES) - 1;
            scores = (0..MAX_SCORES).map(|kept| scores[rank(kept)]).collect();
        }
        Ok(Self { scores })
    }

    /// Scores of held-out rows, in increasing order.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Conformal p-value of a score, in (0, 1].
    pub fn p_value(&self, score: f32) -> f32 {
        let below = self.scores.partition_point(|other| *other < score);
        (1 + self.scores.len() - below) as f32 / (1 + self.scores.len()) as f32
    }

    /// Smallest p-value: the smallest false-alarm rate that can be promised.
    pub fn least_rate(&self) -> f32 {
        1.0 / (1 + self.scores.len()) as f32
    }

    /// Score above which a row is an alarm, at a false-alarm rate.
    ///
    /// # Errors
    /// When the rate is not in (0, 1), or smaller than so few held-out rows can promise. The
    /// message gives the smallest rate.
    pub fn threshold(&self, rate: f32) -> Result<f32> {
        if !(rate > 0.0 && rate < 1.0) {
            return Err(Error::input(format!(
                "the false-alarm rate is {rate}; it must be above 0 and below 1"
            )));
        }
        let n = self.scores.len();
        // The largest number of held-out scores at or above an alarm, so that p <= rate.
        let allowed = (f64::from(rate) * (n + 1) as f64 + 1e-6).floor() as usize;
        match allowed.checked_sub(1) {
            Some(above) => Ok(self.scores[n - 1 - above.min(n - 1)]),
            None => Err(Error::input(format!(
                "a false-alarm rate of {rate} cannot be promised from {n} held-out rows; the \
                 smallest is {:.4}; give more normal rows, or raise the rate",
                (self.least_rate() * 1e4).ceil() / 1e4
            ))),
        }
    }
}

impl TryFrom<Vec<f32>> for Calibration {
    type Error = String;

    fn try_from(scores: Vec<f32>) -> std::result::Result<Self, String> {
        match !scores.is_empty() && scores.is_sorted() && !scores.iter().any(|s| s.is_nan()) {
            true => Ok(Self { scores }),
            false => Err("the scores of held-out rows are not numbers in order".to_owned()),
        }
    }
}

impl From<Calibration> for Vec<f32> {
    fn from(calibration: Calibration) -> Self {
        calibration.scores
    }
}

#[cfg(test)]
mod tests {
    use zor_core::Random;

    use super::*;

    #[test]
    fn a_p_value_is_the_rank_among_held_out_scores() {
        let calibration = Calibration::new(vec![3.0, 1.0, 2.0, 4.0]).unwrap();
        let found = [0.0, 1.0, 1.5, 4.0, 5.0].map(|score| calibration.p_value(score));
        assert_eq!(found, [1.0, 1.0, 0.8, 0.4, 0.2]);
        assert_eq!(calibration.least_rate(), 0.2);
    }

    #[test]
    fn an_alarm_has_a_p_value_of_at_most_the_rate() {
        let scores: Vec<f32> = (0..19).map(|score| score as f32).collect();
        let calibration = Calibration::new(scores).unwrap();
        for rate in [0.05, 0.1, 0.2, 0.99] {
            let threshold = calibration.threshold(rate).unwrap();
            for score in (0..40).map(|half| half as f32 / 2.0) {
                let is_alarm = score > threshold;
                assert_eq!(is_alarm, calibration.p_value(score) <= rate + 1e-6, "{rate} {score}");
            }
        }
        let message = calibration.threshold(0.04).unwrap_err().to_string();
        assert!(message.contains("from 19 held-out rows; the smallest is 0.05"), "{message}");
        for rate in [0.0, 1.0, f32::NAN] {
            assert!(calibration.threshold(rate).is_err(), "{rate}");
        }
    }

    #[test]
    fn fresh_rows_raise_at_most_the_promised_share_of_alarms() {
        let mut random = Random::seeded(1);
        let (draws, fresh) = (400, 50);
        for (n, rate) in [(20, 0.05), (64, 0.1), (5000, 0.2)] {
            let mut alarms = 0;
            for _ in 0..draws {
                let scores = (0..n).map(|_| random.normal()).collect();
                let threshold = Calibration::new(scores).unwrap().threshold(rate).unwrap();
                alarms += (0..fresh).filter(|_| random.normal() > threshold).count();
            }
            let found = alarms as f64 / f64::from(draws * fresh);
            let error = (f64::from(rate) / f64::from(draws)).sqrt();
            assert!(found < f64::from(rate) + 2.0 * error && found > 0.0, "{n}: {found}");
        }
    }
}
