//! How the caller's memory is divided, and rows of matrices in it.

#![forbid(unsafe_code)]

use super::optimizer::Optimizer;

/// Number of weights of a network of these widths, input first.
pub const fn weights_len(widths: &[usize]) -> usize {
    let (mut sum, mut k) = (0, 1);
    while k < widths.len() {
        sum += widths[k - 1] * widths[k];
        k += 1;
    }
    sum
}

/// Number of `f32` values of state that learning needs in addition to the weights, for batches of
/// at most `batch` samples.
pub const fn state_len(widths: &[usize], batch: usize, optimizer: &Optimizer) -> usize {
    let (mut sum, mut widest, mut k) = (0, 0, 0);
    while k < widths.len() {
        sum += widths[k];
        if widths[k] > widest {
            widest = widths[k];
        }
        k += 1;
    }
    // Outputs, spikes and charges of all layers; two signals; a row of correlations.
    optimizer.kept() * weights_len(widths) + batch * (3 * sum + 2 * widest) + widest
}

/// The state of a learner, divided into its parts.
///
/// Outputs, spikes and charges hold the layers one after the other, each `[rows, width]` with the
/// rows of the current batch.
#[derive(Debug)]
pub(super) struct State<'a> {
    /// Momentum or moments of the optimizer, layer by layer as the weights.
    pub(super) optimizer: &'a mut [f32],
    pub(super) outputs: &'a mut [f32],
    pub(super) spikes: &'a mut [f32],
    pub(super) charges: &'a mut [f32],
    /// Signals of two neighbouring layers.
    pub(super) signals: [&'a mut [f32]; 2],
    /// Correlations of one input with all units of a layer.
    pub(super) correlations: &'a mut [f32],
}

impl<'a> State<'a> {
    /// Divides memory of [`state_len`] values; `None` if it is shorter.
    pub(super) fn divide(
        memory: &'a mut [f32],
        widths: &[usize],
        batch: usize,
        optimizer: &Optimizer,
    ) -> Option<Self> {
        let sum: usize = widths.iter().sum();
        let widest = widths.iter().copied().max().unwrap_or(0);
        let mut rest = memory;
        let mut part = |n: usize| -> Option<&'a mut [f32]> {
            let (part, after) = core::mem::take(&mut rest).split_at_mut_checked(n)?;
            rest = after;
            Some(part)
        };
        Some(Self {
            optimizer: part(optimizer.kept() * weights_len(widths))?,
            outputs: part(batch * sum)?,
            spikes: part(batch * sum)?,
            charges: part(batch * sum)?,
            signals: [part(batch * widest)?, part(batch * widest)?],
            correlations: part(widest)?,
        })
    }
}

/// Removes the first `n` values from a slice and returns them.
pub(super) fn take<'a>(slice: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    let whole = core::mem::take(slice);
    let (first, rest) = whole.split_at_mut_checked(n).unwrap_or((&mut [], &mut []));
    *slice = rest;
    first
}

/// The rows of a matrix of this many columns.
pub(super) fn rows_of(matrix: &[f32], columns: usize) -> core::slice::ChunksExact<'_, f32> {
    matrix.chunks_exact(columns.max(1))
}

/// The rows of a matrix of this many columns, to be written.
pub(super) fn rows_of_mut(
    matrix: &mut [f32],
    columns: usize,
) -> core::slice::ChunksExactMut<'_, f32> {
    matrix.chunks_exact_mut(columns.max(1))
}

/// [`Iterator::zip`] without its call of `len` on chunks: that divides by their size, and the
/// panic for a size of zero would be linked.
pub(super) fn pairs<A: IntoIterator, B: IntoIterator>(
    a: A,
    b: B,
) -> impl Iterator<Item = (A::Item, B::Item)> {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    core::iter::from_fn(move || Some((a.next()?, b.next()?)))
}
