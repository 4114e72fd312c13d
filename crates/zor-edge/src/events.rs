//! Events: the values of an input that are not zero, with the rows of weights that they multiply.

#![forbid(unsafe_code)]

use crate::kernels::{Number, ROOM, Rows};

/// Number of inputs that are gathered at once; if there is room for fewer, the gathered events are
/// added first.
const GATHERED_AT_ONCE: usize = 64;
/// Capacity of the list of events of small products; on devices, of a single gathering.
pub(crate) const FEW_EVENTS: usize = if cfg!(target_os = "none") { 72 } else { 128 };
/// Cost of inspecting an input, in multiply-adds of a row. It determines the share of events above
/// which all inputs are multiplied.
const INSPECTION_COST: usize = if cfg!(target_os = "none") { 3 } else { 12 };

/// How the matrix product of a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductStrategy {
    /// Zero inputs are detected and skipped.
    Events,
    /// All inputs are multiplied: so few are zero that detecting them would take longer.
    Dense,
}

impl ProductStrategy {
    /// Returns the faster strategy for these values, each of which multiplies a row of `columns`
    /// weights, if inputs are not [scanned](Number::scan).
    pub(crate) fn faster<T: Number>(values: &[T], columns: usize) -> Self {
        // active * columns + inputs * INSPECTION_COST < inputs * columns: at equal costs no list is
        // built.
        let inputs = values.len();
        let cost =
            T::active(values).saturating_mul(columns) + inputs.saturating_mul(INSPECTION_COST);
        if cost < inputs.saturating_mul(columns) { Self::Events } else { Self::Dense }
    }
}

/// Accumulators of a range of columns of a layer's weights. Events are gathered in the caller's
/// memory until it is full.
pub(crate) struct Sums<'a, T: Number> {
    /// One per column of the range.
    pub(crate) sums: &'a mut [T::Sum],
    /// `[rows, columns]`.
    pub(crate) weights: &'a [T],
    pub(crate) columns: usize,
    /// The first column of the range.
    pub(crate) first: usize,
    pub(crate) path: ProductStrategy,
    /// `rows` and `values` have the same length, with room for [`GATHERED_AT_ONCE`] and [`ROOM`];
    /// or are empty if no events are gathered.
    pub(crate) rows: &'a mut [u32],
    pub(crate) values: &'a mut [T],
    /// Number of gathered events.
    pub(crate) n: usize,
}

impl<T: Number> Sums<'_, T> {
    /// Resets the sums for the next position.
    pub(crate) fn clear(&mut self) {
        self.sums.fill(T::Sum::default());
        self.n = 0;
    }

    /// Adds a run of inputs; the first of them multiplies row `first_row`.
    #[inline]
    pub(crate) fn add(&mut self, inputs: &[T], first_row: usize) {
        if self.path == ProductStrategy::Dense {
            return self.add_all(inputs, first_row);
        }
        if T::scan(self.sums, self.weights, (self.columns, self.first), first_row, inputs) {
            return;
        }
        let (mut rest, mut row) = (inputs, first_row);
        while !rest.is_empty() {
            let room =
                self.rows.len().saturating_sub(self.n + ROOM) / GATHERED_AT_ONCE * GATHERED_AT_ONCE;
            if room == 0 {
                if self.n == 0 {
                    return self.add_all(rest, row);
                }
                self.flush();
                continue;
            }
            let (piece, after) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            if let (Some(values), Some(rows)) =
                (self.values.get_mut(self.n..), self.rows.get_mut(self.n..))
            {
                self.n += T::gather(piece, row, values, rows);
            }
            (rest, row) = (after, row + piece.len());
        }
    }

    fn add_all(&mut self, inputs: &[T], first_row: usize) {
        let columns = (self.columns, self.first);
        T::add_rows(self.sums, self.weights, columns, Rows::From(first_row), inputs);
    }

    /// Adds the gathered events.
    pub(crate) fn flush(&mut self) {
        let (rows, values) = (self.rows.get(..self.n), self.values.get(..self.n));
        if let (Some(rows @ [_, ..]), Some(values)) = (rows, values) {
            T::add_rows(
                self.sums,
                self.weights,
                (self.columns, self.first),
                Rows::List(rows),
                values,
            );
        }
        self.n = 0;
    }

    /// Returns the sums after adding the remaining events.
    pub(crate) fn finished(&mut self) -> &mut [T::Sum] {
        self.flush();
        self.sums
    }
}
