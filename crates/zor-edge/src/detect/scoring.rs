//! The scoring of a detector, and its section of a program.
//!
//! The section is at the offset in bytes 24..28 of the program. All its numbers take four bytes.
//!
//! | numbers | what |
//! |---|---|
//! | 4 | columns of a row; rows of a window; passes over the network; threshold (f32) |
//! | columns | center of each column (f32) |
//! | columns | scale of each column (f32) |
//! | columns | number of categories of each column, 0 for numbers |
//! | cells | expected squared error of each cell (f32) |
//! | passes x words | bits of the hidden cells, in as many words as the cells need |
//!
//! The cells are the columns of the oldest row of the window, and so on to the newest row.

use super::DetectError;
use crate::program::{HEADER, MAX_VALUES, u32_at};

/// Offset of the offset of the section.
const PLACE: usize = 24;
/// Number of bytes before the slices.
const HEAD: usize = 16;
/// Maximum absolute value of a standardised number, as on the host.
pub(super) const CLIP: f32 = 10.0;

/// All that a detector has in addition to its network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scoring<'a> {
    /// Number of rows of a window; 1 if rows are scored one by one.
    pub window: usize,
    /// Number of each column that becomes 0.
    pub centers: &'a [f32],
    /// Distance from the center that becomes 1, of each column.
    pub scales: &'a [f32],
    /// Number of categories of each column; 0 for numbers.
    pub categories: &'a [u32],
    /// Expected squared error of each cell of a normal row.
    pub errors: &'a [f32],
    /// Bits of the cells that each pass hides, from the lowest bit up. Every pass begins with a
    /// word of its own.
    pub masks: &'a [u32],
    /// Score above which a row raises an alarm.
    pub threshold: f32,
}

impl<'a> Scoring<'a> {
    /// Number of cells: the values of a row, and in a window of all its rows.
    pub fn cells(&self) -> usize {
        self.errors.len()
    }

    /// Number of values that the network restores: one for each number, and one for each category.
    pub fn width(&self) -> usize {
        let of_row = self.categories.iter().map(|n| (*n).max(1) as usize);
        of_row.fold(0, usize::saturating_add).saturating_mul(self.window)
    }

    /// Number of passes over the network per row.
    pub fn passes(&self) -> usize {
        self.masks.len() / mask_words(self.cells())
    }

    /// Reads the section of a program whose network has this many inputs and outputs; `None` if it
    /// has none.
    pub(crate) fn parse(
        program: &'a [u8],
        inputs: usize,
        outputs: usize,
    ) -> Result<Option<Self>, &'static str> {
        let at = u32_at(program, PLACE) as usize;
        if at == 0 {
            return Ok(None);
        }
        let (odd, short) = ("the offset of its section is invalid", "its section is truncated");
        if !at.is_multiple_of(4) || at < HEADER {
            return Err(odd);
        }
        let section = program.get(at..).ok_or(short)?;
        let number = |index: usize| u32_at(section, 4 * index) as usize;
        let (columns, window, passes) = (number(0), number(1), number(2));
        let cells = columns.checked_mul(window).filter(|cells| *cells <= MAX_VALUES);
        let cells = cells.ok_or("it has too many cells")?;
        let mut rest = section.get(HEAD..).ok_or(short)?;
        let mut part = |n: usize| {
            let bytes = n.checked_mul(4).and_then(|n| rest.split_at_checked(n));
            let (part, after) = bytes.ok_or(short)?;
            rest = after;
            Ok(part)
        };
        let floats = |bytes| bytemuck::try_cast_slice::<u8, f32>(bytes);
        let words = |bytes| bytemuck::try_cast_slice::<u8, u32>(bytes);
        let odd = |_| odd;
        let scoring = Self {
            window,
            centers: floats(part(columns)?).map_err(odd)?,
            scales: floats(part(columns)?).map_err(odd)?,
            categories: words(part(columns)?).map_err(odd)?,
            errors: floats(part(cells)?).map_err(odd)?,
            masks: words(part(passes.checked_mul(mask_words(cells)).ok_or(short)?)?)
                .map_err(odd)?,
            threshold: f32::from_bits(u32_at(section, 12)),
        };
        match scoring.fault(inputs, outputs) {
            Some(fault) => Err(fault),
            None => Ok(Some(scoring)),
        }
    }

    /// The reason why a network with this many inputs and outputs cannot be scored, if there is
    /// one.
    pub(crate) fn fault(&self, inputs: usize, outputs: usize) -> Option<&'static str> {
        let columns = self.centers.len();
        let positive = |all: &[f32]| all.iter().all(|x| x.is_finite() && *x > 0.0);
        let words = mask_words(self.cells());
        // Bits above the last cell.
        let unused = u32::MAX.checked_shl((self.cells() % 32) as u32).unwrap_or(0);
        let unused = if self.cells().is_multiple_of(32) { 0 } else { unused };
        let last = self.masks.iter().skip(words - 1).step_by(words);
        if columns == 0 || self.window == 0 || self.masks.is_empty() {
            Some("it has no columns, no window or no passes")
        } else if self.scales.len() != columns
            || self.categories.len() != columns
            || self.errors.len() != columns.saturating_mul(self.window)
            || !self.masks.len().is_multiple_of(words)
        {
            Some("its parts have the wrong length")
        } else if self.width() != outputs || outputs.saturating_mul(2) != inputs {
            Some("its columns do not fit the network")
        } else if !self.centers.iter().all(|center| center.is_finite()) || !positive(self.scales) {
            Some("a center or a scale of its columns is not valid")
        } else if !positive(self.errors) || !self.threshold.is_finite() {
            Some("an expected error or the threshold is not valid")
        } else if last.fold(0, |bits, word| bits | word) & unused != 0 {
            Some("it hides cells that do not exist")
        } else {
            None
        }
    }

    /// Calls `put` with the pieces of the section.
    pub(crate) fn write(&self, put: &mut dyn FnMut(&[u8])) {
        let sizes = [self.centers.len(), self.window, self.passes()];
        sizes.iter().for_each(|size| put(&(*size as u32).to_le_bytes()));
        put(&self.threshold.to_le_bytes());
        let floats = |all: &[f32], put: &mut dyn FnMut(&[u8])| {
            all.iter().for_each(|number| put(&number.to_le_bytes()));
        };
        floats(self.centers, put);
        floats(self.scales, put);
        self.categories.iter().for_each(|n| put(&n.to_le_bytes()));
        floats(self.errors, put);
        self.masks.iter().for_each(|word| put(&word.to_le_bytes()));
    }

    /// Number of bytes of the section.
    pub(crate) fn len(&self) -> usize {
        HEAD + 4 * (3 * self.centers.len() + self.errors.len() + self.masks.len())
    }

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

/// Number of words with a bit for each cell, at least one.
pub(super) const fn mask_words(cells: usize) -> usize {
    let words = cells.div_ceil(32);
    if words == 0 { 1 } else { words }
}

/// True if the bit of a cell is set.
fn is_set(mask: &[u32], cell: usize) -> bool {
    mask.get(cell / 32).is_some_and(|word| word >> (cell % 32) & 1 == 1)
}
