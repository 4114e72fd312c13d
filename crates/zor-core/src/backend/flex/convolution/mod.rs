//! Convolutions on the CPU, channels last: which algorithm computes which shape.

#![allow(
    clippy::needless_range_loop,
    reason = "blocks of registers are indexed as in the equations"
)]

mod direct;
#[cfg(test)]
mod tests;
mod winograd;

use super::Geometry;

/// The outputs of a batch of maps.
pub(super) fn forward(geometry: Geometry, input: &[f32], kernel: &[f32], output: &mut [f32]) {
    if winograd::suits(&geometry) {
        winograd::forward(geometry, input, kernel, output);
    } else {
        direct::forward(geometry, input, kernel, output);
    }
}

/// What signals at the outputs teach: the correlation with the inputs and the signal of the inputs, where wanted.
pub(super) fn learn(
    geometry: Geometry,
    input: &[f32],
    signal: &[f32],
    kernel: &[f32],
    correlation: Option<&mut [f32]>,
    below: Option<&mut [f32]>,
) {
    if winograd::suits(&geometry) {
        return winograd::learn(geometry, input, signal, kernel, correlation, below);
    }
    if let Some(correlation) = correlation {
        direct::correlate(geometry, input, signal, correlation);
    }
    if let Some(below) = below {
        direct::adjoint(geometry, signal, kernel, below);
    }
}
