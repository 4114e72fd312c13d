//! Matrix products of small blocks whose sums stay in registers: the kernel of convolutions and of
//! products of few rows.
//!
//! Everything here is inlined into a function that is compiled for the vectors of this processor,
//! and vectors are processed in plain loops: a closure that the compiler does not inline would be
//! compiled for the baseline processor.
//!
//! The right operand of a product is stored in panels: [`PANEL`] adjacent columns, row by row, the
//! last panel narrower and padded to full vectors. The left operand is accessed through pointers to
//! its rows, so that the pixels under a window need not be gathered (Dukhan 2019, "The Indirect
//! Convolution Algorithm").

use std::marker::PhantomData;

use pulp::Simd;

/// Columns of a full panel.
pub(super) const PANEL: usize = 64;
/// Maximum number of rows of a block.
pub(super) const ROWS: usize = 6;
/// Lanes of the widest vector; panels are padded to it.
pub(super) const LANES: usize = 16;

/// Columns of panel number `panel` of a matrix, padding included.
#[inline(always)]
pub(super) fn panel_width(columns: usize, panel: usize) -> usize {
    (columns.next_multiple_of(LANES) - panel * PANEL).min(PANEL)
}

/// Maximum width of a block in vectors, such that the sums of [`ROWS`] rows stay in registers.
#[inline(always)]
pub(super) fn widest<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// Expands its body once for every width of a block in vectors, as a constant.
macro_rules! for_vectors {
    ($vectors:expr, $constant:ident => $body:expr) => {
        match $vectors {
            1 => for_vectors!(1, $constant, $body),
            2 => for_vectors!(2, $constant, $body),
            3 => for_vectors!(3, $constant, $body),
            _ => for_vectors!(4, $constant, $body),
        }
    };
    ($value:literal, $constant:ident, $body:expr) => {{
        const $constant: usize = $value;
        $body
    }};
}
pub(super) use for_vectors;

/// Destination of a block of a product: `rows` (at most [`ROWS`]) times `columns` (at most
/// [`PANEL`]) values, with rows `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Whether the product is added to the existing values.
    pub(super) add: bool,
}

/// One of the products whose sum is a block.
#[derive(Clone, Copy)]
pub(super) struct Tap<const R: usize = ROWS> {
    /// Starts of the rows of the left operand.
    pub(super) rows: [*const f32; R],
    /// Length of these rows.
    pub(super) depth: usize,
    /// Start of the panel of the right operand.
    pub(super) right: *const f32,
}

/// Computes a block of `R` rows as a sum of products; the rows of the right operand are `width`
/// apart.
///
/// # Safety
/// All pointers are valid for the ranges that the sizes span; `width` is a multiple of [`LANES`]
/// and not below `to.columns`.
#[inline(always)]
pub(super) unsafe fn rows_times_panel<S: Simd, const R: usize>(
    simd: S,
    taps: usize,
    tap: impl Fn(usize) -> Tap<R>,
    width: usize,
    to: Destination,
) {
    let step = |from: usize| {
        let vectors = (to.columns - from).div_ceil(S::F32_LANES);
        vectors.min(widest::<S>())
    };
    let mut from = 0;
    while from < to.columns {
        let vectors = step(from);
        // SAFETY: a part of what the caller vouches for.
        unsafe {
            for_vectors!(vectors, N => {
                rows_times_vectors::<S, R, N>(simd, taps, &tap, width, from, to);
            });
        }
        from += vectors * S::F32_LANES;
    }
}

/// Computes a block of `left^T @ right`: `left(j)` returns a pointer to the block's columns in row
/// `j` of the left operand.
///
/// # Safety
/// As for [`rows_times_panel`].
#[inline(always)]
pub(super) unsafe fn columns_times_panel<S: Simd>(
    simd: S,
    depth: usize,
    left: impl Fn(usize) -> *const f32,
    right: *const f32,
    width: usize,
    to: Destination,
) {
    let mut from = 0;
    while from < to.columns {
        let vectors = (to.columns - from).div_ceil(S::F32_LANES);
        let vectors = vectors.min(widest::<S>());
        // SAFETY: a part of what the caller vouches for.
        unsafe {
            let right = right.add(from);
            for_vectors!(vectors, N => {
                let to = to.part::<S>(from, N);
                columns_times_vectors::<S, N>(simd, depth, &left, right, width, to);
            });
        }
        from += vectors * S::F32_LANES;
    }
}

#[inline(always)]
unsafe fn rows_times_vectors<S: Simd, const R: usize, const N: usize>(
    simd: S,
    taps: usize,
    tap: &impl Fn(usize) -> Tap<R>,
    width: usize,
    from: usize,
    to: Destination,
) {
    let mut sums = [[simd.splat_f32s(0.0); N]; R];
    for index in 0..taps {
        let Tap { rows, depth, right } = tap(index);
        let mut right = right.wrapping_add(from);
        for j in 0..depth {
            // SAFETY: the caller vouches for `depth` rows of both operands.
            unsafe {
                let mut vectors = [simd.splat_f32s(0.0); N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = load::<S>(right.add(n * S::F32_LANES));
                }
                for r in 0..R {
                    let value = simd.splat_f32s(*rows[r].add(j));
                    for n in 0..N {
                        sums[r][n] = simd.mul_add_e_f32s(value, vectors[n], sums[r][n]);
                    }
                }
                right = right.add(width);
            }
        }
    }
    // SAFETY: the destination is the caller's.
    unsafe { to.part::<S>(from, N).write::<S, R, N>(simd, sums) }
}

#[inline(always)]
unsafe fn columns_times_vectors<S: Simd, const N: usize>(
    simd: S,
    depth: usize,
    left: &impl Fn(usize) -> *const f32,
    mut right: *const f32,
    width: usize,
    to: Destination,
) {
    let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
    for j in 0..depth {
        let column = left(j);
        // SAFETY: the caller vouches for `depth` rows of both operands.
        unsafe {
            let mut vectors = [simd.splat_f32s(0.0); N];
            for (n, vector) in vectors.iter_mut().enumerate() {
                *vector = load::<S>(right.add(n * S::F32_LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*column.add(r));
                for n in 0..N {
                    sums[n] = simd.mul_add_e_f32s(value, vectors[n], sums[n]);
                }
            }
            right = right.add(width);
        }
    }
    // SAFETY: the destination is the caller's.
    unsafe { to.write::<S, ROWS, N>(simd, sums) }
}

impl Destination {
    /// The columns from `from` on that this number of vectors covers.
    #[inline(always)]
    fn part<S: Simd>(self, from: usize, vectors: usize) -> Self {
        Self {
            start: self.start.wrapping_add(from),
            columns: (self.columns - from).min(vectors * S::F32_LANES),
            ..self
        }
    }

    #[inline(always)]
    unsafe fn write<S: Simd, const R: usize, const N: usize>(
        self,
        simd: S,
        sums: [[S::f32s; N]; R],
    ) {
        if self.rows == R && self.columns == N * S::F32_LANES {
            for (r, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    // SAFETY: inside the destination, which is full.
                    unsafe {
                        let at = self.start.add(r * self.stride + n * S::F32_LANES);
                        let sum = if self.add { simd.add_f32s(sum, load::<S>(at)) } else { sum };
                        store::<S>(at, sum);
                    }
                }
            }
            return;
        }
        // All sums are stored at constant offsets: if one of them were indexed, all would be kept
        // in memory.
        let mut block = [0f32; ROWS * PANEL];
        for (r, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                // SAFETY: R rows are at most a block, and N vectors a panel.
                unsafe { store::<S>(block.as_mut_ptr().add(r * PANEL + n * S::F32_LANES), sum) };
            }
        }
        for (r, line) in block.chunks_exact(PANEL).enumerate().take(self.rows) {
            // SAFETY: inside the destination's rows and columns.
            let to = unsafe {
                std::slice::from_raw_parts_mut(self.start.add(r * self.stride), self.columns)
            };
            for (to, value) in to.iter_mut().zip(line) {
                *to = if self.add { *to + value } else { *value };
            }
        }
    }
}

/// Loads a vector from an unaligned address.
///
/// # Safety
/// The pointer is valid for a vector.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's promise; vectors of f32 hold any bits.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Loads a vector of `len` values; further lanes are zero and not read.
///
/// # Safety
/// The pointer is valid for `len` values.
#[inline(always)]
pub(super) unsafe fn load_some<S: Simd>(simd: S, from: *const f32, len: usize) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe {
        if len >= S::F32_LANES {
            load::<S>(from)
        } else {
            simd.partial_load_f32s(std::slice::from_raw_parts(from, len))
        }
    }
}

/// Stores a vector at an unaligned address.
///
/// # Safety
/// The pointer is valid for a vector that no other task accesses.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// Memory that tasks share; each writes its own part. It stays borrowed while any copy of this
/// exists.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a>(*mut f32, PhantomData<&'a mut [f32]>);

// SAFETY: tasks write disjoint parts, as stated at each use.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        Self(values.as_mut_ptr(), PhantomData)
    }

    #[inline(always)]
    pub(super) fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}
