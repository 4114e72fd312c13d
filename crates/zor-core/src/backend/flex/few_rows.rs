//! Matrix products of few rows, for which a general product would spend its time on packing
//! operands: weights are streamed once in their layout, and for a single row only the rows of
//! weights whose input is not zero.

use pulp::Simd;
use rayon::prelude::*;

use super::blocks::{
    Destination, PANEL, ROWS, Tap, columns_times_panel, load, load_some, rows_times_panel, store,
};
use super::scratch::with_scratch;

/// Number of multiply-adds from which a matrix product runs in parallel.
const PARALLEL_PRODUCT_FROM: usize = 1 << 22;

/// True if one thread computes a product of these sizes.
pub(super) fn is_small([m, k, n]: [usize; 3]) -> bool {
    m * k * n < PARALLEL_PRODUCT_FROM
}

/// Maximum number of rows of a small batch.
pub(super) const MAX_ROWS: usize = 64;
/// Rows that are computed at once.
pub(super) const BLOCK_ROWS: usize = ROWS;
/// Maximum number of rows that are multiplied one by one.
const MAX_SINGLE_ROWS: usize = 3;
/// Number of weights that one task streams.
const WEIGHTS_PER_TASK: usize = 1 << 17;
/// Rows of weights that are added at once.
const ADDED_ROWS: usize = 8;

/// True if [`multiply`] is the faster way to `[m, k] @ [k, n]`.
pub(super) fn multiplies([m, k, n]: [usize; 3]) -> bool {
    k > 0 && are_vectors(n) && (m <= MAX_SINGLE_ROWS || m <= MAX_ROWS && is_small([m, k, n]))
}

/// True if [`multiply_transposed`] is the faster way to `[m, k] @ [n, k]^T`.
pub(super) fn multiplies_transposed([m, k, n]: [usize; 3]) -> bool {
    k > 0 && m <= MAX_ROWS && is_small([m, k, n])
}

/// True if [`correlate`] is the faster way to `[k, m]^T @ [k, n]` on one thread.
pub(super) fn correlates([m, k, n]: [usize; 3]) -> bool {
    (1..=MAX_ROWS).contains(&k) && m >= ROWS && are_vectors(n)
}

/// True if rows of this many values consist of whole vectors.
fn are_vectors(columns: usize) -> bool {
    struct Lanes(usize);
    impl pulp::WithSimd for Lanes {
        type Output = bool;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> bool {
            self.0.is_multiple_of(S::F32_LANES)
        }
    }
    pulp::Arch::new().dispatch(Lanes(columns))
}

/// `left @ right` of `[rows, inner]` and `[inner, columns]`.
pub(super) fn multiply(left: &[f32], right: &[f32], inner: usize, out: &mut [f32]) {
    let columns = right.len() / inner;
    assert!(are_vectors(columns) && right.len() == inner * columns);
    assert_eq!(left.len() * columns, out.len() * inner);
    if left.len() > MAX_SINGLE_ROWS * inner {
        return pulp::Arch::new().dispatch(Blocks { left, right, inner, columns, out });
    }
    for (row, out) in left.chunks_exact(inner).zip(out.chunks_exact_mut(columns)) {
        stream(row, right, columns, out);
    }
}

/// A vector times a matrix.
fn stream(row: &[f32], right: &[f32], columns: usize, out: &mut [f32]) {
    let rows = (WEIGHTS_PER_TASK / columns).max(ADDED_ROWS);
    if row.len() < 2 * rows {
        return pulp::Arch::new().dispatch(Stream { row, right, columns, out });
    }
    with_scratch(row.len().div_ceil(rows) * columns, |parts| {
        let tasks = row.par_chunks(rows).zip(right.par_chunks(rows * columns));
        tasks.zip(parts.par_chunks_mut(columns)).for_each(|((row, right), out)| {
            pulp::Arch::new().dispatch(Stream { row, right, columns, out });
        });
        out.copy_from_slice(&parts[..columns]);
        for part in parts[columns..].chunks_exact(columns) {
            out.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    });
}

struct Stream<'a> {
    row: &'a [f32],
    right: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { row, right, columns, out } = self;
        assert!(right.len() == row.len() * columns && out.len() == columns);
        out.fill(0.0);
        let mut values = [0f32; ADDED_ROWS];
        let mut weights = [right.as_ptr(); ADDED_ROWS];
        let mut n = 0;
        for (i, value) in row.iter().enumerate() {
            // A value that is not zero advances to the next place; a zero is overwritten.
            (values[n], weights[n]) = (*value, right[i * columns..].as_ptr());
            n += usize::from(*value != 0.0);
            if n == ADDED_ROWS || i + 1 == row.len() {
                values[n..].fill(0.0);
                let values = values.map(|value| simd.splat_f32s(value));
                for j in (0..columns).step_by(S::F32_LANES) {
                    // SAFETY: whole vectors of rows of the matrix, and of `out`, whose lengths are
                    // checked above.
                    unsafe {
                        let to = out.as_mut_ptr().add(j);
                        let mut sum = load::<S>(to);
                        for k in 0..ADDED_ROWS {
                            let weight = load::<S>(weights[k].add(j));
                            sum = simd.mul_add_e_f32s(values[k], weight, sum);
                        }
                        store::<S>(to, sum);
                    }
                }
                n = 0;
            }
        }
    }
}

struct Blocks<'a> {
    left: &'a [f32],
    right: &'a [f32],
    inner: usize,
    columns: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Blocks as even as possible: rows that pad the last block are wasted work.
        let rows = self.left.len() / self.inner;
        match rows.div_ceil(rows.div_ceil(ROWS)) {
            ..=4 => self.by_blocks::<S, 4>(simd),
            5 => self.by_blocks::<S, 5>(simd),
            _ => self.by_blocks::<S, ROWS>(simd),
        }
    }
}

impl Blocks<'_> {
    #[inline(always)]
    fn by_blocks<S: Simd, const R: usize>(self, simd: S) {
        let Self { left, right, inner, columns, out } = self;
        for (left, out) in left.chunks(R * inner).zip(out.chunks_mut(R * columns)) {
            let block = Block::new(left, R * inner);
            let start = block.start();
            for panel in (0..columns).step_by(PANEL) {
                let tap = Tap::<R> {
                    rows: std::array::from_fn(|r| start.wrapping_add(r * inner)),
                    depth: inner,
                    right: right[panel..].as_ptr(),
                };
                let to = Destination {
                    start: out[panel..].as_mut_ptr(),
                    stride: columns,
                    rows: left.len() / inner,
                    columns: (columns - panel).min(PANEL),
                    add: false,
                };
                // SAFETY: there are as many rows of `inner` values, and columns are whole vectors.
                unsafe {
                    rows_times_panel(
                        simd,
                        1,
                        #[inline(always)]
                        |_| tap,
                        columns,
                        to,
                    );
                }
            }
        }
    }
}

/// Contiguous rows: borrowed, or, if there are too few of them, a copy padded with zeros.
enum Block<'a> {
    Whole(&'a [f32]),
    Copy(Vec<f32>),
}

impl<'a> Block<'a> {
    fn new(rows: &'a [f32], len: usize) -> Self {
        if rows.len() == len {
            return Self::Whole(rows);
        }
        let mut copy = Vec::with_capacity(len);
        copy.extend_from_slice(rows);
        copy.resize(len, 0.0);
        Self::Copy(copy)
    }

    fn start(&self) -> *const f32 {
        match self {
            Self::Whole(rows) => rows.as_ptr(),
            Self::Copy(rows) => rows.as_ptr(),
        }
    }
}

/// Computes rows `from..` of `left^T @ right` for `[batch, rows]` and `[batch, columns]`, as many
/// as `out` has. There are at least [`ROWS`] rows.
pub(super) fn correlate(left: &[f32], right: &[f32], batch: usize, from: usize, out: &mut [f32]) {
    let (rows, columns) = (left.len() / batch, right.len() / batch);
    assert!(are_vectors(columns) && left.len() == batch * rows && right.len() == batch * columns);
    assert!(rows >= ROWS && out.len() / columns + from <= rows);
    pulp::Arch::new().dispatch(Correlate { left, right, batch, from, out });
}

struct Correlate<'a> {
    left: &'a [f32],
    right: &'a [f32],
    batch: usize,
    from: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, right, batch, from, out } = self;
        let (all, columns) = (left.len() / batch, right.len() / batch);
        let rows = out.len() / columns;
        let mut padded = [0f32; MAX_ROWS * ROWS];
        for first in (0..rows).step_by(ROWS) {
            let n = (rows - first).min(ROWS);
            // No further rows follow the last ones.
            let (mut start, mut stride) = (left[from + first..].as_ptr(), all);
            if from + first + ROWS > all {
                for (b, row) in padded.chunks_exact_mut(ROWS).enumerate().take(batch) {
                    row[..n].copy_from_slice(&left[b * all + from + first..][..n]);
                }
                (start, stride) = (padded.as_ptr(), ROWS);
            }
            for panel in (0..columns).step_by(PANEL) {
                let to = Destination {
                    start: out[first * columns + panel..].as_mut_ptr(),
                    stride: columns,
                    rows: n,
                    columns: (columns - panel).min(PANEL),
                    add: false,
                };
                let left = |b: usize| start.wrapping_add(b * stride);
                let right = right[panel..].as_ptr();
                // SAFETY: there are as many values of `left` in each of `batch` rows, and columns
                // are whole vectors.
                unsafe { columns_times_panel(simd, batch, left, right, columns, to) };
            }
        }
    }
}

/// `left @ right^T` of `[rows, inner]` and `[columns, inner]`.
pub(super) fn multiply_transposed(left: &[f32], right: &[f32], inner: usize, out: &mut [f32]) {
    assert_eq!(left.len() / inner * (right.len() / inner), out.len());
    pulp::Arch::new().dispatch(Dots { left, right, inner, out });
}

struct Dots<'a> {
    left: &'a [f32],
    right: &'a [f32],
    inner: usize,
    out: &'a mut [f32],
}

/// Rows of the left operand whose dot products with two rows of the right one are computed side by
/// side.
const SIDE_BY_SIDE: usize = 5;

impl pulp::WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, right, inner, out } = self;
        let columns = right.len() / inner;
        let blocks = left.chunks(SIDE_BY_SIDE * inner).zip(out.chunks_mut(SIDE_BY_SIDE * columns));
        for (left, out) in blocks {
            let block = Block::new(left, SIDE_BY_SIDE * inner);
            for (pair, weights) in right.chunks(2 * inner).enumerate() {
                let weights = [weights.as_ptr(), weights[weights.len() - inner..].as_ptr()];
                // SAFETY: all rows have `inner` values.
                let sums = unsafe { dots(simd, block.start(), weights, inner) };
                for (out, sums) in out.chunks_exact_mut(columns).zip(sums) {
                    // With an odd number of columns the second row equals the first.
                    out[2 * pair] = simd.reduce_sum_f32s(sums[0]);
                    out[(2 * pair + 1).min(columns - 1)] = simd.reduce_sum_f32s(sums[1]);
                }
            }
        }
    }
}

/// Dot products of contiguous rows with two others, per lane.
///
/// # Safety
/// All rows have `inner` values.
#[inline(always)]
unsafe fn dots<S: Simd>(
    simd: S,
    rows: *const f32,
    weights: [*const f32; 2],
    inner: usize,
) -> [[S::f32s; 2]; SIDE_BY_SIDE] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; SIDE_BY_SIDE];
    let whole = inner - inner % S::F32_LANES;
    for j in (0..whole).step_by(S::F32_LANES) {
        // SAFETY: inside the rows.
        unsafe {
            let weights = [load::<S>(weights[0].add(j)), load::<S>(weights[1].add(j))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = load::<S>(rows.add(r * inner + j));
                sums[0] = simd.mul_add_e_f32s(value, weights[0], sums[0]);
                sums[1] = simd.mul_add_e_f32s(value, weights[1], sums[1]);
            }
        }
    }
    if whole < inner {
        // SAFETY: as many values are left in every row.
        unsafe {
            let rest = inner - whole;
            let weights = weights.map(|row| load_some(simd, row.add(whole), rest));
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = load_some(simd, rows.add(r * inner + whole), rest);
                sums[0] = simd.mul_add_e_f32s(value, weights[0], sums[0]);
                sums[1] = simd.mul_add_e_f32s(value, weights[1], sums[1]);
            }
        }
    }
    sums
}
