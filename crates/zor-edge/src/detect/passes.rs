//! The passes over the network that score a row.

use super::DetectError;
use crate::scoring::{Scoring, mask_words};

/// Maximum absolute value of a standardised number, as on the host.
pub(super) const CLIP: f32 = 10.0;

impl Scoring<'_> {
    /// Scores a row. `parts` has room for each cell, `buffers` for the input and the output of the
    /// network, which `run` computes.
    pub(crate) fn score(
        &self,
        row: &[f32],
        parts: &mut [f32],
        buffers: &mut [f32],
        run: impl FnMut(&[f32], &mut [f32]) -> Result<(), DetectError>,
    ) -> Result<f32, DetectError> {
        self.restore(row, parts, buffers, run)?;
        let (mut sum, mut count) = (0.0, 0.0f32);
        for (part, error) in parts.iter_mut().zip(self.errors) {
            *part = libm::sqrtf(*part / error);
            if !part.is_nan() {
                sum += *part;
                count += 1.0;
            }
        }
        Ok(sum / count.max(1.0))
    }

    /// Writes the mean squared error of each cell of a row; NaN for missing cells.
    pub(crate) fn restore(
        &self,
        row: &[f32],
        errors: &mut [f32],
        buffers: &mut [f32],
        mut run: impl FnMut(&[f32], &mut [f32]) -> Result<(), DetectError>,
    ) -> Result<(), DetectError> {
        let width = self.width();
        if row.len() != self.cells() {
            return Err(DetectError::Row);
        }
        if errors.len() != self.cells() {
            return Err(DetectError::Parts);
        }
        let buffers = buffers.split_at_mut_checked(2 * width);
        let (input, output) = buffers.ok_or(DetectError::Scratch)?;
        let output = output.get_mut(..width).ok_or(DetectError::Scratch)?;
        let unknown = self.encoded(row).position(|cell| cell.is_unknown());
        if let Some(at) = unknown {
            return Err(DetectError::Category { column: at % self.centers.len().max(1) });
        }
        errors.fill(0.0);
        let words = mask_words(self.cells());
        let share = 1.0 / self.passes().max(1) as f32;
        let mut masks = self.masks;
        while let Some((mask, after)) = masks.split_at_checked(words) {
            masks = after;
            let (shown, flags) = input.split_at_mut_checked(width).unwrap_or_default();
            let mut place = 0;
            for (index, cell) in self.encoded(row).enumerate() {
                let is_hidden = is_set(mask, index) || cell.value.is_nan();
                let flag = if is_hidden { 0.0 } else { 1.0 };
                for at in 0..cell.width {
                    if let (Some(shown), Some(flag_of)) =
                        (shown.get_mut(place + at), flags.get_mut(place + at))
                    {
                        *shown = if is_hidden { 0.0 } else { cell.at(at) };
                        *flag_of = flag;
                    }
                }
                place += cell.width;
            }
            run(input, output)?;
            let mut place = 0;
            for (error, cell) in errors.iter_mut().zip(self.encoded(row)) {
                for at in 0..cell.width {
                    let restored = output.get(place + at).copied().unwrap_or(0.0);
                    let difference = restored - cell.at(at);
                    *error += difference * difference * share;
                }
                place += cell.width;
            }
        }
        Ok(())
    }

    /// The cells of a row, as the network takes them.
    fn encoded<'r>(&'r self, row: &'r [f32]) -> impl Iterator<Item = Cell> + 'r {
        let columns = self.centers.iter().zip(self.scales).zip(self.categories);
        let mut of_row = columns.clone();
        row.iter().map_while(move |value| {
            let ((center, scale), categories) = match of_row.next() {
                Some(column) => column,
                None => {
                    of_row = columns.clone();
                    of_row.next()?
                }
            };
            Some(match *categories {
                0 => {
                    let value = ((value - center) / scale).clamp(-CLIP, CLIP);
                    Cell { value, width: 1, is_number: true }
                }
                n => Cell { value: *value, width: n as usize, is_number: false },
            })
        })
    }
}

/// A cell as the network takes it.
struct Cell {
    /// Standardised number, or index of the category; NaN if it is missing.
    value: f32,
    /// Number of values.
    width: usize,
    is_number: bool,
}

impl Cell {
    /// True if the value is not the index of a category.
    fn is_unknown(&self) -> bool {
        let is_index = self.value >= 0.0
            && self.value < self.width as f32
            && self.value == (self.value as u32) as f32;
        !(self.is_number || self.value.is_nan() || is_index)
    }

    /// The value at an index among those of the cell.
    fn at(&self, index: usize) -> f32 {
        match (self.is_number, self.value.is_nan()) {
            (true, _) | (_, true) => self.value,
            _ => f32::from(u8::from(index == self.value as usize)),
        }
    }
}

/// True if the bit of a cell is set.
fn is_set(mask: &[u32], cell: usize) -> bool {
    mask.get(cell / 32).is_some_and(|word| word >> (cell % 32) & 1 == 1)
}
