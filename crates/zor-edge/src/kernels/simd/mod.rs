//! Sums of rows with vector instructions: AVX-512 or AVX2 with FMA for f32, AVX2 for int8, NEON for
//! f32 (for int8 the portable loops compile to NEON).
//!
//! Several rows at a time: a vector of sums is loaded and stored once per 8 rows. Sums of f32 are
//! added in the order of the rows with all instruction sets, so that skipping zero inputs changes
//! no bit.

use super::Rows;

/// True if no pointer of a kernel leaves its slice.
fn fit<T>(
    n: usize,
    weights: &[T],
    (columns, first): (usize, usize),
    rows: Rows<'_>,
    n_values: usize,
) -> bool {
    let inside = first.checked_add(n).is_some_and(|end| end <= columns);
    let end = rows.end(n_values).and_then(|end| end.checked_mul(columns));
    inside && end.is_some_and(|end| end <= weights.len())
}

/// The row of weights that the value at an index multiplies.
trait Index: Copy {
    /// # Safety
    /// The index is below the number of values, and [`fit`] holds.
    unsafe fn row(self, at: usize) -> usize;
}

impl Index for &[u32] {
    #[inline(always)]
    unsafe fn row(self, at: usize) -> usize {
        // SAFETY: the caller's promise; a list is as long as the values.
        unsafe { *self.get_unchecked(at) as usize }
    }
}

impl Index for usize {
    #[inline(always)]
    unsafe fn row(self, at: usize) -> usize {
        self + at
    }
}

/// `sums += values * rows`: for many columns eight rows at a time; for few, all rows at once with
/// the sums in registers.
macro_rules! f32_kernel {
    ($name:ident, $block:ident, $few:ident, $feature:literal, $width:literal, $load:path, $store:path, $splat:path, $fma:expr) => {
        /// # Safety
        /// The machine has the instructions, and [`fit`] holds.
        #[target_feature(enable = $feature)]
        unsafe fn $name(
            sums: &mut [f32],
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: impl super::Index,
            values: &[f32],
        ) {
            // SAFETY: the caller's promise; all indices are below the number of values.
            unsafe {
                let mut done = 0;
                if sums.len() <= 16 * $width {
                    while done + 8 * $width <= sums.len() {
                        let sums = sums.as_mut_ptr().add(done);
                        $few::<8>(sums, weights, (columns, first + done), rows, values);
                        done += 8 * $width;
                    }
                    if done + 4 * $width <= sums.len() {
                        let sums = sums.as_mut_ptr().add(done);
                        $few::<4>(sums, weights, (columns, first + done), rows, values);
                        done += 4 * $width;
                    }
                }
                let (sums, columns) = (sums.get_unchecked_mut(done..), (columns, first + done));
                let mut at = 0;
                while at < values.len() && !sums.is_empty() {
                    at += match values.len() - at {
                        8.. => $block::<8>(sums, weights, columns, rows, values, at),
                        4.. => $block::<4>(sums, weights, columns, rows, values, at),
                        2.. => $block::<2>(sums, weights, columns, rows, values, at),
                        _ => $block::<1>(sums, weights, columns, rows, values, at),
                    };
                }
            }
        }

        /// # Safety
        /// As above, and there are `P` vectors of sums.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $few<const P: usize>(
            place: *mut f32,
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: impl super::Index,
            values: &[f32],
        ) {
            // SAFETY: by `fit`, every row, from `first` on, has as many weights as there are sums.
            unsafe {
                let mut sums: [_; P] = core::array::from_fn(|part| $load(place.add($width * part)));
                let mut at = 0;
                while at < values.len() {
                    let row = weights.as_ptr().add(rows.row(at) * columns + first);
                    let x = $splat(*values.get_unchecked(at));
                    let mut part = 0;
                    while part < P {
                        sums[part] = $fma(x, $load(row.add($width * part)), sums[part]);
                        part += 1;
                    }
                    at += 1;
                }
                let mut part = 0;
                while part < P {
                    $store(place.add($width * part), sums[part]);
                    part += 1;
                }
            }
        }

        /// # Safety
        /// As above, and there are at least `at + R` values.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $block<const R: usize>(
            sums: &mut [f32],
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: impl super::Index,
            values: &[f32],
            at: usize,
        ) -> usize {
            // SAFETY: by `fit`, every row, from `first` on, has as many weights as there are sums.
            unsafe {
                let row = |r: usize| weights.as_ptr().add(rows.row(at + r) * columns + first);
                let pointers: [*const f32; R] = core::array::from_fn(row);
                let x: [f32; R] = core::array::from_fn(|r| *values.get_unchecked(at + r));
                let factors: [_; R] = core::array::from_fn(|r| $splat(x[r]));
                let mut column = 0;
                while column + $width <= sums.len() {
                    let place = sums.as_mut_ptr().add(column);
                    let mut sum = $load(place);
                    let mut r = 0;
                    while r < R {
                        sum = $fma(factors[r], $load(pointers[r].add(column)), sum);
                        r += 1;
                    }
                    $store(place, sum);
                    column += $width;
                }
                while column < sums.len() {
                    let sum = sums.get_unchecked_mut(column);
                    let mut r = 0;
                    while r < R {
                        *sum = fused(x[r], *pointers[r].add(column), *sum);
                        r += 1;
                    }
                    column += 1;
                }
            }
            R
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(super) use arm::*;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::*;
