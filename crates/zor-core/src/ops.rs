//! The operations of the rule on tensors: what a layer is made of.
//!
//! Each runs on the device of its tensors, as the backend's own version or as the body in burn's primitives. An
//! argument called `buffer` lends its memory to the result (take it from a [`crate::Workspace`]); its contents do not matter.
//! Results are written in place of the first argument when nobody else holds it.

use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::Tensor;

use crate::backend::ZorBackend;
pub use crate::backend::{AdamStep, ErrorSums, GateSettings, NORM_EPSILON, Transposed};
use crate::workspace::Workspace;

/// The tensor itself if nobody else holds its memory, else a copy in a buffer of the workspace: what follows can change it in place.
pub fn exclusive(tensor: Tensor<2>, workspace: &mut Workspace) -> Tensor<2> {
    let shape = tensor.dims();
    let tensor = tensor.into_dispatch();
    if tensor.can_mut() {
        return Tensor::from_dispatch(tensor);
    }
    let buffer = workspace.take(shape);
    Tensor::from_dispatch(Dispatch::copy(tensor, buffer.into_dispatch()))
}

/// The analog-spike gate: `charge += input; spike = charge > threshold; output = charge * spike; charge = 0 where spike`.
///
/// When not stateful, the charge starts at zero; otherwise charges below `min_charge` become zero first.
/// Returns output, spikes (0.0 or 1.0) and the charge left.
///
/// # Shapes
/// All `[batch, units]`.
pub fn spike_gate(
    input: Tensor<2>,
    charge: Tensor<2>,
    buffer: Tensor<2>,
    settings: GateSettings,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let (output, spikes, charge) = Dispatch::spike_gate(
        input.into_dispatch(),
        charge.into_dispatch(),
        buffer.into_dispatch(),
        settings,
    );
    (Tensor::from_dispatch(output), Tensor::from_dispatch(spikes), Tensor::from_dispatch(charge))
}

/// Divides each column by its L2 norm over the batch, then clamps to [-1, 1]. A column of zeros stays zero.
///
/// # Shapes
/// `[batch, units]`.
pub fn unit_normalize(signal: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::unit_normalize(signal.into_dispatch()))
}

/// `signal * |spikes / (||spikes||_column + 1e-8)|`, written to the buffer.
///
/// # Shapes
/// All `[batch, units]`.
pub fn gate_signal(signal: Tensor<2>, spikes: Tensor<2>, buffer: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::gate_signal(
        signal.into_dispatch(),
        spikes.into_dispatch(),
        buffer.into_dispatch(),
    ))
}

/// The elementwise product, in place of the first tensor.
pub fn multiply(tensor: Tensor<2>, by: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::multiply(tensor.into_dispatch(), by.into_dispatch()))
}

/// A matrix product, written to the buffer.
///
/// # Shapes
/// `Neither`: `[m, k] @ [k, n]`; `Left`: `[k, m]^T @ [k, n]`; `Right`: `[m, k] @ [n, k]^T`; the buffer is `[m, n]`.
pub fn product(
    left: Tensor<2>,
    right: Tensor<2>,
    buffer: Tensor<2>,
    transposed: Transposed,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::product(
        left.into_dispatch(),
        right.into_dispatch(),
        buffer.into_dispatch(),
        transposed,
    ))
}

/// The correlation `presynaptic^T @ signal`, written to the buffer. With `normalize`, presynaptic activity is first divided by
/// its L2 norm per column (plus 1e-8).
///
/// # Shapes
/// `[batch, inputs]`, `[batch, outputs]` -> `[inputs, outputs]`.
pub fn correlate(
    presynaptic: Tensor<2>,
    signal: Tensor<2>,
    buffer: Tensor<2>,
    normalize: bool,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::correlate(
        presynaptic.into_dispatch(),
        signal.into_dispatch(),
        buffer.into_dispatch(),
        normalize,
    ))
}

/// `target - output`, in place of the output, with the sums of its absolute values and squares.
///
/// # Shapes
/// All `[batch, units]`.
pub fn error_signal(target: Tensor<2>, output: Tensor<2>) -> (Tensor<2>, ErrorSums) {
    let (signal, sums) = Dispatch::error_signal(target.into_dispatch(), output.into_dispatch());
    (Tensor::from_dispatch(signal), sums)
}

/// Whether every element is a finite number. Reads the device.
pub fn all_finite(tensor: &Tensor<2>) -> bool {
    Dispatch::all_finite(tensor.clone().into_dispatch())
}

/// `clamp(decay * weight + rate * direction, ±limit)`, in place of the weight.
///
/// With `limit` infinite it is the scaled sum of two tensors of any meaning.
pub fn move_weight(
    weight: Tensor<2>,
    direction: Tensor<2>,
    decay: f32,
    rate: f32,
    limit: f32,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::move_weight(
        weight.into_dispatch(),
        direction.into_dispatch(),
        decay,
        rate,
        limit,
    ))
}

/// Divides a matrix by its Frobenius norm (plus 1e-8), in place.
pub fn frobenius_normalize(matrix: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::frobenius_normalize(matrix.into_dispatch()))
}

/// Adds a number to every element of the diagonal, in place.
///
/// # Shapes
/// `[n, n]`.
pub fn add_to_diagonal(matrix: Tensor<2>, value: f32) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::add_to_diagonal(matrix.into_dispatch(), value))
}

/// One step of AdamW (Loshchilov and Hutter 2019, with the correlation as the negative gradient), then the weight limit.
/// Returns the weight and both moments, each in place.
pub fn adam_step(
    weight: Tensor<2>,
    correlation: Tensor<2>,
    moment_1: Tensor<2>,
    moment_2: Tensor<2>,
    step: AdamStep,
) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let (weight, moment_1, moment_2) = Dispatch::adam_step(
        weight.into_dispatch(),
        correlation.into_dispatch(),
        moment_1.into_dispatch(),
        moment_2.into_dispatch(),
        step,
    );
    (
        Tensor::from_dispatch(weight),
        Tensor::from_dispatch(moment_1),
        Tensor::from_dispatch(moment_2),
    )
}
