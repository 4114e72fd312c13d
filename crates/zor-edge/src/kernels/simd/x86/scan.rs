//! Layers with few columns: their sums stay in registers while the inputs are scanned for values
//! that are not zero, 64 at a time.
//!
//! The mask of the next 64 inputs is computed before the rows of the last are added: the end of
//! each loop over a mask is mispredicted, and computing the mask afterwards would add to the delay.
//!
//! Consecutive rows load from memory several times as fast as scattered ones, because the hardware
//! prefetches them. A program cannot see what is in a cache, only how long a load took. If the
//! first 64 inputs took long, and enough rows are needed for it to pay, all following rows are
//! added, those of zero inputs times zero. If few rows are needed, they are listed, and all are
//! prefetched before the first is added. The sums are the same. This is done for f32 only: rows of
//! int8 are too short for the resolution of the clock, and a list would cost a quarter of the time
//! if nothing has to be loaded from memory.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::add_rows_f32;
use super::inspect::{bits_f32, bits_i8};
use super::int8::{add_four, store_ordered};
use crate::kernels::simd::fit;
use crate::kernels::{Rows, SCANNED};

/// `sums += values * rows` for the values that are not zero, detected 64 at a time; `P` vectors of
/// sums stay in registers. `LIST` is for few events, see [`list`].
macro_rules! f32_scan {
    ($name:ident, $feature:literal, $width:literal, $load:path, $store:path, $splat:path, $fma:expr) => {
        /// # Safety
        /// The machine has the instructions, `fit` holds, and there are `P` vectors of sums.
        #[target_feature(enable = $feature)]
        unsafe fn $name<const P: usize, const LIST: bool>(
            sums: *mut f32,
            weights: &[f32],
            (columns, first): (usize, usize),
            first_row: usize,
            inputs: &[f32],
        ) {
            // SAFETY: by `fit`, every row, from `first` on, has as many weights as there are sums;
            // bits belong to inputs.
            unsafe {
                let mut total: [_; P] = core::array::from_fn(|part| $load(sums.add($width * part)));
                let mut add = |row: *const f32, input: *const f32| {
                    let x = $splat(*input);
                    let mut part = 0;
                    while part < P {
                        total[part] = $fma(x, $load(row.add($width * part)), total[part]);
                        part += 1;
                    }
                };
                let mut places = [MaybeUninit::uninit(); LISTED];
                let mut at = 0;
                while LIST && at < inputs.len() {
                    let inputs = inputs.get_unchecked(at..inputs.len().min(at + LISTED));
                    let rows = weights.as_ptr().add((first_row + at) * columns + first);
                    let bits = |at| bits_f32(inputs, at);
                    for place in list(inputs.len(), bits, (rows, columns, $width * P), &mut places)
                    {
                        let place = usize::from(*place);
                        add(rows.add(place * columns), inputs.as_ptr().add(place));
                    }
                    at += LISTED;
                }
                let mut next = if LIST { 0 } else { bits_f32(inputs, 0) };
                while at < inputs.len() {
                    let (mut bits, after) = (next, inputs.len() - at);
                    next = if after > 64 { bits_f32(inputs, at + 64) } else { 0 };
                    let inputs = inputs.as_ptr().add(at);
                    let rows = weights.as_ptr().add((first_row + at) * columns + first);
                    if bits == u64::MAX {
                        // All 64 consecutive rows.
                        let (mut row, mut input, end) = (rows, inputs, inputs.add(64));
                        while input != end {
                            add(row, input);
                            (row, input) = (row.wrapping_add(columns), input.add(1));
                        }
                        bits = 0;
                    }
                    // Two per iteration: the row of the second is loaded while the first is added.
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

/// Maximum number of inputs that are listed at once.
const LISTED: usize = 1024;

/// Returns the indices of the inputs that are not zero, of at most [`LISTED`], and prefetches
/// `width` columns of their rows. Many loads from memory are then in flight at the same time. They
/// go to the L2 cache, which has more room for outstanding loads than the L1 cache.
///
/// # Safety
/// `bits` returns a mask of the inputs that are not zero, of 64 from an index on; each input has a
/// row. The caller has BMI1.
#[inline(always)]
unsafe fn list(
    inputs: usize,
    bits: impl Fn(usize) -> u64,
    (rows, columns, width): (*const f32, usize, usize),
    places: &mut [MaybeUninit<u16>; LISTED],
) -> &[u16] {
    let (mut n, mut at, mut next) = (0, 0, bits(0));
    while at < inputs {
        let mut these = next;
        next = if inputs - at > 64 { bits(at + 64) } else { 0 };
        while these != 0 {
            let place = at + these.trailing_zeros() as usize;
            these &= these - 1;
            // SAFETY: there are at most as many indices as inputs, and each has a row.
            unsafe {
                places.get_unchecked_mut(n).write(place as u16);
                let row: *const i8 = rows.add(place * columns).cast();
                let mut byte = 0;
                while byte < 4 * width {
                    _mm_prefetch::<_MM_HINT_T1>(row.add(byte));
                    byte += 64;
                }
            }
            n += 1;
        }
        at += 64;
    }
    // SAFETY: the first `n` were written.
    unsafe { core::slice::from_raw_parts(places.as_ptr().cast(), n) }
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
    let (place, width) = (sums.as_mut_ptr(), sums.len());
    let add = |inputs: &[f32], from: usize, few: bool| {
        let kernel = match (has!("avx512f"), width == SCANNED, few) {
            (true, true, false) => f32_scan_avx512::<4, false>,
            (true, true, true) => f32_scan_avx512::<4, true>,
            (true, false, false) => f32_scan_avx512::<2, false>,
            (true, false, true) => f32_scan_avx512::<2, true>,
            (false, true, false) => f32_scan_avx2::<8, false>,
            (false, true, true) => f32_scan_avx2::<8, true>,
            (false, false, false) => f32_scan_avx2::<4, false>,
            (false, false, true) => f32_scan_avx2::<4, true>,
        };
        // SAFETY: the instructions are available, everything fits, and there are 64 sums or 32.
        unsafe { kernel(place, weights, columns, first_row + from, inputs) };
    };
    // SAFETY: AVX2 is available.
    let active_from = |at| unsafe { bits_f32(inputs, at) }.count_ones();
    // Sampled in the middle: images are often dark at the edge.
    let active = active_from(inputs.len() / 2);
    match inputs.split_at_checked(64) {
        Some((head, rest)) if active > PAYS_FROM && active < 64 => {
            let start = clock();
            add(head, 0, false);
            let ticks = clock().saturating_sub(start);
            let added = active_from(0);
            // From a cache, a row takes less than half of this; from memory, more than twice as
            // much. For few rows the clock is too coarse.
            let long = u64::from(added) * (10 + width as u64 / 2);
            if added > FEW && ticks > long {
                return add_rows_f32(sums, weights, columns, Rows::From(first_row + 64), rest);
            }
            add(rest, 64, false);
        }
        _ => add(inputs, 0, inputs.len() >= 64 && active <= FEW),
    }
    true
}

/// Number of scattered rows, of 64 in memory, whose loads take as long as those of all 64
/// consecutive rows.
const PAYS_FROM: u32 = 24;

/// Maximum number of rows, of 64, for which a list pays.
const FEW: u32 = 20;

/// Time-stamp counter; a few ticks are a nanosecond.
fn clock() -> u64 {
    // SAFETY: every x86-64 machine has both; the first waits for all pending loads.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
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
    // SAFETY: the instructions are available, everything fits, and there are 64 sums or 32.
    unsafe {
        match sums.len() {
            64 => i8_scan::<2>(place, weights, columns, first_row, inputs),
            _ => i8_scan::<1>(place, weights, columns, first_row, inputs),
        }
    }
    true
}

/// The scan for int8, four events at a time; missing ones are the first of 64 times zero. There are
/// `S` times 32 columns.
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
    // SAFETY: by `fit`, every row, from `first` on, has as many weights as there are sums; bits
    // belong to inputs.
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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    type Kernel = unsafe fn(*mut f32, &[f32], (usize, usize), usize, &[f32]);

    #[test]
    fn needless_rows_and_lists_change_no_sum() {
        if !scans_f32(64) {
            return;
        }
        const N: usize = LISTED + 76;
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let weights: Vec<f32> = (0..64 * N).map(|_| noise()).collect();
        for loudest in [-2.0, 0.0, 0.8, 2.0] {
            let value = |value: f32| if value > loudest { value } else { 0.0 };
            let inputs: Vec<f32> = (0..N).map(|_| value(noise())).collect();
            for n in [1, 63, 64, 65, 128, 150, LISTED, LISTED + 1, N] {
                let (weights, inputs) = (&weights[..64 * n], &inputs[..n]);
                // SAFETY: the instructions are available, there are rows of 64 for all inputs, and
                // 64 sums.
                let sums = |kernel: Kernel| unsafe {
                    let mut sums = [0.5; 64];
                    kernel(sums.as_mut_ptr(), weights, (64, 0), 0, inputs);
                    sums.map(f32::to_bits)
                };
                let expected = sums(f32_scan_avx2::<8, false>);
                assert_eq!(sums(f32_scan_avx2::<8, true>), expected, "{n} inputs, listed");
                if has!("avx512f") {
                    assert_eq!(sums(f32_scan_avx512::<4, false>), expected, "{n} inputs");
                    assert_eq!(sums(f32_scan_avx512::<4, true>), expected, "{n} inputs, listed");
                }
                let mut all = [0.5; 64];
                assert!(add_rows_f32(&mut all, weights, (64, 0), Rows::From(0), inputs));
                assert_eq!(all.map(f32::to_bits), expected, "{n} inputs, all of them");
            }
        }
    }
}
