//! Sums over the rows of a matrix, per column: for few columns and many rows, as with channels and
//! pixels, or the reverse.

use rayon::prelude::*;

use super::passes::{CHUNK, PARALLEL_FROM, simd};
use super::scratch::with_scratch;

/// Maximum number of runs of rows.
const RUNS: usize = 64;

/// Computes `K` sums for every column and passes them to `done`, each as a slice over the columns.
///
/// `add` adds one row. Rows are divided into runs by size, never by the number of threads.
pub(super) fn sum_rows<const K: usize, R>(
    rows: usize,
    columns: usize,
    add: impl Fn(usize, [&mut [f32]; K]) + Sync,
    done: impl FnOnce([&[f32]; K]) -> R,
) -> R {
    let run = (CHUNK / columns.max(1)).max(rows.div_ceil(RUNS)).max(1);
    let runs = rows.div_ceil(run);
    let len = K * columns;
    with_scratch((runs + 1) * len, |memory| {
        let (totals, sums) = memory.split_at_mut(len);
        let sum_run = |(index, sums): (usize, &mut [f32])| {
            sums.fill(0.0);
            simd(
                #[inline(always)]
                || {
                    for row in index * run..((index + 1) * run).min(rows) {
                        let mut rest = &mut *sums;
                        let parts = std::array::from_fn(|_| {
                            let (part, tail) = std::mem::take(&mut rest).split_at_mut(columns);
                            rest = tail;
                            part
                        });
                        add(row, parts);
                    }
                },
            );
        };
        if rows * columns < PARALLEL_FROM {
            sums.chunks_mut(len).enumerate().for_each(sum_run);
        } else {
            sums.par_chunks_mut(len).enumerate().for_each(sum_run);
        }
        totals.fill(0.0);
        for sums in sums.chunks(len) {
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        done(std::array::from_fn(|k| &totals[k * columns..(k + 1) * columns]))
    })
}

/// Calls `change` with the index and the values of every row of a matrix.
pub(super) fn for_each_row(
    values: &mut [f32],
    columns: usize,
    change: impl Fn(usize, &mut [f32]) + Sync,
) {
    let run = (CHUNK / columns.max(1)).max(1);
    let pass = |(index, values): (usize, &mut [f32])| {
        simd(
            #[inline(always)]
            || {
                for (row, values) in values.chunks_exact_mut(columns).enumerate() {
                    change(index * run + row, values);
                }
            },
        );
    };
    if values.len() < PARALLEL_FROM {
        values.chunks_mut(run * columns).enumerate().for_each(pass);
    } else {
        values.par_chunks_mut(run * columns).enumerate().for_each(pass);
    }
}

/// Passes the sum of squares of every column to `done`.
pub(super) fn with_squares<R>(
    rows: usize,
    columns: usize,
    matrix: &[f32],
    done: impl FnOnce(&[f32]) -> R,
) -> R {
    let add = |row: usize, [squares]: [&mut [f32]; 1]| {
        for (square, x) in squares.iter_mut().zip(&matrix[row * columns..(row + 1) * columns]) {
            *square += x * x;
        }
    };
    sum_rows(rows, columns, add, |[squares]| done(squares))
}
