//! Restoration of rows with hidden cells, and scores from its errors.
//!
//! A row is restored several times, each time with another share of its cells hidden. With the
//! squared error `e[c]` of cell `c`, averaged over the times, and its mean `s[c]` over held-out
//! normal rows, the score of a row is the mean of `sqrt(e[c] / s[c])` over its known cells. A
//! column that normal rows predict well counts as strange at a small error, one that they predict
//! badly only at a large error. The square root keeps a single column from ruling the score.

use std::ops::Range;

use zor_core::burn::tensor::Device;
use zor_core::ops;

use super::masks::Masks;
use crate::error::Result;
use crate::task::{Predict, matrix};

/// Added to the scale of each cell, so that a cell that is always restored does not rule the score.
const LEAST_SCALE: f32 = 1e-2;
/// Maximum number of rows of a matrix of inputs.
const MAX_BATCH: usize = 512;

/// Errors of restored rows.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    n_cells: usize,
    /// Mean squared error of each cell, `[rows, cells]`; NaN for missing cells.
    pub(crate) errors: Vec<f32>,
    /// Values that were predicted where they were hidden, `[rows, width]`.
    pub(crate) expected: Vec<f32>,
}

impl Restored {
    /// Restores rows, whose cells have these ranges.
    ///
    /// # Errors
    /// When a prediction fails.
    pub(crate) fn of(
        rows: &[&[f32]],
        cells: &[Range<usize>],
        masks: &Masks,
        device: &Device,
        predict: &mut Predict<'_>,
    ) -> Result<Self> {
        let (n_cells, width) = (cells.len(), cells.last().map_or(0, |cell| cell.end));
        let passes = masks.passes();
        let times_hidden = masks.times_hidden(n_cells);
        let mut errors = Vec::with_capacity(rows.len() * n_cells);
        let mut expected = Vec::with_capacity(rows.len() * width);
        let mut squares = vec![0.0f32; width];
        for batch in rows.chunks((MAX_BATCH / passes.max(1)).max(1)) {
            let input = matrix(&inputs_of(batch, cells, masks), batch.len() * passes, device)?;
            let outputs = ops::read(predict(input.into())?)?;
            for (row, outputs) in batch.iter().zip(outputs.chunks_exact(width * passes)) {
                let first = expected.len();
                expected.resize(first + width, 0.0f32);
                let expected = &mut expected[first..];
                squares.fill(0.0);
                for (output, hidden) in outputs.chunks_exact(width).zip(&masks.hidden) {
                    for ((square, output), value) in squares.iter_mut().zip(output).zip(*row) {
                        *square += (output - value) * (output - value);
                    }
                    for &cell in hidden {
                        for place in cells[cell].clone() {
                            expected[place] += output[place] / times_hidden[cell];
                        }
                    }
                }
                let error = |cell: &Range<usize>| squares[cell.clone()].iter().sum::<f32>();
                errors.extend(cells.iter().map(|cell| error(cell) / passes as f32));
            }
        }
        Ok(Self { n_cells, errors, expected })
    }

    /// Appends the errors of other rows.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.errors.append(&mut other.errors);
        self.expected.append(&mut other.expected);
    }

    /// Mean error of each cell over all rows, which are normal rows: the scale of its errors.
    pub(crate) fn scales(&self) -> Vec<f32> {
        self.scales_of(|_| true)
    }

    /// Mean error of each cell over the rows that `is_normal` selects.
    pub(crate) fn scales_of(&self, is_normal: impl Fn(usize) -> bool) -> Vec<f32> {
        let mut sums = vec![(0.0f64, 0usize); self.n_cells];
        let rows = self.errors.chunks_exact(self.n_cells.max(1)).enumerate();
        for (_, errors) in rows.filter(|(row, _)| is_normal(*row)) {
            for ((sum, count), error) in sums.iter_mut().zip(errors) {
                if !error.is_nan() {
                    *sum += f64::from(*error);
                    *count += 1;
                }
            }
        }
        let mean = |(sum, count): (f64, usize)| (sum / count.max(1) as f64) as f32 + LEAST_SCALE;
        sums.into_iter().map(mean).collect()
    }

    /// Score of each row, given the scale of each cell.
    pub(crate) fn scores(&self, scales: &[f32]) -> Vec<f32> {
        let score = |errors: &[f32]| {
            let (mut sum, mut count) = (0.0f32, 0usize);
            for part in parts(errors, scales).filter(|part| !part.is_nan()) {
                sum += part;
                count += 1;
            }
            sum / count.max(1) as f32
        };
        self.errors.chunks_exact(self.n_cells.max(1)).map(score).collect()
    }

    /// Parts of a row's score by cell; NaN for missing cells.
    pub(crate) fn parts_of(&self, row: usize, scales: &[f32]) -> Vec<f32> {
        parts(&self.errors[row * self.n_cells..][..self.n_cells], scales).collect()
    }
}

fn parts(errors: &[f32], scales: &[f32]) -> impl Iterator<Item = f32> {
    let part = |(error, scale): (&f32, &f32)| match error.is_nan() {
        true => f32::NAN,
        false => (error / scale).sqrt(),
    };
    errors.iter().zip(scales).map(part)
}

/// Returns the inputs of the network for rows: one for each pass over each row.
pub(crate) fn inputs_of(rows: &[&[f32]], cells: &[Range<usize>], masks: &Masks) -> Vec<f32> {
    let width = cells.last().map_or(0, |cell| cell.end);
    let mut inputs = Vec::with_capacity(rows.len() * masks.passes() * 2 * width);
    for row in rows {
        masks.hidden.iter().for_each(|hidden| push_input(&mut inputs, row, cells, hidden));
    }
    inputs
}

/// Appends the input for a row: its values, 0 where they are hidden or missing, and then for each
/// value 1 if it is shown and 0 if not. `hidden` are the hidden cells in increasing order.
fn push_input(inputs: &mut Vec<f32>, row: &[f32], cells: &[Range<usize>], hidden: &[usize]) {
    let start = inputs.len();
    inputs.extend_from_slice(row);
    inputs.resize(start + 2 * row.len(), 1.0);
    let (values, is_shown) = inputs[start..].split_at_mut(row.len());
    let is_missing = |cell: &Range<usize>| row[cell.start].is_nan();
    let missing = cells.iter().filter(|cell| is_missing(cell));
    for cell in hidden.iter().map(|&cell| &cells[cell]).chain(missing) {
        values[cell.clone()].fill(0.0);
        is_shown[cell.clone()].fill(0.0);
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    /// Restores rows by a network that returns what it is shown.
    fn restored(rows: &[&[f32]], cells: &[Range<usize>], masks: &Masks) -> Restored {
        let width = cells.last().map_or(0, |cell| cell.end);
        let device = Device::flex();
        let mut predict = |input: zor_core::Input| Ok(input.into_values()?.narrow(1, 0, width));
        Restored::of(rows, cells, masks, &device, &mut predict).unwrap()
    }

    #[test]
    fn a_cell_that_is_hidden_half_of_the_time_has_half_of_its_square_as_error() {
        let cells = [0..1, 1..3];
        let masks = Masks::new(2, 2, 2);
        let row = [3.0, 0.0, 1.0];
        let found = restored(&[&row, &[f32::NAN, 2.0, 0.0]], &cells, &masks);
        assert_eq!(found.errors[..2], [4.5, 0.5]);
        assert!(found.errors[2].is_nan() && found.errors[3] == 2.0);
        // Hidden values are restored as 0 by this network.
        assert_eq!(found.expected[..3], [0.0; 3]);
        let scales = found.scales();
        assert_eq!(scales, [4.5 + LEAST_SCALE, 1.25 + LEAST_SCALE]);
        let scores = found.scores(&[4.5, 2.0]);
        assert_eq!(scores, [0.5 * (1.0 + 0.5), 1.0]);
        assert_eq!(found.parts_of(0, &[4.5, 2.0]), [1.0, 0.5]);
        assert!(found.parts_of(1, &[4.5, 2.0])[0].is_nan());
    }

    #[test]
    fn the_number_of_rows_per_matrix_does_not_matter() {
        let masks = Masks::new(3, 16, 3);
        let cells = [0..1, 1..2, 2..3];
        let rows: Vec<[f32; 3]> = (0..100).map(|row| [row as f32, 1.0, -0.5]).collect();
        let all: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let together = restored(&all, &cells, &masks);
        for (index, row) in all.iter().enumerate() {
            let alone = restored(&[row], &cells, &masks);
            assert_eq!(alone.errors, together.errors[3 * index..][..3]);
        }
        let scores = restored(&[&[f32::NAN; 3]], &cells, &masks).scores(&[1.0; 3]);
        assert_eq!(scores, [0.0]);
    }
}
