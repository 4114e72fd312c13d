//! Events: the values of an input that are not silent, with the rows of weights that they meet.

#![forbid(unsafe_code)]

use crate::kernels::{Number, ROOM, Rows};

/// Inputs that are looked at together: with room for fewer events, what was gathered is added
/// first.
const TOGETHER: usize = 64;
/// Room for the events of products that are not many.
pub(crate) const FEW_EVENTS: usize = 128;
/// What looking at an input costs, in multiply-adds of a row: above a share of events that follows
/// from it, all inputs are taken as they come.
const LOOK: usize = if cfg!(target_os = "none") { 3 } else { 12 };

/// How a layer's products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductStrategy {
    /// Silent inputs are looked for and skipped.
    Events,
    /// All inputs are multiplied: so few are silent that looking for them would take longer.
    Dense,
}

impl ProductStrategy {
    /// The one that is faster for these values, each of which meets a row of so many weights, where
    /// inputs are not [scanned](Number::scan).
    pub(crate) fn faster<T: Number>(values: &[T], columns: usize) -> Self {
        // active * columns + inputs * LOOK < inputs * columns, and a little, so that neither is
        // taken for nothing.
        let inputs = values.len();
        let looks = T::active(values).saturating_mul(columns) + inputs.saturating_mul(LOOK);
        if looks < inputs.saturating_mul(columns) { Self::Events } else { Self::Dense }
    }
}

/// Sums of products that grow, for some columns of a layer's weights. Events are gathered in the
/// room of the caller's until it is full.
pub(crate) struct Sums<'a, T: Number> {
    /// As many as columns.
    pub(crate) sums: &'a mut [T::Sum],
    /// `[rows, columns]`.
    pub(crate) weights: &'a [T],
    pub(crate) columns: usize,
    /// The first of the columns that there are sums for.
    pub(crate) first: usize,
    pub(crate) path: ProductStrategy,
    /// Both as long, with room for [`TOGETHER`] and [`ROOM`]; or none, where nothing is listed.
    pub(crate) rows: &'a mut [u32],
    pub(crate) values: &'a mut [T],
    /// How many events there are.
    pub(crate) n: usize,
}

impl<T: Number> Sums<'_, T> {
    /// Starts again for the next position.
    pub(crate) fn clear(&mut self) {
        self.sums.fill(T::Sum::default());
        self.n = 0;
    }

    /// Adds a run of inputs, the first of which meets this row.
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
            let room = self.rows.len().saturating_sub(self.n + ROOM) / TOGETHER * TOGETHER;
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

    /// Adds what was gathered.
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

    /// All of them, once everything is added.
    pub(crate) fn finished(&mut self) -> &mut [T::Sum] {
        self.flush();
        self.sums
    }
}
