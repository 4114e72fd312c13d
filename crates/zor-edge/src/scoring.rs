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

use crate::format::{HEADER, MAX_VALUES, u32_at};

/// Offset of the offset of the section.
const PLACE: usize = 24;
/// Number of bytes before the slices.
const HEAD: usize = 16;

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
}

/// Number of words with a bit for each cell, at least one.
pub(crate) const fn mask_words(cells: usize) -> usize {
    let words = cells.div_ceil(32);
    if words == 0 { 1 } else { words }
}
