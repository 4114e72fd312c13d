//! Sums of int8 products, four rows at a time.

use core::arch::x86_64::*;

use crate::kernels::simd::Index;

/// # Safety
/// The machine has AVX2, and [`fit`](super::super::fit) holds.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn i8_avx2(
    sums: &mut [i32],
    weights: &[i8],
    columns: (usize, usize),
    rows: impl Index,
    values: &[i8],
) {
    let mut at = 0;
    while at < values.len() {
        // SAFETY: the caller's promise.
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

/// Adds four rows of 32 columns, times the four bytes that are repeated in `signs`; the order of
/// columns is that of [`store_ordered`].
///
/// The bytes of four rows are interleaved column by column. `maddubs` multiplies signed by unsigned
/// bytes and adds neighbours, so the signs of the values are moved to the weights. The sum is at
/// most 2 * 127 * 127 = 32,258, which fits into 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_four(total: &mut [__m256i; 4], [a, b, c, d]: [__m256i; 4], signs: __m256i) {
    let (sizes, ones) = (_mm256_abs_epi8(signs), _mm256_set1_epi16(1));
    let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
    let fours = [
        _mm256_unpacklo_epi16(ab, cd),
        _mm256_unpackhi_epi16(ab, cd),
        _mm256_unpacklo_epi16(ab_high, cd_high),
        _mm256_unpackhi_epi16(ab_high, cd_high),
    ];
    let mut part = 0;
    while part < 4 {
        let pairs = _mm256_maddubs_epi16(sizes, _mm256_sign_epi8(fours[part], signs));
        total[part] = _mm256_add_epi32(total[part], _mm256_madd_epi16(pairs, ones));
        part += 1;
    }
}

/// Adds totals to sums. Each half of a vector has four neighbours, of columns 0 to 15 and 16 to 31.
///
/// # Safety
/// There are 32 sums.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_ordered(sums: *mut i32, total: [__m256i; 4]) {
    let ordered = [
        _mm256_permute2x128_si256(total[0], total[1], 0x20),
        _mm256_permute2x128_si256(total[2], total[3], 0x20),
        _mm256_permute2x128_si256(total[0], total[1], 0x31),
        _mm256_permute2x128_si256(total[2], total[3], 0x31),
    ];
    let mut part = 0;
    while part < 4 {
        // SAFETY: the caller's promise.
        unsafe {
            let place: *mut __m256i = sums.add(8 * part).cast();
            _mm256_storeu_si256(place, _mm256_add_epi32(_mm256_loadu_si256(place), ordered[part]));
        }
        part += 1;
    }
}

/// Adds four rows for each of `Q`; missing ones are the first row times zero.
///
/// # Safety
/// The machine has AVX2, [`fit`](super::super::fit) holds, and `at` is below the number of values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn i8_block<const Q: usize>(
    sums: &mut [i32],
    weights: &[i8],
    (columns, first): (usize, usize),
    rows: impl Index,
    values: &[i8],
    at: usize,
) {
    // SAFETY: by `fit`, every row, from `first` on, has as many weights as there are sums.
    unsafe {
        let there = |r: usize| if at + r < values.len() { at + r } else { at };
        let row = |r: usize| weights.as_ptr().add(rows.row(there(r)) * columns + first);
        let mut x = [[0i8; 4]; Q];
        if at + 4 * Q <= values.len() {
            x = values.as_ptr().add(at).cast::<[[i8; 4]; Q]>().read_unaligned();
        } else {
            let rest = values.get_unchecked(at..).iter();
            x.as_flattened_mut().iter_mut().zip(rest).for_each(|(x, value)| *x = *value);
        }
        let pointers: [[*const i8; 4]; Q] =
            core::array::from_fn(|q| core::array::from_fn(|r| row(4 * q + r)));
        let signs: [__m256i; Q] =
            core::array::from_fn(|q| _mm256_set1_epi32(i32::from_ne_bytes(x[q].map(|x| x as u8))));
        let sizes: [__m256i; Q] = core::array::from_fn(|q| _mm256_abs_epi8(signs[q]));
        let ones = _mm256_set1_epi16(1);
        let mut column = 0;
        while column + 32 <= sums.len() {
            let mut total = [_mm256_setzero_si256(); 4];
            let mut q = 0;
            while q < Q {
                let load = |r: usize| _mm256_loadu_si256(pointers[q][r].add(column).cast());
                add_four(&mut total, [load(0), load(1), load(2), load(3)], signs[q]);
                q += 1;
            }
            store_ordered(sums.as_mut_ptr().add(column), total);
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
