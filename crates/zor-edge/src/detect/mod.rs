//! Detection of anomalies on the device: scores and alarms of rows that a network restores.
//!
//! A row is restored several times, each time with other cells hidden. With the squared error `e`
//! of each cell, averaged over the times, and its expected value `s` in normal rows, the score is
//! the mean of `sqrt(e / s)` over the known cells.

#![forbid(unsafe_code)]

mod columns;
mod layout;
mod learn;
mod passes;
mod restorer;
mod settings;

use core::fmt;

pub use learn::{DetectorLearner, Stage};
pub use settings::{DetectorSettings, memory_len};

use crate::network::{Network, RunError};
use crate::program::ProgramError;
use crate::scoring::Scoring;

/// The reason why a row has no score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetectError {
    /// The row has the wrong number of values.
    Row,
    /// The number of parts differs from that of the cells.
    Parts,
    /// The scratch memory is shorter than [`Detector::scratch_len`].
    Scratch,
    /// The value of a categorical column is not the index of one of its categories.
    Category {
        /// Index of the column.
        column: usize,
    },
    /// The detector is still learning.
    Learning,
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Row => "the row has the wrong number of values; see row_len()",
            Self::Parts => "there must be one part for each value of the row; see row_len()",
            Self::Scratch => "the scratch memory is too short; see scratch_len()",
            Self::Category { column } => {
                return write!(
                    f,
                    "column {column} has categories; its value must be the index of one, or NaN"
                );
            }
            Self::Learning => "the detector is still learning; give it more rows, see stage()",
        })
    }
}

impl core::error::Error for DetectError {}

impl From<RunError> for DetectError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Scratch => Self::Scratch,
            RunError::Input | RunError::Output => Self::Row,
        }
    }
}

/// A detector of anomalies that runs from its program in place.
///
/// ```
/// use zor_edge::{DType, Detector, LayerSource, LayerSpec, Scoring, write_detector};
///
/// // Two columns; a network that restores each of them from the other: 2 values and 2 flags in.
/// # let shape = LayerSpec::dense(4, 2);
/// # let weights: Vec<u8> =
/// #     [0f32, 1., 1., 0., 0., 0., 0., 0.].iter().flat_map(|w| w.to_le_bytes()).collect();
/// # let layers = [LayerSource { shape, weights: &weights, scales: &[], biases: &[] }];
/// let scoring = Scoring {
///     window: 1,
///     centers: &[20.0, 40.0],
///     scales: &[1.0, 2.0],
///     categories: &[0, 0],
///     errors: &[1.0, 1.0],
///     masks: &[0b01, 0b10], // each pass hides one of the cells
///     threshold: 2.0,
/// };
/// # let mut bytes = Vec::new();
/// write_detector(DType::F32, [1, 1, 4], &layers, &scoring, |piece| bytes.extend(piece))?;
/// # let word = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
/// # let words: Vec<f32> = bytes.chunks(4).map(word).collect();
/// # let program: &[u8] = bytemuck::cast_slice(&words);
/// let detector = Detector::from_bytes(program)?; // include_program!("model.zore"), on a device
/// let mut scratch = vec![0.0; detector.scratch_len()];
/// let score = detector.score(&[21.0, 42.0], &mut scratch)?;
/// assert!(!detector.is_alarm(score));
/// assert!(detector.is_alarm(detector.score(&[21.0, 30.0], &mut scratch)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Detector<'a> {
    network: Network<'a>,
    scoring: Scoring<'a>,
}

impl<'a> Detector<'a> {
    /// Checks a program in constant memory. The detector of a valid program can score every row.
    ///
    /// # Errors
    /// Names the fault of the program, or says that it has no detector.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ProgramError> {
        let network = Network::from_bytes(bytes)?;
        let values = |shape: [usize; 3]| shape.iter().product::<usize>();
        let (inputs, outputs) = (values(network.input_shape()), values(network.output_shape()));
        let scoring = Scoring::parse(bytes, inputs, outputs).map_err(ProgramError::Detector)?;
        Ok(Self { network, scoring: scoring.ok_or(ProgramError::NoDetector)? })
    }

    /// The network that restores rows.
    pub fn network(&self) -> &Network<'a> {
        &self.network
    }

    /// What turns restored rows into scores.
    pub fn scoring(&self) -> &Scoring<'a> {
        &self.scoring
    }

    /// Number of values of a row: one for each column, and in a window for each of its rows.
    pub fn row_len(&self) -> usize {
        self.scoring.cells()
    }

    /// Number of `f32` values of scratch memory that a score needs.
    pub fn scratch_len(&self) -> usize {
        let width = self.scoring.width();
        self.scoring.cells() + 3 * width + self.network.scratch_len()
    }

    /// Score of a row, as it comes from the sensor: numbers in their own unit, indices of
    /// categories, NaN for missing values; in a window the oldest row first. That of a normal row
    /// is about 1. A row without known values has the score 0.
    ///
    /// # Errors
    /// If a slice does not fit, or a category is unknown.
    pub fn score(&self, row: &[f32], scratch: &mut [f32]) -> Result<f32, DetectError> {
        let parts = scratch.split_at_mut_checked(self.row_len());
        let (parts, scratch) = parts.ok_or(DetectError::Scratch)?;
        self.score_parts(row, parts, scratch)
    }

    /// Score of a row, with the part of each of its values in it; NaN for missing values. The
    /// score is the mean of the parts.
    ///
    /// # Errors
    /// Those of [`Detector::score`].
    pub fn score_parts(
        &self,
        row: &[f32],
        parts: &mut [f32],
        scratch: &mut [f32],
    ) -> Result<f32, DetectError> {
        let width = self.scoring.width();
        let (buffers, scratch) =
            scratch.split_at_mut_checked(3 * width).ok_or(DetectError::Scratch)?;
        self.scoring.score(row, parts, buffers, |input, output| {
            self.network.run(input, output, scratch).map_err(DetectError::from)
        })
    }

    /// True if a score is above the threshold that was chosen for a false-alarm rate.
    pub fn is_alarm(&self, score: f32) -> bool {
        score > self.scoring.threshold
    }
}
