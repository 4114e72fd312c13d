//! Tiles and kernels at all pairs of points: one matrix for each pair, and products of these.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;

use crate::backend::flex::blocks::{LANES, ROWS, for_vectors, load, store, widest};

/// Adjacent columns in a plane. A strip as deep as 256 channels fills half of the L1 cache; the
/// other half is for the rows multiplied with it.
pub(super) const STRIP: usize = LANES;
/// Gap between strips and between planes, so that they do not map to the same cache lines.
const GAP: usize = 16;

/// A matrix of a given number of rows for every pair of points, each in strips of [`STRIP`]
/// columns, the last padded. Its memory stays borrowed while any copy of this exists.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    start: *mut f32,
    memory: PhantomData<&'a mut [f32]>,
    pub(super) points: [usize; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

// SAFETY: tasks only read shared planes, or write disjoint rows of them.
unsafe impl Send for Planes<'_> {}
// SAFETY: as above.
unsafe impl Sync for Planes<'_> {}

impl<'a> Planes<'a> {
    pub(super) fn len(points: [usize; 2], rows: usize, columns: usize) -> usize {
        points[0] * points[1] * plane_len(rows, columns)
    }

    pub(super) fn new(
        memory: &'a mut [f32],
        points: [usize; 2],
        rows: usize,
        columns: usize,
    ) -> Self {
        assert!(memory.len() >= Self::len(points, rows, columns));
        Self { start: memory.as_mut_ptr(), memory: PhantomData, points, rows, columns }
    }

    fn strips(&self) -> usize {
        self.columns.div_ceil(STRIP)
    }

    /// Distance from one plane to the next; the second axis of points varies fastest.
    #[inline(always)]
    pub(super) fn plane(&self) -> usize {
        plane_len(self.rows, self.columns)
    }

    /// Pointer to a row of one plane, from a column on.
    #[inline(always)]
    pub(super) fn at(&self, plane: usize, row: usize, column: usize) -> *mut f32 {
        let strip = column / STRIP * strip_len(self.rows);
        self.start.wrapping_add(plane * self.plane() + strip + row * STRIP + column % STRIP)
    }
}

fn plane_len(rows: usize, columns: usize) -> usize {
    columns.div_ceil(STRIP) * strip_len(rows) + GAP
}

/// Blocks of rows are computed whole wherever they begin: the padding after the last row has
/// arbitrary contents.
fn strip_len(rows: usize) -> usize {
    (rows + ROWS) * STRIP + GAP
}

/// `to = left @ right` in one plane, for a range of rows.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    rows: Range<usize>,
    left: Planes<'_>,
    right: Planes<'_>,
    to: Planes<'_>,
    plane: usize,
) {
    assert!(left.columns <= right.rows && rows.end <= left.rows.min(to.rows));
    let vectors = to.strips() * STRIP / S::F32_LANES;
    for first in (0..vectors).step_by(widest::<S>()) {
        let column = first * S::F32_LANES;
        for row in rows.clone().step_by(ROWS) {
            // SAFETY: all rows lie in the planes, whose strips hold whole blocks of rows.
            unsafe {
                for_vectors!((vectors - first).min(widest::<S>()), N => {
                    multiply_block::<S, N>(simd, left, right, to, plane, row, column);
                });
            }
        }
    }
}

/// Adds the products of one row of the right operand with one column of the rows of the left
/// operand.
#[inline(always)]
unsafe fn multiply_add<S: Simd, const N: usize>(
    simd: S,
    right: [*const f32; N],
    rows: *const f32,
    sums: &mut [[S::f32s; N]; ROWS],
) {
    let mut vectors = [simd.splat_f32s(0.0); N];
    // SAFETY: the caller vouches for a row of both operands.
    unsafe {
        for n in 0..N {
            vectors[n] = load::<S>(right[n]);
        }
        for r in 0..ROWS {
            let value = simd.splat_f32s(*rows.add(r * STRIP));
            for n in 0..N {
                sums[r][n] = simd.mul_add_e_f32s(value, vectors[n], sums[r][n]);
            }
        }
    }
}

/// The block of [`multiply`] at a row and a column, `N` vectors wide.
#[inline(always)]
unsafe fn multiply_block<S: Simd, const N: usize>(
    simd: S,
    left: Planes<'_>,
    right: Planes<'_>,
    to: Planes<'_>,
    plane: usize,
    row: usize,
    column: usize,
) {
    let mut rights = [right.start.cast_const(); N];
    for n in 0..N {
        rights[n] = right.at(plane, 0, column + n * S::F32_LANES);
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    for done in (0..left.columns).step_by(STRIP) {
        let rows = left.at(plane, row, done).cast_const();
        let depth = left.columns - done;
        // SAFETY: the caller vouches for the rows of both operands.
        unsafe {
            if depth >= STRIP {
                // A constant number of times, so that the compiler unrolls the loop.
                for j in 0..STRIP {
                    multiply_add(
                        simd,
                        rights.map(|right| right.add((done + j) * STRIP)),
                        rows.add(j),
                        &mut sums,
                    );
                }
            } else {
                for j in 0..depth {
                    multiply_add(
                        simd,
                        rights.map(|right| right.add((done + j) * STRIP)),
                        rows.add(j),
                        &mut sums,
                    );
                }
            }
        }
    }
    for n in 0..N {
        let start = to.at(plane, row, column + n * S::F32_LANES);
        for r in 0..ROWS {
            // SAFETY: as above.
            unsafe { store::<S>(start.add(r * STRIP), sums[r][n]) };
        }
    }
}

/// `to = left^T @ right` in one plane, over a range of rows of both; with `add`, added to `to`.
#[inline(always)]
pub(super) fn correlate<S: Simd>(
    simd: S,
    rows: Range<usize>,
    left: Planes<'_>,
    right: Planes<'_>,
    to: Planes<'_>,
    plane: usize,
    add: bool,
) {
    assert!(left.columns <= to.rows && rows.end <= left.rows.min(right.rows));
    let vectors = to.strips() * STRIP / S::F32_LANES;
    for first in (0..vectors).step_by(widest::<S>()) {
        let column = first * S::F32_LANES;
        for row in (0..left.columns).step_by(ROWS) {
            let mut lefts = [left.start.cast_const(); ROWS];
            for r in 0..ROWS {
                lefts[r] = left.at(plane, rows.start, (row + r).min(left.columns - 1));
            }
            let rows = rows.clone();
            let block = Block { rows, lefts, right, to, plane, row, column, add };
            // SAFETY: all rows lie in the planes, whose strips hold whole blocks of rows.
            unsafe {
                for_vectors!((vectors - first).min(widest::<S>()), N => correlate_block::<S, N>(simd, block));
            }
        }
    }
}

/// A block of [`correlate`] at a row and a column.
struct Block<'a> {
    rows: Range<usize>,
    /// Columns of the left operand.
    lefts: [*const f32; ROWS],
    right: Planes<'a>,
    to: Planes<'a>,
    plane: usize,
    row: usize,
    column: usize,
    add: bool,
}

#[inline(always)]
unsafe fn correlate_block<S: Simd, const N: usize>(simd: S, block: Block<'_>) {
    let Block { rows, lefts, right, to, plane, row, column, add } = block;
    let mut rights = [right.start.cast_const(); N];
    for n in 0..N {
        rights[n] = right.at(plane, rows.start, column + n * S::F32_LANES);
    }
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    for j in 0..rows.len() {
        let mut vectors = [simd.splat_f32s(0.0); N];
        // SAFETY: the caller vouches for these rows of both operands.
        unsafe {
            for n in 0..N {
                vectors[n] = load::<S>(rights[n].add(j * STRIP));
            }
            for r in 0..ROWS {
                let value = simd.splat_f32s(*lefts[r].add(j * STRIP));
                for n in 0..N {
                    sums[r][n] = simd.mul_add_e_f32s(value, vectors[n], sums[r][n]);
                }
            }
        }
    }
    for n in 0..N {
        let start = to.at(plane, row, column + n * S::F32_LANES);
        for r in 0..ROWS {
            // SAFETY: as above.
            unsafe {
                let at = start.add(r * STRIP);
                let sum = if add { simd.add_f32s(sums[r][n], load::<S>(at)) } else { sums[r][n] };
                store::<S>(at, sum);
            }
        }
    }
}
