//! The same with vector instructions: AVX-512 or AVX2 with FMA for f32, AVX2 for int8, NEON for f32 (for int8 plain loops compile to NEON).
//!
//! Several rows at a time: a vector of sums is loaded and stored once for 8 rows. Sums of f32 are added in the order of the rows
//! whatever the instructions, so that skipping silent rows changes no bit.

#[cfg(target_arch = "x86_64")]
use super::ROOM;
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

/// Which row the value at a place meets.
trait Index: Copy {
    /// # Safety
    /// The place is below the number of values, and [`fit`] holds.
    unsafe fn row(self, at: usize) -> usize;
}

impl Index for &[u32] {
    #[inline(always)]
    unsafe fn row(self, at: usize) -> usize {
        // SAFETY: as the caller says; a list is as long as the values.
        unsafe { *self.get_unchecked(at) as usize }
    }
}

impl Index for usize {
    #[inline(always)]
    unsafe fn row(self, at: usize) -> usize {
        self + at
    }
}

/// `sums += values * rows`: many columns eight rows at a time; few, all rows at once with the sums in registers.
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
            // SAFETY: as the caller says; of places, as many as are asked for are below the number of values.
            unsafe {
                let mut done = 0;
                if sums.len() <= 16 * $width {
                    while done + 8 * $width <= sums.len() {
                        let sums = sums.get_unchecked_mut(done..done + 8 * $width);
                        $few(sums, weights, (columns, first + done), rows, values);
                        done += 8 * $width;
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
        /// As above, and there are eight vectors of sums.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $few(
            sums: &mut [f32],
            weights: &[f32],
            (columns, first): (usize, usize),
            rows: impl super::Index,
            values: &[f32],
        ) {
            // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums.
            unsafe {
                let place = sums.as_mut_ptr();
                let mut sums: [_; 8] = core::array::from_fn(|part| $load(place.add($width * part)));
                let mut at = 0;
                while at < values.len() {
                    let row = weights.as_ptr().add(rows.row(at) * columns + first);
                    let x = $splat(*values.get_unchecked(at));
                    let mut part = 0;
                    while part < 8 {
                        sums[part] = $fma(x, $load(row.add($width * part)), sums[part]);
                        part += 1;
                    }
                    at += 1;
                }
                let mut part = 0;
                while part < 8 {
                    $store(place.add($width * part), sums[part]);
                    part += 1;
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
            rows: impl super::Index,
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

/// `sums += values * rows` for the values that are not silent, which are looked for 64 at a time and never listed: `P` vectors of sums stay in registers.
#[cfg(target_arch = "x86_64")]
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
                    // A line from each page that the rows after the next 64 lie on, of 64 columns: the page is found by then.
                    let mut part = 0;
                    while part < 4 {
                        let ahead = rows.wrapping_add((128 + 16 * part) * columns);
                        _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                        part += 1;
                    }
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
            match (rows, has!("avx512f")) {
                (Rows::List(rows), true) => f32_avx512(sums, weights, columns, rows, values),
                (Rows::From(row), true) => f32_avx512(sums, weights, columns, row, values),
                (Rows::List(rows), false) => f32_avx2(sums, weights, columns, rows, values),
                (Rows::From(row), false) => f32_avx2(sums, weights, columns, row, values),
            }
        }
        true
    }

    fn are_scanned(columns: usize) -> bool {
        columns.is_multiple_of(32) && columns <= super::super::SCANNED
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
        if !scans_f32(sums.len())
            || !super::fit(sums.len(), weights, columns, Rows::From(first_row), inputs.len())
        {
            return false;
        }
        let wide = has!("avx512f");
        for (part, sums) in sums.chunks_mut(64).enumerate() {
            let (columns, place) = ((columns.0, columns.1 + 64 * part), sums.as_mut_ptr());
            // SAFETY: the instructions are there, everything fits, and there are 64 sums or 32.
            unsafe {
                match (wide, sums.len()) {
                    (true, 64) => f32_scan_avx512::<4>(place, weights, columns, first_row, inputs),
                    (true, _) => f32_scan_avx512::<2>(place, weights, columns, first_row, inputs),
                    (_, 64) => f32_scan_avx2::<8>(place, weights, columns, first_row, inputs),
                    _ => f32_scan_avx2::<4>(place, weights, columns, first_row, inputs),
                }
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
        if !scans_i8(sums.len())
            || !super::fit(sums.len(), weights, columns, Rows::From(first_row), inputs.len())
        {
            return false;
        }
        for (part, sums) in sums.chunks_mut(64).enumerate() {
            let (columns, place) = ((columns.0, columns.1 + 64 * part), sums.as_mut_ptr());
            // SAFETY: the instructions are there, everything fits, and there are 64 sums or 32.
            unsafe {
                match sums.len() {
                    64 => i8_scan::<2>(place, weights, columns, first_row, inputs),
                    _ => i8_scan::<1>(place, weights, columns, first_row, inputs),
                }
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
        unsafe {
            match rows {
                Rows::List(rows) => i8_avx2(sums, weights, columns, rows, values),
                Rows::From(row) => i8_avx2(sums, weights, columns, row, values),
            }
        }
        true
    }

    pub(crate) fn active_f32(values: &[f32]) -> usize {
        // SAFETY: AVX2 is there, or else SSE2, which is on every machine of this kind.
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
            // SAFETY: sixteen values are there.
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
            _mm256_storeu_si256(
                lanes.as_mut_ptr().cast(),
                _mm256_add_epi32(counters[0], counters[1]),
            )
        };
        lanes.iter().sum::<u32>() as usize + rest.iter().filter(|value| **value != 0.0).count()
    }

    /// A lane of `true` is -1: lanes are subtracted from counters.
    #[target_feature(enable = "sse2")]
    fn active_f32_sse2(values: &[f32]) -> usize {
        let (fours, rest) = values.as_chunks::<4>();
        // SAFETY: four values are there.
        let mask = |four: &[f32; 4]| unsafe {
            _mm_cmpneq_ps(_mm_loadu_ps(four.as_ptr()), _mm_setzero_ps())
        };
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
        // Counters are of a byte.
        for parts in parts.chunks(255) {
            let counters = parts.iter().fold(zero, |counters, part| {
                // SAFETY: sixteen values are there.
                let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
                _mm_sub_epi8(counters, _mm_cmpeq_epi8(part, zero))
            });
            let halves = _mm_sad_epu8(counters, zero);
            silent += (_mm_cvtsi128_si64(halves)
                + _mm_cvtsi128_si64(_mm_unpackhi_epi64(halves, halves)))
                as usize;
        }
        16 * parts.len() - silent + rest.iter().filter(|value| **value != 0).count()
    }

    /// For every mask of eight, the places of its bits, in order.
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

    /// Whether there is room for so many events, and for what is written behind the last one.
    fn has_room(inputs: usize, values: usize, rows: usize) -> bool {
        inputs + super::ROOM <= values && inputs + super::ROOM <= rows
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
        // SAFETY: the instructions are there, and so is the room.
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
        // SAFETY: the instructions are there, and so is the room.
        Some(unsafe { gather_i8_avx2(inputs, first_row, values, rows) })
    }

    /// Eight inputs at a time: those that are not silent move together, and all eight are written where the next event belongs.
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
            // SAFETY: eight inputs are there, and after n of at most `at` events there is room for eight.
            unsafe {
                let eight = _mm256_loadu_ps(inputs.as_ptr().add(at));
                let active = _mm256_cmp_ps::<_CMP_NEQ_UQ>(eight, _mm256_setzero_ps());
                let mask = _mm256_movemask_ps(active) as u8;
                let places = _mm_loadl_epi64(PLACES[usize::from(mask)].as_ptr().cast());
                let places = _mm256_cvtepu8_epi32(places);
                _mm256_storeu_si256(
                    rows.as_mut_ptr().add(n).cast(),
                    _mm256_add_epi32(places, from),
                );
                _mm256_storeu_ps(
                    values.as_mut_ptr().add(n),
                    _mm256_permutevar8x32_ps(eight, places),
                );
                n += mask.count_ones() as usize;
            }
            from = _mm256_add_epi32(from, _mm256_set1_epi32(8));
            at += 8;
        }
        let rest = inputs.get(at..).unwrap_or(&[]);
        let (values, rows) = (values.get_mut(n..), rows.get_mut(n..));
        n + super::super::gather_plainly(
            rest,
            first_row + at,
            values.unwrap_or(&mut []),
            rows.unwrap_or(&mut []),
        )
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
            // SAFETY: eight inputs are there, and after n of at most `at` events there is room for eight.
            unsafe {
                let eight = _mm_loadl_epi64(inputs.as_ptr().add(at).cast());
                let silent = _mm_cmpeq_epi8(eight, _mm_setzero_si128());
                let mask = !_mm_movemask_epi8(silent) as u8;
                let places = _mm_loadl_epi64(PLACES[usize::from(mask)].as_ptr().cast());
                let row = _mm256_add_epi32(_mm256_cvtepu8_epi32(places), from);
                _mm256_storeu_si256(rows.as_mut_ptr().add(n).cast(), row);
                _mm_storel_epi64(
                    values.as_mut_ptr().add(n).cast(),
                    _mm_shuffle_epi8(eight, places),
                );
                n += mask.count_ones() as usize;
            }
            from = _mm256_add_epi32(from, _mm256_set1_epi32(8));
            at += 8;
        }
        let rest = inputs.get(at..).unwrap_or(&[]);
        let (values, rows) = (values.get_mut(n..), rows.get_mut(n..));
        n + super::super::gather_plainly(
            rest,
            first_row + at,
            values.unwrap_or(&mut []),
            rows.unwrap_or(&mut []),
        )
    }

    /// Packs work on halves of a vector: of 32 bytes packed from four vectors, groups of four end up as 0, 2, 4, 6, 1, 3, 5, 7.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn in_order(packed: __m256i) -> __m256i {
        _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }

    /// A bit for every input from a place on that is not silent, of 64 or, at the end, fewer.
    ///
    /// # Safety
    /// The machine has AVX2, and the place is at most the number of inputs.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn bits_f32(inputs: &[f32], at: usize) -> u64 {
        // SAFETY: as the caller says; 64 inputs are there.
        unsafe { bits_of(inputs, at, |place| silent_f32(place)) }
    }

    /// # Safety
    /// As above.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn bits_i8(inputs: &[i8], at: usize) -> u64 {
        // SAFETY: as above.
        unsafe { bits_of(inputs, at, |place| silent_i8(place)) }
    }

    /// # Safety
    /// As above; `silent` is called with a place of 64 inputs.
    #[inline(always)]
    unsafe fn bits_of<T: super::super::Number>(
        inputs: &[T],
        at: usize,
        silent: impl Fn(*const T) -> u64,
    ) -> u64 {
        // SAFETY: as the caller says.
        unsafe {
            match inputs.len() - at {
                64.. => !silent(inputs.as_ptr().add(at)),
                // The last of the last 64.
                rest @ 1.. if inputs.len() >= 64 => {
                    !silent(inputs.as_ptr().add(inputs.len() - 64)) >> (64 - rest)
                }
                // No more than 63 from the start.
                _ => {
                    let inputs = inputs.iter().rev();
                    inputs.fold(0, |bits, value| bits << 1 | u64::from(!value.is_silent()))
                }
            }
        }
    }

    /// A bit for every one of 64 inputs that is silent.
    ///
    /// # Safety
    /// The machine has AVX2, and 64 inputs are there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn silent_f32(inputs: *const f32) -> u64 {
        // SAFETY: as the caller says.
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
        // SAFETY: as the caller says.
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
        // SAFETY: the instructions are there.
        unsafe { quantize_avx2(values, inverse_step, to) };
        true
    }

    /// # Safety
    /// The machine has AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn quantize_avx2(values: &[f32], inverse_step: f32, to: &mut [i8]) {
        let n = values.len().min(to.len());
        let inverse = _mm256_set1_ps(inverse_step);
        let (least, most) = (_mm256_set1_ps(-127.0), _mm256_set1_ps(127.0));
        let mut at = 0;
        while at + 32 <= n {
            // SAFETY: 32 values are there, and as many places.
            unsafe {
                let whole = |part: usize| {
                    let steps =
                        _mm256_mul_ps(_mm256_loadu_ps(values.as_ptr().add(at + 8 * part)), inverse);
                    // Of two, the second if one is no number: that becomes -2^31, and -128 as a byte, which nothing else does.
                    _mm256_cvtps_epi32(_mm256_min_ps(most, _mm256_max_ps(least, steps)))
                };
                let low = _mm256_packs_epi32(whole(0), whole(1));
                let high = _mm256_packs_epi32(whole(2), whole(3));
                let bytes = in_order(_mm256_packs_epi16(low, high));
                let numbers = _mm256_cmpgt_epi8(bytes, _mm256_set1_epi8(-128));
                let bytes = _mm256_and_si256(bytes, numbers);
                _mm256_storeu_si256(to.as_mut_ptr().add(at).cast(), bytes);
            }
            at += 32;
        }
        let rest = values.iter().zip(to.iter_mut()).skip(at);
        rest.for_each(|(value, to)| *to = super::super::Number::from_f32(*value, inverse_step));
    }

    /// # Safety
    /// The machine has AVX2, and [`super::fit`] holds.
    #[target_feature(enable = "avx2")]
    unsafe fn i8_avx2(
        sums: &mut [i32],
        weights: &[i8],
        columns: (usize, usize),
        rows: impl super::Index,
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

    /// As for f32, four events at a time; where there are no more, the first of 64 once more, times zero. `S` times 32 columns.
    ///
    /// # Safety
    /// The machine has the instructions, [`super::fit`] holds, and there are `32 S` sums.
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

    /// Adds four rows of 32 columns, times the four bytes that are repeated in `signs`; the order of columns is that of [`store_ordered`].
    ///
    /// Bytes of four rows are put side by side, column by column. `maddubs` multiplies bytes with a sign by bytes without one and adds
    /// neighbours: the values lend their sign to the weights. At most 2 * 127 * 127 = 32,258, which 16 bits hold.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_four(total: &mut [__m256i; 4], [a, b, c, d]: [__m256i; 4], signs: __m256i) {
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
    unsafe fn store_ordered(sums: *mut i32, total: [__m256i; 4]) {
        let ordered = [
            _mm256_permute2x128_si256(total[0], total[1], 0x20),
            _mm256_permute2x128_si256(total[2], total[3], 0x20),
            _mm256_permute2x128_si256(total[0], total[1], 0x31),
            _mm256_permute2x128_si256(total[2], total[3], 0x31),
        ];
        let mut part = 0;
        while part < 4 {
            // SAFETY: as the caller says.
            unsafe {
                let place: *mut __m256i = sums.add(8 * part).cast();
                _mm256_storeu_si256(
                    place,
                    _mm256_add_epi32(_mm256_loadu_si256(place), ordered[part]),
                );
            }
            part += 1;
        }
    }

    /// Four rows for each of `Q`; where there are no more, the first once more, times zero.
    ///
    /// # Safety
    /// The machine has AVX2, [`super::fit`] holds, and `at` is below the number of values.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn i8_block<const Q: usize>(
        sums: &mut [i32],
        weights: &[i8],
        (columns, first): (usize, usize),
        rows: impl super::Index,
        values: &[i8],
        at: usize,
    ) {
        // SAFETY: `fit` says that every row, from `first` on, has as many weights as there are sums.
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
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{
    active_f32, active_i8, add_rows_f32, add_rows_i8, gather_f32, gather_i8, quantize, scan_f32,
    scan_i8, scans_f32, scans_i8,
};

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
        // SAFETY: NEON was compiled for, and everything fits.
        unsafe {
            match rows {
                Rows::List(rows) => f32_neon(sums, weights, columns, rows, values),
                Rows::From(row) => f32_neon(sums, weights, columns, row, values),
            }
        }
        true
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use arm::add_rows_f32;
