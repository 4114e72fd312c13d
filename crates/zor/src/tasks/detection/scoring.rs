//! All that turns the restored rows of a network into scores and alarms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::masks::Masks;
use super::scheme::Scheme;
use crate::error::{Error, Result};
use crate::task::Model;

/// Metadata key of a [`Scoring`], a JSON object.
pub(crate) const DETECTION: &str = "detection";

/// All that a detector has in addition to its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// The rows that are read.
    pub scheme: Scheme,
    /// Cells that are hidden in each pass.
    pub masks: Masks,
    /// Mean squared error of each cell of held-out normal rows.
    pub scales: Vec<f32>,
    /// Scores of held-out normal rows.
    pub calibration: Calibration,
}

impl Scoring {
    /// Reads the scoring of a model from its metadata.
    ///
    /// # Errors
    /// When the model has none, or it is damaged or does not fit the network.
    pub fn of(model: &Model) -> Result<Self> {
        let text = model.notes.get(DETECTION).ok_or_else(|| {
            let message = "it has no calibrated scores; give the model of a finished training";
            Error::in_file(&model.path, message)
        })?;
        let damaged = |reason: &str| {
            Error::in_file(&model.path, format!("its detector is damaged: {reason}"))
        };
        let scoring: Self =
            serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
        let cells = scoring.scheme.cells();
        let width = scoring.scheme.width();
        let sizes = |shape: &[usize]| shape.iter().product::<usize>();
        let fits = scoring.scales.len() == cells.len()
            && scoring.masks.passes() > 0
            && scoring.masks.hidden.iter().flatten().all(|&cell| cell < cells.len())
            && scoring.scales.iter().all(|scale| scale.is_finite() && *scale > 0.0)
            && sizes(model.network.input_shape()) == 2 * width
            && sizes(model.network.output_shape()) == width;
        match fits {
            true => Ok(scoring),
            false => Err(damaged("its parts do not fit together")),
        }
    }

    /// Returns the metadata entry of the scoring.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn note(&self) -> Result<BTreeMap<String, String>> {
        let text = serde_json::to_string(self).map_err(|error| Error::input(error.to_string()))?;
        Ok(BTreeMap::from([(DETECTION.to_owned(), text)]))
    }
}
