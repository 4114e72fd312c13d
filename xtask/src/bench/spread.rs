//! What several measurements of one thing say: the middle, and how far they lie apart.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The mean; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median, least and largest; NaN of nothing.
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

    /// Of the quotients of measurements that were made side by side.
    pub(crate) fn of_ratios(of: &[f64], by: &[f64]) -> Self {
        Self::of(&of.iter().zip(by).map(|(a, b)| a / b).collect::<Vec<_>>())
    }

    /// As it was kept; NaN where nothing was.
    pub(crate) fn read(kept: &Value) -> Self {
        Self::deserialize(kept).unwrap_or_else(|_| Self::of(&[]))
    }

    /// The same in another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        let Self { median, lowest, highest } = self;
        Self { median: factor * median, lowest: factor * lowest, highest: factor * highest }
    }

    pub(crate) fn json(self) -> Value {
        serde_json::json!(self)
    }

    /// For tables: the middle with its range.
    pub(crate) fn with_unit(self, unit: &str) -> String {
        let digits = if self.median.abs() < 0.1 { 4 } else { 2 };
        let Self { median, lowest, highest } = self;
        format!("{median:.digits$}{unit} [{lowest:.digits$}, {highest:.digits$}]")
    }
}
