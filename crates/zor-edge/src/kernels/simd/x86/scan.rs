//! Layers with few columns: their sums stay in registers while the inputs are looked through, 64 at a time, and what is not silent is never listed.
//!
//! The bits of the next 64 are found before those of the last are gone through: where these end is guessed wrong each time, and the time until it is
//! known would be added up otherwise.

use core::arch::x86_64::*;

use super::int8::{add_four, store_ordered};
use super::look::{bits_f32, bits_i8};
use crate::kernels::simd::fit;
use crate::kernels::{Rows, SCANNED};

/// `sums += values * rows` for the values that are not silent, which are looked for 64 at a time and never listed: `P` vectors of sums stay in registers.
macro_rules! f32_scan {
    ($name:ident, $feature:literal, $width:literal, $load:path, $store:path, $splat:path, $fma:expr) => {
        /// # Safety
        /// The machine has the instructions, `fit` holds, and there are `P` vectors of sums.
        #[target_feature(enable = $feature)]
        unsafe fn $name<const P: usize>(
            sums: *mut f32,
            weights: &[f32],
            (columns, first): (usize, usize),
            first_row: usize,
            inputs: &[f32],
        ) {
            // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums; bits are those of inputs.
            unsafe {
                let mut total: [_; P] = core::array::from_fn(|part| $load(sums.add($width * part)));
                let (mut at, mut next) = (0, bits_f32(inputs, 0));
                while at < inputs.len() {
                    let (mut bits, after) = (next, inputs.len() - at);
                    next = if after > 64 { bits_f32(inputs, at + 64) } else { 0 };
                    let inputs = inputs.as_ptr().add(at);
                    let rows = weights.as_ptr().add((first_row + at) * columns + first);
                    let mut add = |row: *const f32, input: *const f32| {
                        let x = $splat(*input);
                        let mut part = 0;
                        while part < P {
                            total[part] = $fma(x, $load(row.add($width * part)), total[part]);
                            part += 1;
                        }
                    };
                    if bits == u64::MAX {
                        // One after the other: 64 that are known to be there.
                        let (mut row, mut input, end) = (rows, inputs, inputs.add(64));
                        while input != end {
                            add(row, input);
                            (row, input) = (row.wrapping_add(columns), input.add(1));
                        }
                        bits = 0;
                    }
                    // Two in a round: the second's row is on its way while the first is added.
                    while bits & bits.wrapping_sub(1) != 0 {
                        let place = bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        let after = bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        add(rows.add(place * columns), inputs.add(place));
                        add(rows.add(after * columns), inputs.add(after));
                    }
                    if bits != 0 {
                        let place = bits.trailing_zeros() as usize;
                        add(rows.add(place * columns), inputs.add(place));
                    }
                    at += 64;
                }
                let mut part = 0;
                while part < P {
                    $store(sums.add($width * part), total[part]);
                    part += 1;
                }
            }
        }
    };
}

f32_scan!(
    f32_scan_avx2,
    "avx2,fma,bmi1",
    8,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    |a, b, c| _mm256_fmadd_ps(a, b, c)
);
f32_scan!(
    f32_scan_avx512,
    "avx512f,avx2,fma,bmi1",
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    |a, b, c| _mm512_fmadd_ps(a, b, c)
);

fn are_scanned(columns: usize) -> bool {
    columns.is_multiple_of(32) && columns <= 2 * SCANNED
}

fn is_tile(sums: usize) -> bool {
    sums == SCANNED || sums == SCANNED / 2
}

pub(crate) fn scans_f32(columns: usize) -> bool {
    are_scanned(columns) && has!("avx2", "fma", "bmi1")
}

pub(crate) fn scans_i8(columns: usize) -> bool {
    are_scanned(columns) && has!("avx2", "bmi1")
}

pub(crate) fn scan_f32(
    sums: &mut [f32],
    weights: &[f32],
    columns: (usize, usize),
    first_row: usize,
    inputs: &[f32],
) -> bool {
    let fits = fit(sums.len(), weights, columns, Rows::From(first_row), inputs.len());
    if !(fits && is_tile(sums.len()) && scans_f32(sums.len())) {
        return false;
    }
    let place = sums.as_mut_ptr();
    // SAFETY: the instructions are there, everything fits, and there are 64 sums or 32.
    unsafe {
        match (has!("avx512f"), sums.len()) {
            (true, 64) => f32_scan_avx512::<4>(place, weights, columns, first_row, inputs),
            (true, _) => f32_scan_avx512::<2>(place, weights, columns, first_row, inputs),
            (_, 64) => f32_scan_avx2::<8>(place, weights, columns, first_row, inputs),
            _ => f32_scan_avx2::<4>(place, weights, columns, first_row, inputs),
        }
    }
    true
}

pub(crate) fn scan_i8(
    sums: &mut [i32],
    weights: &[i8],
    columns: (usize, usize),
    first_row: usize,
    inputs: &[i8],
) -> bool {
    let fits = fit(sums.len(), weights, columns, Rows::From(first_row), inputs.len());
    if !(fits && is_tile(sums.len()) && scans_i8(sums.len())) {
        return false;
    }
    let place = sums.as_mut_ptr();
    // SAFETY: the instructions are there, everything fits, and there are 64 sums or 32.
    unsafe {
        match sums.len() {
            64 => i8_scan::<2>(place, weights, columns, first_row, inputs),
            _ => i8_scan::<1>(place, weights, columns, first_row, inputs),
        }
    }
    true
}

/// As for f32, four events at a time; where there are no more, the first of 64 once more, times zero. `S` times 32 columns.
///
/// # Safety
/// The machine has the instructions, [`fit`] holds, and there are `32 S` sums.
#[target_feature(enable = "avx2,bmi1")]
unsafe fn i8_scan<const S: usize>(
    sums: *mut i32,
    weights: &[i8],
    (columns, first): (usize, usize),
    first_row: usize,
    inputs: &[i8],
) {
    // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums; bits are those of inputs.
    unsafe {
        let mut total = [[_mm256_setzero_si256(); 4]; S];
        let (mut at, mut next) = (0, bits_i8(inputs, 0));
        while at < inputs.len() {
            let (mut bits, after) = (next, inputs.len() - at);
            next = if after > 64 { bits_i8(inputs, at + 64) } else { 0 };
            let inputs = inputs.as_ptr().add(at);
            let rows = weights.as_ptr().add((first_row + at) * columns + first);
            while bits != 0 {
                let mut x = [0u8; 4];
                let mut pointers = [rows; 4];
                let mut event = 0;
                while event < 4 {
                    let place = (bits.trailing_zeros() & 63) as usize;
                    let there = u8::from(bits == 0).wrapping_sub(1);
                    x[event] = *inputs.add(place) as u8 & there;
                    pointers[event] = rows.add(place * columns);
                    bits &= bits.wrapping_sub(1);
                    event += 1;
                }
                let signs = _mm256_set1_epi32(i32::from_ne_bytes(x));
                let mut stripe = 0;
                while stripe < S {
                    let row = |r: usize| {
                        let row: *const i8 = pointers[r].add(32 * stripe);
                        _mm256_loadu_si256(row.cast())
                    };
                    add_four(&mut total[stripe], [row(0), row(1), row(2), row(3)], signs);
                    stripe += 1;
                }
            }
            at += 64;
        }
        let mut stripe = 0;
        while stripe < S {
            store_ordered(sums.add(32 * stripe), total[stripe]);
            stripe += 1;
        }
    }
}
