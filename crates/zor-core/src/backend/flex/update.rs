//! Operations of optimizers other than Adam on a weight or its direction.

use burn_flex::FlexTensor;

use super::memory::{check_same, readable, size, values, values_mut};
use super::passes::{add_squares, in_chunks, simd};
use crate::backend::NORM_EPSILON;

pub(super) fn scaled_sum(
    weight: FlexTensor,
    direction: FlexTensor,
    decay: f32,
    rate: f32,
    limit: f32,
) -> FlexTensor {
    let (mut weight, direction) = (readable(weight), readable(direction));
    check_same(&weight, &direction);
    in_chunks(values_mut(&mut weight), values(&direction), |w, d| {
        *w = (decay * *w + rate * d).clamp(-limit, limit);
    });
    weight
}

pub(super) fn frobenius_normalize(matrix: FlexTensor) -> FlexTensor {
    let mut matrix = readable(matrix);
    let all = values_mut(&mut matrix);
    let mut sum = 0f64;
    for run in all.chunks(1024) {
        let mut lanes = [0f32; 16];
        simd(
            #[inline(always)]
            || run.chunks(16).for_each(|run| add_squares(&mut lanes, run)),
        );
        sum += f64::from(lanes.iter().sum::<f32>());
    }
    let scale = (1.0 / (sum.sqrt() + f64::from(NORM_EPSILON))) as f32;
    simd(
        #[inline(always)]
        || all.iter_mut().for_each(|x| *x *= scale),
    );
    matrix
}

pub(super) fn add_to_diagonal(matrix: FlexTensor, value: f32) -> FlexTensor {
    let columns = size(&matrix)[1];
    let mut matrix = readable(matrix);
    values_mut(&mut matrix).iter_mut().step_by(columns + 1).for_each(|x| *x += value);
    matrix
}
