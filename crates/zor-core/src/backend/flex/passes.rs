//! Passes over memory: vectorised, divided by size, and parallel when they are long.

use rayon::prelude::*;

/// Number of elements from which a pass over memory runs in parallel.
pub(super) const PARALLEL_FROM: usize = 1 << 16;
/// Number of elements per task.
pub(super) const CHUNK: usize = 1 << 14;
/// Number of columns that one task normalises; their norms are on the stack.
pub(super) const COLUMNS: usize = 64;

/// Runs a loop compiled for the widest vectors of this processor.
#[inline(always)]
pub(super) fn simd<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

pub(super) fn in_chunks(to: &mut [f32], from: &[f32], change: impl Fn(&mut f32, f32) + Sync) {
    let pass = |to: &mut [f32], from: &[f32]| {
        simd(
            #[inline(always)]
            || {
                for (t, f) in to.iter_mut().zip(from) {
                    change(t, *f);
                }
            },
        );
    };
    if to.len() < PARALLEL_FROM {
        pass(to, from);
    } else {
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(t, f)| pass(t, f));
    }
}

/// True if there are too few blocks of columns to share the work among threads.
pub(super) fn is_tall(rows: usize, columns: usize) -> bool {
    rows > 4 * columns && rows * columns >= PARALLEL_FROM
}

/// Calls the task for every block of at most [`COLUMNS`] columns, with its first column and width.
pub(super) fn for_each_column_block(
    rows: usize,
    columns: usize,
    task: impl Fn(usize, usize) + Sync,
) {
    let block = |index: usize| {
        let from = index * COLUMNS;
        task(from, COLUMNS.min(columns - from));
    };
    let blocks = columns.div_ceil(COLUMNS);
    if rows * columns < PARALLEL_FROM {
        (0..blocks).for_each(block);
    } else {
        (0..blocks).into_par_iter().for_each(block);
    }
}

#[inline(always)]
pub(super) fn add_squares(sums: &mut [f32], row: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x * x;
    }
}
