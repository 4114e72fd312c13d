//! The same with vector instructions: AVX-512 or AVX2 with FMA for f32, AVX2 for int8, NEON for f32 (for int8 plain loops compile to NEON).
//!
//! Several rows at a time: a vector of sums is loaded and stored once for 8 rows. Sums of f32 are added in the order of the rows
//! whatever the instructions, so that skipping silent rows changes no bit.

use super::Rows;

/// Whether sizes are such that no pointer of a kernel leaves its slice.
fn fit<T>(
    n: usize,
    weights: &[T],
    (columns, first): (usize, usize),
    rows: Rows<'_>,
    n_values: usize,
) -> bool {
    let inside = first.checked_add(n).is_some_and(|end| end <= columns) && columns > 0;
    inside && rows.are_below(n_values, weights.len() / columns.max(1))
}

/// `sums += values * rows` for `$rows` rows from `$at` on.
macro_rules! f32_kernel {
    ($name:ident, $block:ident, $feature:literal, $width:literal, $load:path, $store:path, $splat:path, $fma:expr) => {
        /// # Safety
        /// The machine has the instructions, and [`fit`] holds.
        #[target_feature(enable = $feature)]
        unsafe fn $name(
            sums: &mut [f32],
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: Rows<'_>,
            values: &[f32],
        ) {
            let mut at = 0;
            while at < values.len() {
                let left = values.len() - at;
                // SAFETY: as the caller says; `at` and as many rows behind it are below the number of values.
                unsafe {
                    at += match left {
                        8.. => $block::<8>(sums, weights, (columns, first), rows, values, at),
                        4.. => $block::<4>(sums, weights, (columns, first), rows, values, at),
                        2.. => $block::<2>(sums, weights, (columns, first), rows, values, at),
                        _ => $block::<1>(sums, weights, (columns, first), rows, values, at),
                    };
                }
            }
        }

        /// # Safety
        /// As above, and `at + R` values are there.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $block<const R: usize>(
            sums: &mut [f32],
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: Rows<'_>,
            values: &[f32],
            at: usize,
        ) -> usize {
            // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums.
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::Rows;

    #[inline]
    #[target_feature(enable = "fma")]
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        // Rounded once, as in the vectors.
        _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)))
    }

    f32_kernel!(
        f32_avx2,
        f32_avx2_block,
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
        "avx512f,avx2,fma",
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        |a, b, c| _mm512_fmadd_ps(a, b, c)
    );

    macro_rules! has {
        ($($feature:tt),+) => {{
            #[cfg(feature = "std")]
            let there = $(std::arch::is_x86_feature_detected!($feature))&&+;
            #[cfg(not(feature = "std"))]
            let there = $(cfg!(target_feature = $feature))&&+;
            there
        }};
    }

    pub(crate) fn add_rows_f32(
        sums: &mut [f32],
        weights: &[f32],
        columns: (usize, usize),
        rows: Rows<'_>,
        values: &[f32],
    ) -> bool {
        if !super::fit(sums.len(), weights, columns, rows, values.len()) || !has!("avx2", "fma") {
            return false;
        }
        // SAFETY: the instructions are there, and everything fits.
        unsafe {
            if has!("avx512f") {
                f32_avx512(sums, weights, columns, rows, values);
            } else {
                f32_avx2(sums, weights, columns, rows, values);
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
        if !super::fit(sums.len(), weights, columns, rows, values.len()) || !has!("avx2") {
            return false;
        }
        // SAFETY: the instructions are there, and everything fits.
        unsafe { i8_avx2(sums, weights, columns, rows, values) };
        true
    }

    /// # Safety
    /// The machine has AVX2, and [`super::fit`] holds.
    #[target_feature(enable = "avx2")]
    unsafe fn i8_avx2(
        sums: &mut [i32],
        weights: &[i8],
        columns: (usize, usize),
        rows: Rows<'_>,
        values: &[i8],
    ) {
        let mut at = 0;
        while at < values.len() {
            // SAFETY: as the caller says.
            unsafe {
                if values.len() - at > 4 {
                    i8_block::<2>(sums, weights, columns, rows, values, at);
                    at += 8;
                } else {
                    i8_block::<1>(sums, weights, columns, rows, values, at);
                    at += 4;
                }
            }
        }
    }

    /// Four rows for each of `Q`; where there are no more, the first once more, times zero.
    ///
    /// Bytes of four rows are put side by side, column by column. `maddubs` multiplies bytes with a sign by bytes without one and adds
    /// neighbours: the values lend their sign to the weights. At most 2 * 127 * 127 = 32,258, which 16 bits hold.
    ///
    /// # Safety
    /// The machine has AVX2, [`super::fit`] holds, and `at` is below the number of values.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn i8_block<const Q: usize>(
        sums: &mut [i32],
        weights: &[i8],
        (columns, first): (usize, usize),
        rows: Rows<'_>,
        values: &[i8],
        at: usize,
    ) {
        // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums.
        unsafe {
            let value = |r: usize| values.get(at + r).copied().unwrap_or(0);
            let row = |r: usize| {
                let there = if at + r < values.len() { at + r } else { at };
                weights.as_ptr().add(rows.row(there) * columns + first)
            };
            let x: [[i8; 4]; Q] =
                core::array::from_fn(|q| core::array::from_fn(|r| value(4 * q + r)));
            let pointers: [[*const i8; 4]; Q] =
                core::array::from_fn(|q| core::array::from_fn(|r| row(4 * q + r)));
            let signs: [__m256i; Q] = core::array::from_fn(|q| {
                _mm256_set1_epi32(i32::from_ne_bytes(x[q].map(|x| x as u8)))
            });
            let sizes: [__m256i; Q] = core::array::from_fn(|q| _mm256_abs_epi8(signs[q]));
            let ones = _mm256_set1_epi16(1);
            let mut column = 0;
            while column + 32 <= sums.len() {
                let mut total = [_mm256_setzero_si256(); 4];
                let mut q = 0;
                while q < Q {
                    let load = |r: usize| _mm256_loadu_si256(pointers[q][r].add(column).cast());
                    let (a, b, c, d) = (load(0), load(1), load(2), load(3));
                    let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
                    let (ab_high, cd_high) =
                        (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
                    let fours = [
                        _mm256_unpacklo_epi16(ab, cd),
                        _mm256_unpackhi_epi16(ab, cd),
                        _mm256_unpacklo_epi16(ab_high, cd_high),
                        _mm256_unpackhi_epi16(ab_high, cd_high),
                    ];
                    let mut part = 0;
                    while part < 4 {
                        let signed = _mm256_sign_epi8(fours[part], signs[q]);
                        let pairs = _mm256_maddubs_epi16(sizes[q], signed);
                        total[part] = _mm256_add_epi32(total[part], _mm256_madd_epi16(pairs, ones));
                        part += 1;
                    }
                    q += 1;
                }
                // Each half of a vector has four neighbours, of columns 0 to 15 and 16 to 31.
                let ordered = [
                    _mm256_permute2x128_si256(total[0], total[1], 0x20),
                    _mm256_permute2x128_si256(total[2], total[3], 0x20),
                    _mm256_permute2x128_si256(total[0], total[1], 0x31),
                    _mm256_permute2x128_si256(total[2], total[3], 0x31),
                ];
                let mut part = 0;
                while part < 4 {
                    let place: *mut __m256i = sums.as_mut_ptr().add(column + 8 * part).cast();
                    _mm256_storeu_si256(
                        place,
                        _mm256_add_epi32(_mm256_loadu_si256(place), ordered[part]),
                    );
                    part += 1;
                }
                column += 32;
            }
            while column + 16 <= sums.len() {
                let mut total = [_mm_setzero_si128(); 4];
                let mut q = 0;
                while q < Q {
                    let load = |r: usize| _mm_loadu_si128(pointers[q][r].add(column).cast());
                    let (a, b, c, d) = (load(0), load(1), load(2), load(3));
                    let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
                    let (ab_high, cd_high) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
                    let fours = [
                        _mm_unpacklo_epi16(ab, cd),
                        _mm_unpackhi_epi16(ab, cd),
                        _mm_unpacklo_epi16(ab_high, cd_high),
                        _mm_unpackhi_epi16(ab_high, cd_high),
                    ];
                    let (sign, size) =
                        (_mm256_castsi256_si128(signs[q]), _mm256_castsi256_si128(sizes[q]));
                    let mut part = 0;
                    while part < 4 {
                        let pairs = _mm_maddubs_epi16(size, _mm_sign_epi8(fours[part], sign));
                        let products = _mm_madd_epi16(pairs, _mm256_castsi256_si128(ones));
                        total[part] = _mm_add_epi32(total[part], products);
                        part += 1;
                    }
                    q += 1;
                }
                let mut part = 0;
                while part < 4 {
                    let place: *mut __m128i = sums.as_mut_ptr().add(column + 4 * part).cast();
                    _mm_storeu_si128(place, _mm_add_epi32(_mm_loadu_si128(place), total[part]));
                    part += 1;
                }
                column += 16;
            }
            while column < sums.len() {
                let mut sum = 0;
                for (x, pointers) in x.iter().zip(&pointers) {
                    for (x, pointer) in x.iter().zip(pointers) {
                        sum += i32::from(*x) * i32::from(*pointer.add(column));
                    }
                }
                *sums.get_unchecked_mut(column) += sum;
                column += 1;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{add_rows_f32, add_rows_i8};

#[cfg(target_arch = "aarch64")]
mod arm {
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
        // SAFETY: NEON was compiled for, and everything fits.
        unsafe { f32_neon(sums, weights, columns, rows, values) };
        true
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use arm::add_rows_f32;
