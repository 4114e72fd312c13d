//! Inspection of inputs: counting and gathering those that are not zero, and quantizing to int8.

use core::arch::x86_64::*;

use crate::kernels::{Number, ROOM, gather_plainly};

pub(crate) fn active_f32(values: &[f32]) -> usize {
    // SAFETY: AVX2 is available, or else SSE2, which every x86-64 machine has.
    unsafe { if has!("avx2") { active_f32_avx2(values) } else { active_f32_sse2(values) } }
}

pub(crate) fn active_i8(values: &[i8]) -> usize {
    // SAFETY: as above.
    unsafe { active_i8_sse2(values) }
}

#[target_feature(enable = "avx2")]
fn active_f32_avx2(values: &[f32]) -> usize {
    let (parts, rest) = values.as_chunks::<16>();
    let zero = _mm256_setzero_ps();
    let mut counters = [_mm256_setzero_si256(); 2];
    for part in parts {
        // SAFETY: there are sixteen values.
        let (low, high) =
            unsafe { (_mm256_loadu_ps(part.as_ptr()), _mm256_loadu_ps(part.as_ptr().add(8))) };
        let active = |eight| _mm256_castps_si256(_mm256_cmp_ps::<_CMP_NEQ_UQ>(eight, zero));
        counters = [
            _mm256_sub_epi32(counters[0], active(low)),
            _mm256_sub_epi32(counters[1], active(high)),
        ];
    }
    let mut lanes = [0u32; 8];
    // SAFETY: there is room for a vector.
    unsafe {
        _mm256_storeu_si256(lanes.as_mut_ptr().cast(), _mm256_add_epi32(counters[0], counters[1]))
    };
    lanes.iter().sum::<u32>() as usize + rest.iter().filter(|value| **value != 0.0).count()
}

/// A lane of `true` is -1, so lanes are subtracted from counters.
#[target_feature(enable = "sse2")]
fn active_f32_sse2(values: &[f32]) -> usize {
    let (fours, rest) = values.as_chunks::<4>();
    // SAFETY: there are four values.
    let mask =
        |four: &[f32; 4]| unsafe { _mm_cmpneq_ps(_mm_loadu_ps(four.as_ptr()), _mm_setzero_ps()) };
    let counters = fours.iter().fold(_mm_setzero_si128(), |counters, four| {
        _mm_sub_epi32(counters, _mm_castps_si128(mask(four)))
    });
    let mut lanes = [0u32; 4];
    // SAFETY: there is room for a vector.
    unsafe { _mm_storeu_si128(lanes.as_mut_ptr().cast(), counters) };
    lanes.iter().sum::<u32>() as usize + rest.iter().filter(|value| **value != 0.0).count()
}

#[target_feature(enable = "sse2")]
fn active_i8_sse2(values: &[i8]) -> usize {
    let (parts, rest) = values.as_chunks::<16>();
    let zero = _mm_setzero_si128();
    let mut silent = 0;
    // Counters are bytes.
    for parts in parts.chunks(255) {
        let counters = parts.iter().fold(zero, |counters, part| {
            // SAFETY: there are sixteen values.
            let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
            _mm_sub_epi8(counters, _mm_cmpeq_epi8(part, zero))
        });
        let halves = _mm_sad_epu8(counters, zero);
        silent += (_mm_cvtsi128_si64(halves)
            + _mm_cvtsi128_si64(_mm_unpackhi_epi64(halves, halves))) as usize;
    }
    16 * parts.len() - silent + rest.iter().filter(|value| **value != 0).count()
}

/// Indices of the set bits of every mask of eight, in order.
static PLACES: [[u8; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut n, mut bit) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                all[mask][n] = bit as u8;
                n += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    all
};

/// True if there is room for as many events as inputs, and for [`ROOM`] further values.
fn has_room(inputs: usize, values: usize, rows: usize) -> bool {
    inputs + ROOM <= values && inputs + ROOM <= rows
}

pub(crate) fn gather_f32(
    inputs: &[f32],
    first_row: usize,
    values: &mut [f32],
    rows: &mut [u32],
) -> Option<usize> {
    if !has_room(inputs.len(), values.len(), rows.len()) || !has!("avx2", "popcnt") {
        return None;
    }
    // SAFETY: the instructions and the room are available.
    Some(unsafe { gather_f32_avx2(inputs, first_row, values, rows) })
}

pub(crate) fn gather_i8(
    inputs: &[i8],
    first_row: usize,
    values: &mut [i8],
    rows: &mut [u32],
) -> Option<usize> {
    if !has_room(inputs.len(), values.len(), rows.len()) || !has!("avx2", "popcnt") {
        return None;
    }
    // SAFETY: the instructions and the room are available.
    Some(unsafe { gather_i8_avx2(inputs, first_row, values, rows) })
}

/// Eight inputs at a time: those that are not zero are moved together, and all eight are written at
/// the place of the next event.
///
/// # Safety
/// The machine has AVX2, and [`has_room`] holds.
#[target_feature(enable = "avx2,popcnt")]
unsafe fn gather_f32_avx2(
    inputs: &[f32],
    first_row: usize,
    values: &mut [f32],
    rows: &mut [u32],
) -> usize {
    let (mut n, mut at) = (0, 0);
    let mut from = _mm256_set1_epi32(first_row as i32);
    while at + 8 <= inputs.len() {
        // SAFETY: there are eight inputs, and after n of at most `at` events there is room for
        // eight.
        unsafe {
            let eight = _mm256_loadu_ps(inputs.as_ptr().add(at));
            let active = _mm256_cmp_ps::<_CMP_NEQ_UQ>(eight, _mm256_setzero_ps());
            let mask = _mm256_movemask_ps(active) as u8;
            let places = _mm_loadl_epi64(PLACES[usize::from(mask)].as_ptr().cast());
            let places = _mm256_cvtepu8_epi32(places);
            _mm256_storeu_si256(rows.as_mut_ptr().add(n).cast(), _mm256_add_epi32(places, from));
            _mm256_storeu_ps(values.as_mut_ptr().add(n), _mm256_permutevar8x32_ps(eight, places));
            n += mask.count_ones() as usize;
        }
        from = _mm256_add_epi32(from, _mm256_set1_epi32(8));
        at += 8;
    }
    let rest = inputs.get(at..).unwrap_or(&[]);
    let (values, rows) = (values.get_mut(n..), rows.get_mut(n..));
    n + gather_plainly(rest, first_row + at, values.unwrap_or(&mut []), rows.unwrap_or(&mut []))
}

/// # Safety
/// As above.
#[target_feature(enable = "avx2,popcnt")]
unsafe fn gather_i8_avx2(
    inputs: &[i8],
    first_row: usize,
    values: &mut [i8],
    rows: &mut [u32],
) -> usize {
    let (mut n, mut at) = (0, 0);
    let mut from = _mm256_set1_epi32(first_row as i32);
    while at + 8 <= inputs.len() {
        // SAFETY: there are eight inputs, and after n of at most `at` events there is room for
        // eight.
        unsafe {
            let eight = _mm_loadl_epi64(inputs.as_ptr().add(at).cast());
            let silent = _mm_cmpeq_epi8(eight, _mm_setzero_si128());
            let mask = !_mm_movemask_epi8(silent) as u8;
            let places = _mm_loadl_epi64(PLACES[usize::from(mask)].as_ptr().cast());
            let row = _mm256_add_epi32(_mm256_cvtepu8_epi32(places), from);
            _mm256_storeu_si256(rows.as_mut_ptr().add(n).cast(), row);
            _mm_storel_epi64(values.as_mut_ptr().add(n).cast(), _mm_shuffle_epi8(eight, places));
            n += mask.count_ones() as usize;
        }
        from = _mm256_add_epi32(from, _mm256_set1_epi32(8));
        at += 8;
    }
    let rest = inputs.get(at..).unwrap_or(&[]);
    let (values, rows) = (values.get_mut(n..), rows.get_mut(n..));
    n + gather_plainly(rest, first_row + at, values.unwrap_or(&mut []), rows.unwrap_or(&mut []))
}

/// Pack instructions work on halves of a vector: of 32 bytes packed from four vectors, groups of
/// four are ordered 0, 2, 4, 6, 1, 3, 5, 7.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(packed: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// Mask of the inputs from an index on that are not zero, of 64 or, at the end, fewer.
///
/// # Safety
/// The machine has AVX2, and the index is at most the number of inputs.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bits_f32(inputs: &[f32], at: usize) -> u64 {
    // SAFETY: the caller's promise; there are 64 inputs.
    unsafe { bits_of(inputs, at, |place| silent_f32(place)) }
}

/// # Safety
/// As above.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bits_i8(inputs: &[i8], at: usize) -> u64 {
    // SAFETY: as above.
    unsafe { bits_of(inputs, at, |place| silent_i8(place)) }
}

/// # Safety
/// As above; `silent` is called with a pointer to 64 inputs.
#[inline(always)]
unsafe fn bits_of<T: Number>(inputs: &[T], at: usize, silent: impl Fn(*const T) -> u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match inputs.len() - at {
            64.. => !silent(inputs.as_ptr().add(at)),
            // The last bits of the last 64 inputs.
            rest @ 1.. if inputs.len() >= 64 => {
                !silent(inputs.as_ptr().add(inputs.len() - 64)) >> (64 - rest)
            }
            // At most 63 inputs from the start.
            _ => {
                let inputs = inputs.iter().rev();
                inputs.fold(0, |bits, value| bits << 1 | u64::from(!value.is_silent()))
            }
        }
    }
}

/// Mask of the inputs that are zero, of 64.
///
/// # Safety
/// The machine has AVX2, and there are 64 inputs.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn silent_f32(inputs: *const f32) -> u64 {
    // SAFETY: the caller's promise.
    let silent = |part: usize| unsafe {
        let eight = _mm256_loadu_ps(inputs.add(8 * part));
        _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(eight, _mm256_setzero_ps()))
    };
    let half = |part: usize| {
        let low = _mm256_packs_epi32(silent(part), silent(part + 1));
        let high = _mm256_packs_epi32(silent(part + 2), silent(part + 3));
        _mm256_movemask_epi8(in_order(_mm256_packs_epi16(low, high))) as u32
    };
    u64::from(half(0)) | u64::from(half(4)) << 32
}

/// # Safety
/// As above.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn silent_i8(inputs: *const i8) -> u64 {
    // SAFETY: the caller's promise.
    let half = |part: usize| unsafe {
        let bytes = _mm256_loadu_si256(inputs.add(32 * part).cast());
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())) as u32
    };
    u64::from(half(0)) | u64::from(half(1)) << 32
}

pub(crate) fn quantize(values: &[f32], inverse_step: f32, to: &mut [i8]) -> bool {
    if !has!("avx2") {
        return false;
    }
    // SAFETY: the instructions are available.
    unsafe { quantize_avx2(values, inverse_step, to) };
    true
}

/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn quantize_avx2(values: &[f32], inverse_step: f32, to: &mut [i8]) {
    let n = values.len().min(to.len());
    let (inverse, most) = (_mm256_set1_ps(inverse_step), _mm256_set1_ps(127.0));
    let mut below = _mm256_setzero_si256();
    // SAFETY: called where there are 32 values, and as many places.
    let mut write = |at: usize| unsafe {
        let whole = |part: usize| {
            let steps = _mm256_mul_ps(_mm256_loadu_ps(values.as_ptr().add(at + 8 * part)), inverse);
            // Values far below the range become -2^31, and so does NaN: `min` returns its second
            // operand if one is NaN.
            _mm256_cvtps_epi32(_mm256_min_ps(most, steps))
        };
        let low = _mm256_packs_epi32(whole(0), whole(1));
        let high = _mm256_packs_epi32(whole(2), whole(3));
        let bytes = in_order(_mm256_packs_epi16(low, high));
        below = _mm256_or_si256(below, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(-128)));
        _mm256_storeu_si256(to.as_mut_ptr().add(at).cast(), bytes);
    };
    let mut at = 0;
    while at + 32 <= n {
        write(at);
        at += 32;
    }
    if at < n && n >= 32 {
        // The last 32; some of them again.
        write(n - 32);
        at = n;
    }
    // Below -127, or NaN: rare.
    let from = if _mm256_testz_si256(below, below) == 1 { at } else { 0 };
    let rest = values.iter().zip(to.iter_mut()).skip(from);
    rest.for_each(|(value, to)| *to = Number::from_f32(*value, inverse_step));
}
