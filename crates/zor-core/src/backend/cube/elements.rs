//! Elementwise kernels, one unit per element.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

#[cube(launch)]
pub(super) fn gate(
    output: &mut [f32],
    charge: &mut [f32],
    spikes: &mut [f32],
    threshold: f32,
    min_charge: f32,
    #[comptime] stateful: bool,
) {
    let at = ABSOLUTE_POS;
    if at < output.len() {
        let mut total = output[at];
        if stateful {
            let carried = charge[at];
            total += select(carried >= min_charge, carried, 0.0);
        }
        let fired = total > threshold;
        spikes[at] = select(fired, 1.0, 0.0);
        output[at] = select(fired, total, 0.0);
        charge[at] = select(fired, 0.0, total);
    }
}

#[cube(launch)]
pub(super) fn silence(values: &mut [f32], threshold: f32) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        let value = values[at];
        values[at] = select(value > threshold, value, 0.0);
    }
}

#[cube(launch)]
pub(super) fn positive(values: &[f32], result: &mut [f32]) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        result[at] = select(values[at] > 0.0, 1.0, 0.0);
    }
}

#[cube(launch)]
pub(super) fn copy(values: &[f32], copy: &mut [f32]) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        copy[at] = values[at];
    }
}

#[cube(launch)]
pub(super) fn multiply(values: &mut [f32], by: &[f32]) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        values[at] *= by[at];
    }
}

/// Writes 1 to `found` if any value is infinite or NaN.
///
/// The test inspects bits: a compiler for GPUs may assume that such values do not occur.
#[cube(launch)]
pub(super) fn find_not_finite(values: &[f32], found: &mut [f32]) {
    let at = ABSOLUTE_POS;
    if at < values.len() {
        if !is_finite(values[at]) {
            found[0] = 1.0;
        }
    }
}

#[cube]
fn is_finite(value: f32) -> bool {
    let exponent = 0x7F80_0000u32;
    (u32::reinterpret(value) & exponent) != exponent
}

/// Weights whose direction is not finite stay.
#[cube(launch)]
pub(super) fn scaled_sum(weight: &mut [f32], direction: &[f32], decay: f32, rate: f32, limit: f32) {
    let at = ABSOLUTE_POS;
    if at < weight.len() {
        let direction = direction[at];
        if is_finite(direction) {
            weight[at] = within(decay * weight[at] + rate * direction, limit);
        }
    }
}

#[cube(launch)]
pub(super) fn add_to_diagonal(matrix: &mut [f32], value: f32, columns: usize) {
    let at = ABSOLUTE_POS * (columns + 1);
    if at < matrix.len() {
        matrix[at] += value;
    }
}

/// One step of AdamW with the coefficients of [`crate::ops::AdamStep`]. Where the correlation is
/// not finite, weight and moments stay.
#[cube(launch)]
pub(super) fn adam(
    weight: &mut [f32],
    correlation: &[f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    rate: f32,
    beta_1: f32,
    beta_2: f32,
    correction_2: f32,
    epsilon: f32,
    decay: f32,
    limit: f32,
) {
    let at = ABSOLUTE_POS;
    if at < weight.len() {
        let c = correlation[at];
        if is_finite(c) {
            let first = beta_1 * moment_1[at] + (1.0 - beta_1) * c;
            let second = beta_2 * moment_2[at] + (1.0 - beta_2) * c * c;
            moment_1[at] = first;
            moment_2[at] = second;
            let direction = first / (f32::sqrt(second * correction_2) + epsilon);
            weight[at] = within(decay * weight[at] + rate * direction, limit);
        }
    }
}

#[cube]
fn within(value: f32, limit: f32) -> f32 {
    f32::max(f32::min(value, limit), -limit)
}
