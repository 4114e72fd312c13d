//! Options of detectors of anomalies.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Maximum number of passes over the network per row.
const MAX_PASSES: usize = 1024;

/// How rows are corrupted in training, and restored to be scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionSettings {
    /// Mean share of the cells that are hidden, above 0 and at most 0.5. In training, the share of
    /// a row is uniform between 0 and twice this.
    pub mask: f32,
    /// Standard deviation of the noise that is added to standardised numbers in training.
    pub noise: f32,
    /// Number of passes over the network per row, each with other hidden cells.
    pub passes: usize,
}

impl Default for DetectionSettings {
    fn default() -> Self {
        Self { mask: 0.3, noise: 0.1, passes: 16 }
    }
}

impl DetectionSettings {
    /// Number of passes that hide each cell once.
    pub(crate) fn groups(&self) -> usize {
        (1.0 / self.mask).round().max(1.0) as usize
    }

    /// Checks the values.
    ///
    /// # Errors
    /// When a value is out of range. The message names the key.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::input(format!("detection.{message}")));
        if !(self.mask > 0.0 && self.mask <= 0.5) {
            return wrong(format!("mask is {}; it must be above 0 and at most 0.5", self.mask));
        }
        if !(self.noise >= 0.0 && self.noise <= 10.0) {
            return wrong(format!("noise is {}; it must be from 0 to 10", self.noise));
        }
        match self.passes {
            1..=MAX_PASSES => Ok(()),
            passes => wrong(format!("passes is {passes}; it must be from 1 to {MAX_PASSES}")),
        }
    }
}
