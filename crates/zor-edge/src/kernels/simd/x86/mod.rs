//! AVX-512 and AVX2, detected at run time, or, without `std`, at compile time.

/// True if the machine has all of these features.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let there = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let there = $(cfg!(target_feature = $feature))&&+;
        there
    }};
}

mod inspect;
mod int8;
mod scan;

use core::arch::x86_64::*;

pub(crate) use inspect::{active_f32, active_i8, gather_f32, gather_i8, quantize};
use int8::i8_avx2;
pub(crate) use scan::{scan_f32, scan_i8, scans_f32, scans_i8};

use super::{Rows, fit};

#[inline]
#[target_feature(enable = "fma")]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // Rounded once, as in the vectors.
    _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)))
}

f32_kernel!(
    f32_avx2,
    f32_avx2_block,
    f32_avx2_few,
    "avx2,fma",
    8,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    |a, b, c| _mm256_fmadd_ps(a, b, c)
);
f32_kernel!(
    f32_avx512,
    f32_avx512_block,
    f32_avx512_few,
    "avx512f,avx2,fma",
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    |a, b, c| _mm512_fmadd_ps(a, b, c)
);

pub(crate) fn add_rows_f32(
    sums: &mut [f32],
    weights: &[f32],
    columns: (usize, usize),
    rows: Rows<'_>,
    values: &[f32],
) -> bool {
    if !fit(sums.len(), weights, columns, rows, values.len()) || !has!("avx2", "fma") {
        return false;
    }
    // SAFETY: the instructions are available, and everything fits.
    unsafe {
        match (rows, has!("avx512f")) {
            (Rows::List(rows), true) => f32_avx512(sums, weights, columns, rows, values),
            (Rows::From(row), true) => f32_avx512(sums, weights, columns, row, values),
            (Rows::List(rows), false) => f32_avx2(sums, weights, columns, rows, values),
            (Rows::From(row), false) => f32_avx2(sums, weights, columns, row, values),
        }
    }
    true
}

pub(crate) fn add_rows_i8(
    sums: &mut [i32],
    weights: &[i8],
    columns: (usize, usize),
    rows: Rows<'_>,
    values: &[i8],
) -> bool {
    if !fit(sums.len(), weights, columns, rows, values.len()) || !has!("avx2") {
        return false;
    }
    // SAFETY: the instructions are available, and everything fits.
    unsafe {
        match rows {
            Rows::List(rows) => i8_avx2(sums, weights, columns, rows, values),
            Rows::From(row) => i8_avx2(sums, weights, columns, row, values),
        }
    }
    true
}
