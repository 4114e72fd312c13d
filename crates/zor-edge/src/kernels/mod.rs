//! Sums of rows of weights, which take most of the time. The only `unsafe` code of the crate is in
//! its vector kernels.

#[allow(
    unsafe_code,
    reason = "vector instructions take pointers; every call checks what they point at"
)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod simd;

use bytemuck::Pod;

/// The rows of weights that values multiply.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// One row per value.
    List(&'a [u32]),
    /// Consecutive rows from this one on.
    From(usize),
}

impl Rows<'_> {
    #[inline(always)]
    fn row(self, index: usize) -> usize {
        match self {
            Self::List(rows) => rows.get(index).map_or(0, |row| *row as usize),
            Self::From(first) => first + index,
        }
    }

    /// End of the range of `n` rows; `None` if the list has another length.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn end(self, n: usize) -> Option<usize> {
        match self {
            Self::List(list) if list.len() != n => None,
            Self::List([]) => Some(0),
            Self::List(list) => Some(list.iter().fold(0, |last, row| last.max(*row)) as usize + 1),
            Self::From(first) => first.checked_add(n),
        }
    }
}

/// Number of columns whose sums stay in registers during a scan (or half of it). Layers with at
/// most twice as many columns are scanned.
pub(crate) const SCANNED: usize = 64;

/// Number of values that may be written after the last event.
pub(crate) const ROOM: usize = 8;

/// A data type of weights and of the values that multiply them.
pub(crate) trait Number: Pod + Default {
    /// Type of sums of products.
    type Sum: Pod + Default + PartialOrd;

    /// True if the value is zero, which adds nothing to any sum.
    fn is_silent(self) -> bool;

    /// Quantizes a number with the inverse of a quantization scale.
    fn from_f32(value: f32, inverse_step: f32) -> Self;

    /// [`Number::from_f32`] for all values of a slice.
    fn from_f32s(values: &[f32], inverse_step: f32, to: &mut [Self]) {
        from_f32s_plainly(values, inverse_step, to);
    }

    /// Number of values that are not zero.
    fn active(values: &[Self]) -> usize {
        values.iter().map(|value| usize::from(!value.is_silent())).sum()
    }

    /// Writes the values that are not zero and their rows, and returns their number. The first
    /// input multiplies row `first_row`. Both slices have room for all inputs and for [`ROOM`]
    /// further values of arbitrary contents.
    fn gather(inputs: &[Self], first_row: usize, values: &mut [Self], rows: &mut [u32]) -> usize {
        gather_plainly(inputs, first_row, values, rows)
    }

    /// True if [`scan`](Self::scan) supports layers of this many columns. A scan costs less than
    /// counting the zeros first.
    fn scans(_columns: usize) -> bool {
        false
    }

    /// Adds the rows of the inputs that are not zero without a list of them, to [`SCANNED`] sums or
    /// half of it. Returns false if it is not supported.
    fn scan(
        _sums: &mut [Self::Sum],
        _weights: &[Self],
        _columns: (usize, usize),
        _first_row: usize,
        _inputs: &[Self],
    ) -> bool {
        false
    }

    /// Dequantizes the value with a quantization scale.
    fn to_f32(self, step: f32) -> f32;

    /// Converts sums to f32 in place, multiplied by the scale of each channel; int8 layers always
    /// have scales.
    fn scaled<'a>(sums: &'a mut [Self::Sum], scales: &[f32]) -> &'a mut [f32];

    /// `sums[j] += sum over i of values[i] * weights[rows[i]][first + j]`, weights
    /// `[rows, columns]`.
    fn add_rows(
        sums: &mut [Self::Sum],
        weights: &[Self],
        columns: (usize, usize),
        rows: Rows<'_>,
        values: &[Self],
    );
}

impl Number for f32 {
    type Sum = f32;

    #[inline]
    fn is_silent(self) -> bool {
        self == 0.0
    }

    #[inline]
    fn from_f32(value: f32, _: f32) -> Self {
        value
    }

    #[cfg(target_arch = "x86_64")]
    fn active(values: &[f32]) -> usize {
        simd::active_f32(values)
    }

    #[cfg(target_arch = "x86_64")]
    fn gather(inputs: &[f32], first_row: usize, values: &mut [f32], rows: &mut [u32]) -> usize {
        simd::gather_f32(inputs, first_row, values, rows)
            .unwrap_or_else(|| gather_plainly(inputs, first_row, values, rows))
    }

    #[cfg(target_arch = "x86_64")]
    fn scans(columns: usize) -> bool {
        simd::scans_f32(columns)
    }

    #[cfg(target_arch = "x86_64")]
    fn scan(
        sums: &mut [f32],
        weights: &[f32],
        columns: (usize, usize),
        first_row: usize,
        inputs: &[f32],
    ) -> bool {
        simd::scan_f32(sums, weights, columns, first_row, inputs)
    }

    #[inline]
    fn to_f32(self, _: f32) -> f32 {
        self
    }

    #[inline]
    fn scaled<'a>(sums: &'a mut [f32], scales: &[f32]) -> &'a mut [f32] {
        sums.iter_mut().zip(scales).for_each(|(sum, scale)| *sum *= scale);
        sums
    }

    #[inline]
    fn add_rows(
        sums: &mut [f32],
        weights: &[f32],
        columns: (usize, usize),
        rows: Rows<'_>,
        values: &[f32],
    ) {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if simd::add_rows_f32(sums, weights, columns, rows, values) {
            return;
        }
        add_rows_plainly(sums, weights, columns, rows, values, |sum, weight, value| {
            sum + weight * value
        });
    }
}

impl Number for i8 {
    type Sum = i32;

    #[inline]
    fn is_silent(self) -> bool {
        self == 0
    }

    #[inline]
    fn from_f32(value: f32, inverse_step: f32) -> Self {
        let steps = (value * inverse_step).clamp(-127.0, 127.0);
        // Adding a number without fractional bits rounds to the nearest integer, halves to even.
        // NaN becomes zero.
        const ROUNDS: f32 = 12_582_912.0;
        if steps.is_nan() { 0 } else { (steps + ROUNDS).to_bits() as i8 }
    }

    #[cfg(target_arch = "x86_64")]
    fn from_f32s(values: &[f32], inverse_step: f32, to: &mut [i8]) {
        if !simd::quantize(values, inverse_step, to) {
            from_f32s_plainly(values, inverse_step, to);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn active(values: &[i8]) -> usize {
        simd::active_i8(values)
    }

    #[cfg(target_arch = "x86_64")]
    fn gather(inputs: &[i8], first_row: usize, values: &mut [i8], rows: &mut [u32]) -> usize {
        simd::gather_i8(inputs, first_row, values, rows)
            .unwrap_or_else(|| gather_plainly(inputs, first_row, values, rows))
    }

    #[cfg(target_arch = "x86_64")]
    fn scans(columns: usize) -> bool {
        simd::scans_i8(columns)
    }

    #[cfg(target_arch = "x86_64")]
    fn scan(
        sums: &mut [i32],
        weights: &[i8],
        columns: (usize, usize),
        first_row: usize,
        inputs: &[i8],
    ) -> bool {
        simd::scan_i8(sums, weights, columns, first_row, inputs)
    }

    #[inline]
    fn to_f32(self, step: f32) -> f32 {
        f32::from(self) * step
    }

    #[inline]
    fn scaled<'a>(sums: &'a mut [i32], scales: &[f32]) -> &'a mut [f32] {
        let each = sums.iter_mut().zip(scales);
        each.for_each(|(sum, scale)| *sum = (*sum as f32 * scale).to_bits() as i32);
        bytemuck::try_cast_slice_mut(sums).unwrap_or(&mut [])
    }

    #[inline]
    fn add_rows(
        sums: &mut [i32],
        weights: &[i8],
        columns: (usize, usize),
        rows: Rows<'_>,
        values: &[i8],
    ) {
        #[cfg(target_arch = "x86_64")]
        if simd::add_rows_i8(sums, weights, columns, rows, values) {
            return;
        }
        add_rows_plainly(sums, weights, columns, rows, values, |sum, weight, value| {
            sum + i32::from(weight) * i32::from(value)
        });
    }
}

fn from_f32s_plainly<T: Number>(values: &[f32], inverse_step: f32, to: &mut [T]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to = T::from_f32(*value, inverse_step));
}

fn gather_plainly<T: Number>(
    inputs: &[T],
    first_row: usize,
    values: &mut [T],
    rows: &mut [u32],
) -> usize {
    let mut n = 0;
    for (at, value) in inputs.iter().enumerate() {
        // Always written, but kept only if it is an event: there is no branch to mispredict.
        if let (Some(to), Some(row)) = (values.get_mut(n), rows.get_mut(n)) {
            (*to, *row) = (*value, (first_row + at) as u32);
        }
        n += usize::from(!value.is_silent());
    }
    n
}

/// Portable loops, four rows at a time: a sum is loaded and stored once per four products.
fn add_rows_plainly<T: Number>(
    sums: &mut [T::Sum],
    weights: &[T],
    (columns, first): (usize, usize),
    rows: Rows<'_>,
    values: &[T],
    add: impl Fn(T::Sum, T, T) -> T::Sum,
) {
    let n = sums.len();
    let row = |index: usize| {
        let start = rows.row(index) * columns + first;
        weights.get(start..start + n).unwrap_or(&[])
    };
    let fours = values.chunks_exact(4);
    let rest = fours.remainder();
    for (at, four) in fours.enumerate() {
        let [a, b, c, d] = [4 * at, 4 * at + 1, 4 * at + 2, 4 * at + 3].map(row);
        if let [x, y, z, w] = *four {
            let all = a.iter().zip(b).zip(c).zip(d);
            for (sum, (((a, b), c), d)) in sums.iter_mut().zip(all) {
                *sum = add(add(add(add(*sum, *a, x), *b, y), *c, z), *d, w);
            }
        }
    }
    for (at, value) in rest.iter().enumerate() {
        let row = row(values.len() - rest.len() + at);
        sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum = add(*sum, *weight, *value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom numbers.
    fn noise(n: usize, seed: u32) -> impl Iterator<Item = i8> {
        (0..n as u32).scan(seed, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(((*state >> 24) as i8).max(-127))
        })
    }

    #[test]
    fn kernels_of_this_machine_compute_what_plain_loops_do() {
        const COLUMNS: usize = 150;
        let mut list = [0u32; 61];
        list.iter_mut()
            .zip(noise(61, 7))
            .for_each(|(row, value)| *row = u32::from(value.unsigned_abs()) % 64);
        let mut weights = [0i8; 64 * COLUMNS];
        weights.iter_mut().zip(noise(64 * COLUMNS, 1)).for_each(|(weight, value)| *weight = value);
        let mut values = [0i8; 61];
        values.iter_mut().zip(noise(61, 2)).for_each(|(to, value)| *to = value);
        // The largest magnitudes.
        (values[0], values[1], weights[0], weights[COLUMNS]) = (-127, -127, -127, 127);
        let (mut weights_f32, mut values_f32) = ([0.0; 64 * COLUMNS], [0.0; 61]);
        weights_f32.iter_mut().zip(weights).for_each(|(to, value)| *to = f32::from(value));
        values_f32.iter_mut().zip(values).for_each(|(to, value)| *to = f32::from(value));
        for n in 0..=61 {
            for (first, width) in [(0, COLUMNS), (3, 97), (0, 64), (10, 33), (149, 1), (0, 16)] {
                for rows in [Rows::List(&list[..n]), Rows::From(64 - n)] {
                    let (mut sums, mut expected) = ([5i32; COLUMNS], [5i32; COLUMNS]);
                    let (sums, expected) = (&mut sums[..width], &mut expected[..width]);
                    i8::add_rows(sums, &weights, (COLUMNS, first), rows, &values[..n]);
                    add_rows_plainly(
                        expected,
                        &weights,
                        (COLUMNS, first),
                        rows,
                        &values[..n],
                        |s, w, v| s + i32::from(w) * i32::from(v),
                    );
                    assert_eq!(sums, expected, "{n} rows, {width} columns from {first}");
                    // Small integers are exact in f32, in any order of summation.
                    let mut sums_f32 = [5.0f32; COLUMNS];
                    let sums_f32 = &mut sums_f32[..width];
                    f32::add_rows(sums_f32, &weights_f32, (COLUMNS, first), rows, &values_f32[..n]);
                    assert!(sums_f32.iter().zip(expected).all(|(a, b)| *a == *b as f32));
                }
            }
        }
    }

    #[test]
    fn inputs_that_are_looked_through_add_what_plain_loops_do() {
        const COLUMNS: usize = 150;
        const INPUTS: usize = 200;
        let mut weights = [0i8; (INPUTS + 2) * COLUMNS];
        weights.iter_mut().zip(noise((INPUTS + 2) * COLUMNS, 1)).for_each(|(to, w)| *to = w);
        let mut weights_f32 = [0.0; (INPUTS + 2) * COLUMNS];
        weights_f32.iter_mut().zip(weights).for_each(|(to, weight)| *to = f32::from(weight));
        // No zeros, half, most, and all zeros.
        for loudest in [-128i8, 0, 110, 127] {
            let mut inputs = [0i8; INPUTS];
            inputs.iter_mut().zip(noise(INPUTS, 3)).for_each(|(to, value)| {
                *to = if value > loudest { value | 1 } else { 0 };
            });
            let mut inputs_f32 = [0.0; INPUTS];
            inputs_f32.iter_mut().zip(inputs).for_each(|(to, value)| *to = f32::from(value));
            for n in [0, 1, 7, 63, 64, 65, 127, 128, 131, INPUTS] {
                for (first, width) in [(0, 32), (3, 64), (118, 32), (86, 64), (0, 33), (0, 150)] {
                    let (mut sums, mut expected) = ([5i32; COLUMNS], [5i32; COLUMNS]);
                    let (sums, expected) = (&mut sums[..width], &mut expected[..width]);
                    let mut sums_f32 = [5.0; COLUMNS];
                    let sums_f32 = &mut sums_f32[..width];
                    let columns = (COLUMNS, first);
                    let (rows, values) = (Rows::From(2), &inputs[..n]);
                    add_rows_plainly(expected, &weights, columns, rows, values, |s, w, v| {
                        s + i32::from(w) * i32::from(v)
                    });
                    let scanned = i8::scan(sums, &weights, columns, 2, values);
                    assert_eq!(scanned, i8::scans(width));
                    assert!(!scanned || sums == expected, "{n} inputs, {width} from {first}");
                    let scanned = f32::scan(sums_f32, &weights_f32, columns, 2, &inputs_f32[..n]);
                    assert_eq!(scanned, f32::scans(width));
                    let same = sums_f32.iter().zip(&*expected).all(|(a, b)| *a == *b as f32);
                    assert!(!scanned || same, "{n} inputs, {width} from {first}");
                }
            }
        }
    }

    #[test]
    fn rows_that_are_not_there_are_not_looked_through() {
        let (mut sums, weights) = ([0.0; 32], [1.0; 64]);
        assert!(!f32::scan(&mut sums, &weights, (32, 0), 0, &[1.0; 3]));
        assert!(!f32::scan(&mut sums, &weights, (16, 0), 0, &[1.0; 2]));
        assert_eq!(sums, [0.0; 32]);
    }

    #[test]
    fn halves_round_to_even_and_what_is_too_large_stays_at_the_end() {
        let cases = [
            (0.5, 0),
            (1.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (0.51, 1),
            (127.5, 127),
            (1e9, 127),
            (-1e9, -127),
            (f32::INFINITY, 127),
            (f32::NAN, 0),
        ];
        for (value, expected) in cases {
            assert_eq!(i8::from_f32(value, 1.0), expected, "{value}");
            // In whole vectors and in the remainder.
            let mut all = [99; 77];
            i8::from_f32s(&[value; 77], 1.0, &mut all);
            assert_eq!(all, [expected; 77], "{value}");
        }
    }

    #[test]
    fn events_are_all_that_is_not_silent_in_order() {
        let mut inputs = [0i8; 203];
        inputs
            .iter_mut()
            .zip(noise(203, 5))
            .for_each(|(to, value)| *to = if value > 60 { value } else { 0 });
        for n in [0, 1, 7, 8, 9, 64, 203] {
            let (mut values, mut rows) = ([0; 203 + ROOM], [0; 203 + ROOM]);
            let found = i8::gather(&inputs[..n], 10, &mut values, &mut rows);
            let (mut plain, mut plain_rows) = ([0; 203 + ROOM], [0; 203 + ROOM]);
            assert_eq!(found, gather_plainly(&inputs[..n], 10, &mut plain, &mut plain_rows));
            assert_eq!((&values[..found], &rows[..found]), (&plain[..found], &plain_rows[..found]));
            let mut inputs_f32 = [0.0; 203];
            inputs_f32.iter_mut().zip(inputs).for_each(|(to, value)| *to = f32::from(value));
            let (mut values_f32, mut rows_f32) = ([0.0; 203 + ROOM], [0; 203 + ROOM]);
            assert_eq!(f32::gather(&inputs_f32[..n], 10, &mut values_f32, &mut rows_f32), found);
            assert_eq!(rows_f32[..found], rows[..found]);
            assert!(values_f32.iter().zip(&values[..found]).all(|(a, b)| *a == f32::from(*b)));
        }
    }
}
