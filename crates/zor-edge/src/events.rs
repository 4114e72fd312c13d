//! Events: the values of an input that are not silent, with the rows of weights that they meet.

#![forbid(unsafe_code)]

use crate::kernels::{Number, Rows};

/// Events that are gathered before their rows are added up; on a microcontroller few, for the stack's sake.
const CAPACITY: usize = if cfg!(target_os = "none") { 128 } else { 1024 };
/// What looking at an input costs, in multiply-adds of a row: above a share of events that follows from it, all inputs are taken as they come.
const LOOK: usize = if cfg!(target_os = "none") { 3 } else { 12 };

/// How a layer's products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Silent inputs are looked for and skipped.
    Events,
    /// All inputs are multiplied: so few are silent that looking for them would take longer.
    Dense,
}

impl Path {
    /// The one that is faster where so many of an input's values are not silent, each of which meets a row of so many weights.
    pub(crate) fn faster(active: usize, inputs: usize, columns: usize) -> Self {
        // active * columns + inputs * LOOK < inputs * columns, and a little, so that neither is taken for nothing.
        let events = active.saturating_mul(columns).saturating_add(inputs.saturating_mul(LOOK));
        if events < inputs.saturating_mul(columns) { Self::Events } else { Self::Dense }
    }
}

/// Sums of products that grow, for some columns of a layer's weights.
pub(crate) struct Sums<'a, T: Number> {
    sums: &'a mut [T::Sum],
    weights: &'a [T],
    columns: usize,
    first: usize,
    path: Path,
    rows: [u32; CAPACITY],
    values: [T; CAPACITY],
    n: usize,
}

impl<'a, T: Number> Sums<'a, T> {
    /// None yet: columns from `first` on, as many as there are sums, of weights `[rows, columns]`.
    pub(crate) fn start(
        sums: &'a mut [T::Sum],
        weights: &'a [T],
        columns: usize,
        first: usize,
        path: Path,
    ) -> Self {
        let (rows, values) = ([0; CAPACITY], [T::default(); CAPACITY]);
        Self { sums, weights, columns, first, path, rows, values, n: 0 }
    }

    /// Starts again for the next position.
    pub(crate) fn clear(&mut self) {
        self.sums.fill(T::Sum::default());
        self.n = 0;
    }

    /// Adds a run of inputs, the first of which meets this row.
    #[inline]
    pub(crate) fn add(&mut self, inputs: &[T], first_row: usize) {
        if self.path == Path::Dense {
            T::add_rows(
                self.sums,
                self.weights,
                (self.columns, self.first),
                Rows::From(first_row),
                inputs,
            );
            return;
        }
        let mut row = first_row;
        for piece in inputs.chunks(CAPACITY) {
            if self.n + piece.len() > CAPACITY {
                self.flush();
            }
            let mut n = self.n;
            for value in piece {
                // Written in any case, kept if it is an event: no branch to be guessed wrong.
                if let (Some(to), Some(place)) = (self.values.get_mut(n), self.rows.get_mut(n)) {
                    (*to, *place) = (*value, row as u32);
                }
                n += usize::from(!value.is_silent());
                row += 1;
            }
            self.n = n;
        }
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
