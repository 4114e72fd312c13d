//! Convolutions on the CPU, channels last: which algorithm computes which shape.

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

/// The outputs of a batch of maps.
pub(super) fn forward(geometry: Geometry, input: &[f32], kernel: &[f32], output: &mut [f32]) {
    if winograd::suits(&geometry) {
        winograd::forward(geometry, input, kernel, output, None);
    } else {
        direct::forward(geometry, input, kernel, output);
    }
}

/// What signals at the outputs teach: the correlation with the inputs and the signal of the inputs,
/// where wanted.
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

/// The largest outputs under every window of a pool, and which element of the window each is.
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

/// What signals at the largest outputs teach.
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

/// Whether a convolution and the pool behind it are one pass.
fn fuses(geometry: &Geometry, pool: &Geometry) -> bool {
    winograd::suits(geometry) && pool.window == Window::tiling(2)
}
