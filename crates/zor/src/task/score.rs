//! Metrics of an evaluation.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zor_core::ErrorMetrics;

use super::confusion::Confusion;

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Metrics of the task, the most important first.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// Errors of the outputs; for classifiers, of the class probabilities.
    pub deviation: ErrorMetrics,
    /// Confusion matrix; `None` if there are no classes.
    pub confusion: Option<Confusion>,
    /// Number of evaluated examples.
    pub samples: usize,
}

/// A named metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Key in JSON, such as `psnr_db`.
    pub name: String,
    /// Label in tables, such as `PSNR`.
    pub label: String,
    /// Value; percentages are stored as fractions in [0, 1].
    #[serde(with = "any_number")]
    pub value: f64,
    /// Unit for display.
    pub unit: Unit,
    /// Whether larger values are better.
    pub larger_is_better: bool,
}

/// Unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// Percent; the value is a fraction.
    Percent,
    /// Hundredths without a symbol, as BLEU is written; the value is a fraction.
    Hundredths,
    /// Decibels.
    Decibel,
    /// Dimensionless.
    Number,
}

impl Figure {
    /// A metric whose larger values are better.
    pub fn new(name: &str, label: &str, value: f64, unit: Unit) -> Self {
        let (name, label) = (name.to_owned(), label.to_owned());
        Self { name, label, value, unit, larger_is_better: true }
    }

    /// Marks smaller values as better.
    #[must_use]
    pub fn smaller_is_better(self) -> Self {
        Self { larger_is_better: false, ..self }
    }

    /// Top-1 accuracy: the fraction of examples whose class was predicted.
    pub fn top1(confusion: &Confusion, samples: usize) -> Self {
        let share = confusion.correct() as f64 / samples as f64;
        Self::new("top1", "top-1", share, Unit::Percent)
    }

    /// Peak signal-to-noise ratio for values in [0, 1].
    pub fn psnr(deviation: &ErrorMetrics) -> Self {
        Self::new("psnr_db", "PSNR", deviation.psnr_db(), Unit::Decibel)
    }

    /// Mean absolute error.
    pub fn mae(deviation: &ErrorMetrics) -> Self {
        Self::new("mae", "MAE", deviation.mae(), Unit::Number).smaller_is_better()
    }

    /// Returns the value in its unit, for axes and columns.
    pub fn shown_value(&self) -> f64 {
        match self.unit {
            Unit::Percent | Unit::Hundredths => 100.0 * self.value,
            Unit::Decibel | Unit::Number => self.value,
        }
    }

    /// Returns the unit symbol; empty for dimensionless values.
    pub fn symbol(&self) -> &'static str {
        match self.unit {
            Unit::Percent => "%",
            Unit::Decibel => "dB",
            Unit::Hundredths | Unit::Number => "",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.unit {
            Unit::Percent | Unit::Decibel => format!("{:.2} {}", self.shown_value(), self.symbol()),
            Unit::Hundredths => format!("{:.2}", self.shown_value()),
            Unit::Number => format!("{:.4}", self.value),
        };
        f.pad(&text)
    }
}

impl Score {
    /// Score of reconstructed values in [0, 1].
    pub fn of_images(deviation: ErrorMetrics, samples: usize) -> Self {
        let figures = vec![Figure::psnr(&deviation), Figure::mae(&deviation)];
        Self { figures, deviation, confusion: None, samples }
    }

    /// Returns the most important metric.
    pub fn headline(&self) -> Option<&Figure> {
        self.figures.first()
    }

    /// Returns the value of a metric by name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Returns the metrics by name; infinite and NaN values become null.
    pub fn to_json(&self) -> Map<String, Value> {
        to_json(&self.figures)
    }

    /// Adds the metrics to a score saved by an earlier version without them.
    #[must_use]
    pub(crate) fn completed(mut self) -> Self {
        if self.figures.is_empty() && self.samples > 0 {
            self.figures = match &self.confusion {
                Some(confusion) => vec![Figure::top1(confusion, self.samples)],
                None => vec![Figure::psnr(&self.deviation), Figure::mae(&self.deviation)],
            };
        }
        self
    }
}

/// Returns metrics by name; infinite and NaN values become null.
pub(crate) fn to_json(figures: &[Figure]) -> Map<String, Value> {
    figures.iter().map(|figure| (figure.name.clone(), figure.value.into())).collect()
}

/// Serialization of floating-point numbers as JSON numbers, or as strings if they are infinite or
/// NaN.
mod any_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(f64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        let either = match value.is_finite() {
            true => Either::Number(*value),
            false => Either::Text(value.to_string()),
        };
        either.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        match Either::deserialize(from)? {
            Either::Number(value) => Ok(value),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_figures_survive_a_checkpoint_and_are_null_in_results() {
        for value in [f64::INFINITY, 0.1 + 0.2, -0.0] {
            let figure = Figure::new("psnr_db", "PSNR", value, Unit::Decibel);
            let text = serde_json::to_string(&figure).unwrap();
            let read: Figure = serde_json::from_str(&text).unwrap();
            assert_eq!(read.value.to_bits(), value.to_bits());
        }
        let infinite = Figure::new("psnr_db", "PSNR", f64::INFINITY, Unit::Decibel);
        assert_eq!(to_json(&[infinite])["psnr_db"], Value::Null);
    }

    #[test]
    fn scores_of_an_earlier_version_get_their_figures() {
        let text = r#"{"deviation":{"sums":{"absolute":1.0,"squared":0.5},"elements":10},"confusion":null,"samples":2}"#;
        let score: Score = serde_json::from_str(text).unwrap();
        assert!((score.completed().figure("mae").unwrap() - 0.1).abs() < 1e-12);
    }
}
