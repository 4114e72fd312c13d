//! The report of a training run: a table, a JSON object and pictures.

use serde_json::{Map, Value};
use zor_data::ImageShape;

use crate::error::Error;
use crate::task::confusion::Confusion;
use crate::task::score::Figure;

/// Observer of the baselines trained for a report. It shows their progress and can stop them.
pub trait Watch {
    /// Called when a training of `steps` steps starts.
    fn start(&mut self, name: &'static str, steps: u64, about: &str);
    /// Called after each step. `figure` formats the metric to show.
    fn step(&mut self, step: u64, figure: &mut dyn FnMut() -> String);
    /// Called when a training ends.
    fn finish(&mut self, step: u64, figure: &str);
    /// Whether the user asked to stop.
    fn is_stopped(&self) -> bool;
}

/// An observer that shows nothing and never stops a training.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn start(&mut self, _: &'static str, _: u64, _: &str) {}
    fn step(&mut self, _: u64, _: &mut dyn FnMut() -> String) {}
    fn finish(&mut self, _: u64, _: &str) {}
    fn is_stopped(&self) -> bool {
        false
    }
}

/// A row of the report's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Name in the table.
    pub name: String,
    /// Key under `baselines` in JSON.
    pub key: String,
    /// Metrics.
    pub figures: Vec<Figure>,
    /// Training time in seconds.
    pub seconds: Option<f64>,
    /// Step at which the metrics were measured, if not the last.
    pub best_step: Option<u64>,
    /// Learning curve: pairs of step and first metric, in its display unit.
    pub curve: Vec<(f64, f64)>,
}

/// A picture in the run folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Picture {
    /// Rows of images, written as PNG.
    Grid {
        /// File name.
        file: &'static str,
        /// Pixels in [0, 1] of the images in each row.
        rows: Vec<Vec<f32>>,
        /// Shape of one image.
        shape: ImageShape,
    },
    /// A confusion matrix, drawn as SVG.
    Confusion {
        /// File name.
        file: &'static str,
        /// Numbers of examples by true and predicted class.
        confusion: Confusion,
        /// Class names.
        names: Vec<String>,
    },
    /// A file with the given contents.
    File {
        /// File name.
        file: String,
        /// File contents.
        bytes: Vec<u8>,
    },
}

/// Report of a training run.
#[derive(Debug, Default)]
pub struct Report {
    /// Table rows: the network first, then the baselines.
    pub rows: Vec<Row>,
    /// Lines below the table.
    pub lines: Vec<String>,
    /// Additional keys of the JSON object.
    pub json: Map<String, Value>,
    /// Pictures for the run folder.
    pub pictures: Vec<Picture>,
    /// Label of the learning curve's vertical axis, such as "PSNR of held-out images, dB".
    pub axis: String,
    /// Errors of parts that failed. The other parts are still shown; the command ends with the
    /// first error.
    pub failures: Vec<Error>,
}

impl Picture {
    /// The name of the file.
    pub fn file(&self) -> &str {
        match self {
            Self::Grid { file, .. } | Self::Confusion { file, .. } => file,
            Self::File { file, .. } => file,
        }
    }
}

impl Report {
    /// Returns the value of a result. If it is an error, adds it to `failures` and returns `None`.
    pub fn keep<T>(&mut self, part: Result<T, Error>) -> Option<T> {
        part.map_err(|error| self.failures.push(error)).ok()
    }
}
