//! Batch normalisation and other passes that treat a column as a unit.

use burn_flex::FlexTensor;

use super::columns::{for_each_row, sum_rows, with_squares};
use super::memory::{Grid, check_same, readable, reuse, size, values, values_mut};
use super::passes::{COLUMNS, add_squares, for_each_column_block, is_tall, simd};
use crate::backend::NORM_EPSILON;

pub(super) fn scale_shift(tensor: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
    let (mut tensor, scale, shift) = (readable(tensor), readable(scale), readable(shift));
    let columns = size(&tensor)[1];
    let (scale, shift) = (values(&scale), values(&shift));
    for_each_row(values_mut(&mut tensor), columns, |_, row| {
        for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
            *x = *x * scale + shift;
        }
    });
    tensor
}

pub(super) fn batch_normalize(
    input: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    buffer: FlexTensor,
    epsilon: f32,
) -> (FlexTensor, FlexTensor) {
    let [rows, columns] = size(&input);
    let (input, scale, shift) = (readable(input), readable(scale), readable(shift));
    let mut output = reuse(buffer, [rows, columns]);
    let mut statistics =
        FlexTensor::zeros(burn::tensor::Shape::from([2, columns]), burn::backend::DType::F32);
    {
        let x = values(&input);
        let (mean, deviation) = values_mut(&mut statistics).split_at_mut(columns);
        // Differences from the first row, so that a mean far from zero costs no digits.
        let pivot = &x[..columns];
        let add = |row: usize, [sums, squares]: [&mut [f32]; 2]| {
            let row = &x[row * columns..(row + 1) * columns];
            for (((x, pivot), sum), square) in row.iter().zip(pivot).zip(sums).zip(squares) {
                let distance = x - pivot;
                *sum += distance;
                *square += distance * distance;
            }
        };
        sum_rows(rows, columns, add, |[sums, squares]| {
            for c in 0..columns {
                let (sum, square) =
                    (f64::from(sums[c]) / rows as f64, f64::from(squares[c]) / rows as f64);
                mean[c] = (f64::from(pivot[c]) + sum) as f32;
                let variance = (square - sum * sum).max(0.0);
                deviation[c] = (variance + f64::from(epsilon)).sqrt() as f32;
            }
        });
        let (scale, shift) = (values(&scale), values(&shift));
        for_each_row(values_mut(&mut output), columns, |row, y| {
            let x = &x[row * columns..(row + 1) * columns];
            for c in 0..columns {
                y[c] = (x[c] - mean[c]) / deviation[c] * scale[c] + shift[c];
            }
        });
    }
    (output, statistics)
}

pub(super) fn batch_normalize_signal(
    signal: FlexTensor,
    input: FlexTensor,
    statistics: FlexTensor,
    scale: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let [rows, columns] = size(&input);
    let (mut signal, input) = (readable(signal), readable(input));
    let (statistics, scale) = (readable(statistics), readable(scale));
    check_same(&signal, &input);
    let mut correlations =
        FlexTensor::zeros(burn::tensor::Shape::from([2, columns]), burn::backend::DType::F32);
    {
        let (x, scale) = (values(&input), values(&scale));
        let (mean, deviation) = values(&statistics).split_at(columns);
        let s = values(&signal);
        let add = |row: usize, [sums, products]: [&mut [f32]; 2]| {
            let row = row * columns..(row + 1) * columns;
            let (s, x) = (&s[row.clone()], &x[row]);
            let sums = sums.iter_mut().zip(products);
            for (((s, x), mean), (sum, product)) in s.iter().zip(x).zip(mean).zip(sums) {
                *sum += s;
                *product += s * (x - mean);
            }
        };
        let (of_scale, of_shift) = values_mut(&mut correlations).split_at_mut(columns);
        sum_rows(rows, columns, add, |[sums, products]| {
            of_shift.copy_from_slice(sums);
            for c in 0..columns {
                of_scale[c] = products[c] / deviation[c];
            }
        });
        // s' = scale / deviation * (s - mean(s) - xhat * mean(s * xhat)), as factors of s, x and
        // one.
        let n = rows as f32;
        let mut factors = vec![[0f32; 3]; columns];
        for (c, factors) in factors.iter_mut().enumerate() {
            let slope = scale[c] / deviation[c];
            let of_x = -slope * of_scale[c] / n / deviation[c];
            *factors = [slope, of_x, -slope * of_shift[c] / n - of_x * mean[c]];
        }
        for_each_row(values_mut(&mut signal), columns, |row, s| {
            let x = &x[row * columns..(row + 1) * columns];
            for ((s, x), [slope, of_x, constant]) in s.iter_mut().zip(x).zip(&factors) {
                *s = slope * *s + of_x * x + constant;
            }
        });
    }
    (signal, correlations)
}

pub(super) fn normalize_presynaptic(
    correlation: FlexTensor,
    presynaptic: FlexTensor,
    groups: usize,
) -> FlexTensor {
    let [rows, channels] = size(&presynaptic);
    let (mut correlation, presynaptic) = (readable(correlation), readable(presynaptic));
    let outputs = size(&correlation)[1];
    let presynaptic = values(&presynaptic);
    with_squares(rows, channels, presynaptic, |squares| {
        let per_group = channels / groups;
        for_each_row(values_mut(&mut correlation), outputs, |row, values| {
            for (group, part) in values.chunks_mut(outputs / groups).enumerate() {
                let square = squares[group * per_group + row % per_group];
                let scale = 1.0 / (square.sqrt() + NORM_EPSILON);
                part.iter_mut().for_each(|c| *c *= scale);
            }
        });
    });
    correlation
}

pub(super) fn unit_normalize(signal: FlexTensor, epsilon: f32) -> FlexTensor {
    let [rows, columns] = size(&signal);
    let mut signal = readable(signal);
    if is_tall(rows, columns) {
        return unit_normalize_tall(signal, epsilon);
    }
    let all = Grid::new(values_mut(&mut signal), columns);
    for_each_column_block(rows, columns, |from, width| {
        let mut scale = [0f32; COLUMNS];
        // SAFETY: blocks of columns do not overlap, and each is visited by one task.
        let row = |r| unsafe { all.row(r, from, width) };
        simd(
            #[inline(always)]
            || {
                for r in 0..rows {
                    add_squares(&mut scale[..width], row(r));
                }
                for norm in &mut scale[..width] {
                    *norm = if *norm > 0.0 { 1.0 / (norm.sqrt() + epsilon) } else { 1.0 };
                }
                for r in 0..rows {
                    for (s, scale) in row(r).iter_mut().zip(&scale) {
                        *s = (*s * scale).clamp(-1.0, 1.0);
                    }
                }
            },
        );
    });
    signal
}

/// [`crate::ops::unit_normalize`] for many rows and few columns.
fn unit_normalize_tall(mut signal: FlexTensor, epsilon: f32) -> FlexTensor {
    let [rows, columns] = size(&signal);
    let scale = with_squares(rows, columns, values(&signal), |squares| {
        let scale =
            |square: &f32| if *square > 0.0 { 1.0 / (square.sqrt() + epsilon) } else { 1.0 };
        squares.iter().map(scale).collect::<Vec<f32>>()
    });
    for_each_row(values_mut(&mut signal), columns, |_, row| {
        for (s, scale) in row.iter_mut().zip(&scale) {
            *s = (*s * scale).clamp(-1.0, 1.0);
        }
    });
    signal
}

pub(super) fn equalize_units(signal: FlexTensor) -> FlexTensor {
    let [rows, columns] = size(&signal);
    let mut signal = readable(signal);
    let scale = with_squares(rows, columns, values(&signal), |squares| {
        let active = squares.iter().filter(|square| **square > 0.0).count();
        let total: f64 = squares.iter().map(|square| f64::from(*square)).sum();
        let norm = (total / active.max(1) as f64).sqrt() as f32;
        let scale = |square: &f32| if *square > 0.0 { norm / square.sqrt() } else { 1.0 };
        squares.iter().map(scale).collect::<Vec<f32>>()
    });
    for_each_row(values_mut(&mut signal), columns, |_, row| {
        for (s, scale) in row.iter_mut().zip(&scale) {
            *s *= scale;
        }
    });
    signal
}
