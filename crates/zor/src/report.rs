//! The report of a training: rows of a table, a JSON object and pictures.

use serde_json::{Map, Value};
use zor_data::ImageShape;

use crate::error::Error;
use crate::task::confusion::Confusion;
use crate::task::score::Figure;

/// A listener to trainings of a report: it shows their progress, and can stop them.
pub trait Watch {
    /// A training with a number of steps starts.
    fn start(&mut self, name: &'static str, steps: u64, about: &str);
    /// A step was done. `figure` makes the text to show.
    fn step(&mut self, step: u64, figure: &mut dyn FnMut() -> String);
    /// The training ended.
    fn finish(&mut self, step: u64, figure: &str);
    /// Whether the user asked for an end.
    fn is_stopped(&self) -> bool;
}

/// A listener that shows nothing and stops nothing.
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

/// A row of a report's table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The name.
    pub name: String,
    /// The key among `baselines` in JSON.
    pub key: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// The step of the figures, where it is not the last.
    pub best_step: Option<u64>,
    /// The learning curve: steps, and the first figure as it is shown.
    pub curve: Vec<(f64, f64)>,
}

/// A picture of a report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Picture {
    /// Rows of images, drawn as PNG.
    Grid {
        /// The file's name.
        file: &'static str,
        /// Pixels in [0, 1] of the images of each row.
        rows: Vec<Vec<f32>>,
        /// The shape of an image.
        shape: ImageShape,
    },
    /// A confusion matrix, drawn as SVG.
    Confusion {
        /// The file's name.
        file: &'static str,
        /// Number of examples by true and predicted class.
        confusion: Confusion,
        /// The names of the classes.
        names: Vec<String>,
    },
    /// A finished file.
    File {
        /// The file's name.
        file: String,
        /// The contents.
        bytes: Vec<u8>,
    },
}

/// The report of a training.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows of the table: the network first, then those that it is compared with.
    pub rows: Vec<Row>,
    /// Lines below the table.
    pub lines: Vec<String>,
    /// Keys of the JSON object beside the usual ones.
    pub json: Map<String, Value>,
    /// Pictures for the run's folder.
    pub pictures: Vec<Picture>,
    /// The label of the learning curve's axis, such as "PSNR of unseen images, dB".
    pub axis: String,
    /// Parts that failed. The others are shown, and the first failure ends the command.
    pub failures: Vec<Error>,
}

impl Report {
    /// The value of a part; none if it failed, and the failure is kept.
    pub fn keep<T>(&mut self, part: Result<T, Error>) -> Option<T> {
        part.map_err(|error| self.failures.push(error)).ok()
    }
}
