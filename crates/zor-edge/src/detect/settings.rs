//! Settings of a detector that learns on the device.

use crate::learn::{MAX_ROWS, Optimizer};
use crate::scoring::mask_words;

/// Maximum number of cells, hidden units, passes, and of 16 rows.
const MAX_SIZE: usize = 4096;

/// Settings of a detector that learns on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorSettings {
    /// Number of values of a row, from 1 to 4,096.
    pub cells: usize,
    /// Number of units of each hidden layer, from 1 to 4,096.
    pub hidden: usize,
    /// Number of rows that are learned from, and of later rows that the threshold is measured on,
    /// from 1 to 65,536.
    pub rows: usize,
    /// Number of samples of a training step, from 1 to 64.
    pub batch: usize,
    /// Number of training steps.
    pub steps: u32,
    /// How a correlation changes a weight. Its rate falls to zero in the last step.
    pub optimizer: Optimizer,
    /// Number of passes over the network per row that is scored, from 1 to 4,096.
    pub passes: usize,
    /// Largest share of normal rows that may raise an alarm, from `1 / (rows + 1)`, which so many
    /// rows can promise, and below 1.
    pub false_alarm_rate: f32,
    /// Seed of the weights, the batches and the hidden cells.
    pub seed: u64,
}

impl DetectorSettings {
    /// Settings for rows of this many values: 64 hidden units, 64 rows, 500 steps of 16 samples.
    pub const fn new(cells: usize) -> Self {
        Self {
            cells,
            hidden: 64,
            rows: 64,
            batch: 16,
            steps: 500,
            optimizer: Optimizer::Sgd { rate: 0.002, momentum: 0.9 },
            passes: 16,
            false_alarm_rate: 0.05,
            seed: 0,
        }
    }

    /// Inputs and outputs of the three layers.
    pub(super) const fn layers(&self) -> [[usize; 2]; 3] {
        let (cells, hidden) = (self.cells, self.hidden);
        [[2 * cells, hidden], [hidden, hidden], [hidden, cells]]
    }

    /// Number of weights and biases.
    pub(super) const fn weights(&self) -> usize {
        let [[a, b], [c, d], [e, f]] = self.layers();
        (a + 1) * b + (c + 1) * d + (e + 1) * f
    }

    pub(super) const fn widest(&self) -> usize {
        if self.hidden > self.cells { self.hidden } else { self.cells }
    }

    pub(super) const fn sorted(&self) -> usize {
        if self.rows > self.cells { self.rows } else { self.cells }
    }

    pub(super) fn is_valid(&self) -> bool {
        let sizes = [self.cells, self.hidden, self.passes, self.rows.div_ceil(16)];
        // No product of sizes overflows.
        let is_small = |size: &usize| (1..=MAX_SIZE).contains(size);
        // The smallest rate that so few rows can promise.
        let least = 1.0 / (self.rows as f32 + 1.0);
        sizes.iter().all(is_small)
            && (1..=MAX_ROWS).contains(&self.batch)
            && self.steps > 0
            && self.optimizer.is_valid()
            && self.false_alarm_rate >= least
            && self.false_alarm_rate < 1.0
    }
}

/// Number of `f32` values of memory that a detector of these settings learns and scores in.
pub const fn memory_len(settings: &DetectorSettings) -> usize {
    let DetectorSettings { cells, hidden, rows, batch, passes, .. } = *settings;
    let weights = (1 + settings.optimizer.kept()) * settings.weights();
    let samples = batch * (3 * cells + 4 * hidden + 1);
    let scoring = 8 * cells + passes * mask_words(cells) + 2 * hidden;
    rows * cells + weights + samples + scoring + settings.sorted() + settings.widest()
}
