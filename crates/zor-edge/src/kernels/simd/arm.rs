//! NEON.

use core::arch::aarch64::*;

use super::Rows;

#[inline]
#[target_feature(enable = "neon")]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // Rounded once, as in the vectors.
    vgetq_lane_f32::<0>(vfmaq_f32(vdupq_n_f32(c), vdupq_n_f32(a), vdupq_n_f32(b)))
}

f32_kernel!(
    f32_neon,
    f32_neon_block,
    f32_neon_few,
    "neon",
    4,
    vld1q_f32,
    vst1q_f32,
    vdupq_n_f32,
    |a, b, c| vfmaq_f32(c, a, b)
);

pub(crate) fn add_rows_f32(
    sums: &mut [f32],
    weights: &[f32],
    columns: (usize, usize),
    rows: Rows<'_>,
    values: &[f32],
) -> bool {
    if !cfg!(target_feature = "neon")
        || !super::fit(sums.len(), weights, columns, rows, values.len())
    {
        return false;
    }
    // SAFETY: NEON is enabled at compile time, and everything fits.
    unsafe {
        match rows {
            Rows::List(rows) => f32_neon(sums, weights, columns, rows, values),
            Rows::From(row) => f32_neon(sums, weights, columns, row, values),
        }
    }
    true
}
