//! Median and range of several measurements.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Mean of values; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median, minimum and maximum; NaN of no values.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = 0.5 * (at(last / 2) + at(sorted.len() / 2));
        Self { median, lowest: at(0), highest: at(last) }
    }

    /// Returns the spread of the quotients of paired measurements.
    pub(crate) fn of_ratios(of: &[f64], by: &[f64]) -> Self {
        Self::of(&of.iter().zip(by).map(|(a, b)| a / b).collect::<Vec<_>>())
    }

    /// Reads a spread from a results file; NaN where it is missing.
    pub(crate) fn read(kept: &Value) -> Self {
        Self::deserialize(kept).unwrap_or_else(|_| Self::of(&[]))
    }

    /// Returns the spread in another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        let Self { median, lowest, highest } = self;
        Self { median: factor * median, lowest: factor * lowest, highest: factor * highest }
    }

    /// The spread of the reciprocals.
    pub(crate) fn inverse(self) -> Self {
        let Self { median, lowest, highest } = self;
        Self { median: 1.0 / median, lowest: 1.0 / highest, highest: 1.0 / lowest }
    }

    pub(crate) fn json(self) -> Value {
        serde_json::json!(self)
    }

    /// Formats the median with its range.
    pub(crate) fn with_unit(self, unit: &str) -> String {
        let digits = if self.median.abs() < 0.1 { 4 } else { 2 };
        let Self { median, lowest, highest } = self;
        format!("{median:.digits$}{unit} [{lowest:.digits$}, {highest:.digits$}]")
    }
}
