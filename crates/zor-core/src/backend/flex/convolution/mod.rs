//! Convolutions on the CPU, channels last: selects the algorithm for each shape.

#![allow(
    clippy::needless_range_loop,
    reason = "blocks of registers are indexed as in the equations"
)]

mod direct;
#[cfg(test)]
mod tests;
mod winograd;

use super::pooling;
use super::scratch::with_scratch;
use crate::backend::{Geometry, Window};

/// Computes the outputs of a batch of maps.
pub(super) fn forward(geometry: Geometry, input: &[f32], kernel: &[f32], output: &mut [f32]) {
    if winograd::suits(&geometry) {
        winograd::forward(geometry, input, kernel, output, None);
    } else {
        direct::forward(geometry, input, kernel, output);
    }
}

/// Computes the correlation with the inputs and the signal at the inputs, each if requested, from
/// the signal at the outputs.
pub(super) fn learn(
    geometry: Geometry,
    input: &[f32],
    signal: &[f32],
    kernel: &[f32],
    correlation: Option<&mut [f32]>,
    below: Option<&mut [f32]>,
) {
    if winograd::suits(&geometry) {
        return winograd::learn(geometry, input, (signal, None), kernel, correlation, below);
    }
    if let Some(correlation) = correlation {
        direct::correlate(geometry, input, signal, correlation);
    }
    if let Some(below) = below {
        direct::adjoint(geometry, signal, kernel, below);
    }
}

/// Computes the maximum output under every window of a pool, and the index of its element.
pub(super) fn forward_pooled(
    (geometry, pool): (Geometry, Geometry),
    input: &[f32],
    kernel: &[f32],
    output: &mut [f32],
    winners: &mut [f32],
) {
    if fuses(&geometry, &pool) {
        return winograd::forward(geometry, input, kernel, output, Some(winners));
    }
    let maps = output.len() / pool.output().iter().product::<usize>();
    with_scratch(maps * pool.input.iter().product::<usize>(), |all| {
        forward(geometry, input, kernel, all);
        pooling::max(pool, all, output, winners);
    });
}

/// [`learn`] for signals at the outputs of [`forward_pooled`].
pub(super) fn learn_pooled(
    (geometry, pool): (Geometry, Geometry),
    input: &[f32],
    (signal, winners): (&[f32], &[f32]),
    kernel: &[f32],
    correlation: &mut [f32],
    below: &mut [f32],
) {
    let to = (Some(correlation), Some(below));
    if fuses(&geometry, &pool) {
        return winograd::learn(geometry, input, (signal, Some(winners)), kernel, to.0, to.1);
    }
    let maps = signal.len() / pool.output().iter().product::<usize>();
    with_scratch(maps * pool.input.iter().product::<usize>(), |all| {
        pooling::max_route(pool, signal, winners, all);
        learn(geometry, input, all, kernel, to.0, to.1);
    });
}

/// True if a convolution and the pool behind it are computed in one pass.
fn fuses(geometry: &Geometry, pool: &Geometry) -> bool {
    winograd::suits(geometry) && pool.window == Window::tiling(2)
}
