//! The signal at outputs that are classes: softmax, target and sums in one pass over each row.

use burn_flex::FlexTensor;

use super::columns::for_each_row;
use super::lanes::LANES;
use super::memory::{Grid, readable, size, values_mut};
use super::scratch::with_scratch;
use crate::backend::{ClassTarget, ErrorSums};

pub(super) fn class_signal(output: FlexTensor, target: &ClassTarget) -> (FlexTensor, ErrorSums) {
    let mut output = readable(output);
    let [rows, columns] = size(&output);
    assert_eq!(target.classes.len(), rows, "a class is needed for each row");
    let even = target.smoothing / columns as f32;
    let share = 1.0 - target.smoothing;
    let sums = with_scratch(2 * rows, |kept| {
        let places = Grid::new(kept, 2);
        for_each_row(values_mut(&mut output), columns, |row, y| {
            let total = exponentiate(y);
            let weight = target.weight(row);
            let scale = -weight / total;
            let class = target.classes[row] as usize;
            y[class] -= share * total;
            let (absolute, squared) = scale_and_sum(y, scale, even * weight);
            // SAFETY: every row is visited once.
            unsafe { places.row(row, 0, 2) }.copy_from_slice(&[absolute, squared]);
        });
        let mut sums = ErrorSums::default();
        for row in kept.chunks_exact(2) {
            sums.absolute += f64::from(row[0]);
            sums.squared += f64::from(row[1]);
        }
        sums
    });
    (output, sums)
}

/// Replaces a row by the exponentials of its distances to its maximum. Returns their sum.
#[inline(always)]
fn exponentiate(row: &mut [f32]) -> f32 {
    let mut peaks = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for part in whole {
        for (peak, x) in peaks.iter_mut().zip(part) {
            *peak = if *x > *peak { *x } else { *peak };
        }
    }
    let peak = peaks.iter().chain(rest).fold(f32::NEG_INFINITY, |peak, x| peak.max(*x));
    let mut sums = [0f32; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for part in whole {
        for (sum, x) in sums.iter_mut().zip(part) {
            *x = exponential(*x - peak);
            *sum += *x;
        }
    }
    let mut total: f32 = sums.iter().sum();
    for x in rest {
        *x = exponential(*x - peak);
        total += *x;
    }
    total
}

/// Replaces a row by `scale * x + shift`. Returns the sums of absolute values and squares.
#[inline(always)]
fn scale_and_sum(row: &mut [f32], scale: f32, shift: f32) -> (f32, f32) {
    let (mut absolute, mut squared) = ([0f32; LANES], [0f32; LANES]);
    let mut change = |x: &mut f32, lane: usize| {
        *x = *x * scale + shift;
        absolute[lane] += x.abs();
        squared[lane] += *x * *x;
    };
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for part in whole {
        for (lane, x) in part.iter_mut().enumerate() {
            change(x, lane);
        }
    }
    rest.iter_mut().enumerate().for_each(|(lane, x)| change(x, lane));
    (absolute.iter().sum(), squared.iter().sum())
}

/// `e^x` for `x` of at most zero, within 3e-7 of its value; NaN for NaN. A polynomial of the part
/// of `x / ln 2` behind the point, times a power of two (Cody and Waite 1980).
#[inline(always)]
fn exponential(x: f32) -> f32 {
    /// Below this the result is zero in 32 bits.
    const LOWEST: f32 = -87.0;
    /// `ln 2` in two parts, of which the first has few digits.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    /// Adding and subtracting it rounds to a whole number.
    const ROUNDS: f32 = 12_582_912.0;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let rounded = clamped * std::f32::consts::LOG2_E + ROUNDS;
    let whole = rounded - ROUNDS;
    let part = (clamped - whole * LN_2.0) - whole * LN_2.1;
    let mut sum = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * part + coefficient;
    }
    // The lowest bits of `rounded` are the whole number. For NaN the sum is NaN.
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    sum * power
}

#[cfg(test)]
mod tests {
    use super::exponential;

    #[test]
    fn exponentials_are_accurate() {
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let (found, exact) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 3e-7, "{x}: {found}, {exact}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert!(exponential(f32::NEG_INFINITY) < 1e-37);
        assert!(exponential(f32::NAN).is_nan());
    }
}
