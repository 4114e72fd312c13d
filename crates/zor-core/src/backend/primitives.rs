//! Every operation of [`super::ZorBackend`] in burn's primitives: the reference that fused versions are tested against.

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::{FloatDType, TensorData};

use super::{AdamStep, ErrorSums, GateSettings, NORM_EPSILON, Transposed};

fn as_float<B: Backend>(
    tensor: burn::backend::tensor::BoolTensor<B>,
    like: FloatDType,
) -> FloatTensor<B> {
    B::bool_into_float(tensor, like)
}

/// 1.0 where the element is above the bound, else 0.0.
fn above<B: Backend>(tensor: FloatTensor<B>, bound: f32) -> FloatTensor<B> {
    let device: Device<B> = tensor.device();
    let float: FloatDType = tensor.dtype().into();
    let bools = get_or_init_device_settings::<B>(&device).bool_dtype;
    as_float::<B>(B::float_greater_elem(tensor, bound.into(), bools), float)
}

/// L2 norm of each column, shape `[1, columns]`.
fn column_norms<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let squares = B::float_mul(tensor.clone(), tensor);
    B::float_sqrt(B::float_sum_dim(squares, 0))
}

pub(super) fn spike_gate<B: Backend>(
    input: FloatTensor<B>,
    charge: FloatTensor<B>,
    _buffer: FloatTensor<B>,
    settings: GateSettings,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let total = if settings.stateful {
        // Keep a charge unless it is below the floor: keep = 1 - [charge < floor].
        let device: Device<B> = charge.device();
        let float: FloatDType = charge.dtype().into();
        let bools = get_or_init_device_settings::<B>(&device).bool_dtype;
        let low = B::float_greater_equal_elem(charge.clone(), settings.min_charge.into(), bools);
        B::float_add(B::float_mul(charge, as_float::<B>(low, float)), input)
    } else {
        input
    };
    let spikes = above::<B>(total.clone(), settings.threshold);
    let output = B::float_mul(total.clone(), spikes.clone());
    let charge = B::float_sub(total, output.clone());
    (output, spikes, charge)
}

pub(super) fn unit_normalize<B: Backend>(signal: FloatTensor<B>) -> FloatTensor<B> {
    let norms = column_norms::<B>(signal.clone());
    // A column of zeros divides by one instead of by zero.
    let silent = B::float_neg(B::float_sub_scalar(above::<B>(norms.clone(), 0.0), 1f32.into()));
    let divided = B::float_div(signal, B::float_add(norms, silent));
    B::float_clamp(divided, (-1f32).into(), 1f32.into())
}

pub(super) fn gate_signal<B: Backend>(
    signal: FloatTensor<B>,
    spikes: FloatTensor<B>,
    _buffer: FloatTensor<B>,
) -> FloatTensor<B> {
    let norms = B::float_add_scalar(column_norms::<B>(spikes.clone()), NORM_EPSILON.into());
    B::float_mul(signal, B::float_abs(B::float_div(spikes, norms)))
}

pub(super) fn copy<B: Backend>(tensor: FloatTensor<B>, _buffer: FloatTensor<B>) -> FloatTensor<B> {
    // burn's operations copy what is shared before they change it.
    tensor
}

pub(super) fn product<B: Backend>(
    left: FloatTensor<B>,
    right: FloatTensor<B>,
    _buffer: FloatTensor<B>,
    transposed: Transposed,
) -> FloatTensor<B> {
    match transposed {
        Transposed::Neither => B::float_matmul(left, right),
        Transposed::Left => B::float_matmul(B::float_transpose(left), right),
        Transposed::Right => B::float_matmul(left, B::float_transpose(right)),
    }
}

pub(super) fn correlate<B: Backend>(
    presynaptic: FloatTensor<B>,
    signal: FloatTensor<B>,
    buffer: FloatTensor<B>,
    normalize: bool,
) -> FloatTensor<B> {
    let presynaptic = if normalize {
        let norms = column_norms::<B>(presynaptic.clone());
        B::float_div(presynaptic, B::float_add_scalar(norms, NORM_EPSILON.into()))
    } else {
        presynaptic
    };
    product::<B>(presynaptic, signal, buffer, Transposed::Left)
}

pub(super) fn error_signal<B: Backend>(
    target: FloatTensor<B>,
    output: FloatTensor<B>,
) -> (FloatTensor<B>, ErrorSums) {
    let signal = B::float_sub(target, output);
    let sum = |tensor: FloatTensor<B>| f64::from(read_scalar::<B>(B::float_sum(tensor)));
    let sums = ErrorSums {
        absolute: sum(B::float_abs(signal.clone())),
        squared: sum(B::float_mul(signal.clone(), signal.clone())),
    };
    (signal, sums)
}

pub(super) fn all_finite<B: Backend>(tensor: FloatTensor<B>) -> bool {
    // Zero times a finite number is zero; times infinity or NaN it is NaN.
    read_scalar::<B>(B::float_sum(B::float_mul_scalar(tensor, 0f32.into()))) == 0.0
}

/// The value of a tensor of one element; NaN if the device cannot be read.
fn read_scalar<B: Backend>(tensor: FloatTensor<B>) -> f32 {
    let data = burn::tensor::try_read_sync(B::float_into_data(tensor));
    match data {
        Some(Ok(data)) => data.iter::<f32>().next().unwrap_or(f32::NAN),
        _ => f32::NAN,
    }
}

pub(super) fn move_weight<B: Backend>(
    weight: FloatTensor<B>,
    direction: FloatTensor<B>,
    decay: f32,
    rate: f32,
    limit: f32,
) -> FloatTensor<B> {
    let kept = B::float_mul_scalar(weight, decay.into());
    let moved = B::float_add(kept, B::float_mul_scalar(direction, rate.into()));
    clamp_weight::<B>(moved, limit)
}

pub(super) fn frobenius_normalize<B: Backend>(matrix: FloatTensor<B>) -> FloatTensor<B> {
    let columns = column_norms::<B>(matrix.clone());
    let norm = B::float_sqrt(B::float_sum_dim(B::float_mul(columns.clone(), columns), 1));
    B::float_div(matrix, B::float_add_scalar(norm, NORM_EPSILON.into()))
}

pub(super) fn add_to_diagonal<B: Backend>(matrix: FloatTensor<B>, value: f32) -> FloatTensor<B> {
    let shape = matrix.shape();
    let mut diagonal = vec![0f32; shape.num_elements()];
    diagonal.iter_mut().step_by(shape[1] + 1).for_each(|x| *x = value);
    let diagonal = TensorData::new(diagonal, shape);
    let device = matrix.device();
    B::float_add(matrix, B::float_from_data(diagonal, &device))
}

pub(super) fn adam_step<B: Backend>(
    weight: FloatTensor<B>,
    correlation: FloatTensor<B>,
    moment_1: FloatTensor<B>,
    moment_2: FloatTensor<B>,
    step: AdamStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let square = B::float_mul(correlation.clone(), correlation.clone());
    let blend = |moment, new, beta: f32| {
        B::float_add(
            B::float_mul_scalar(moment, beta.into()),
            B::float_mul_scalar(new, (1.0 - beta).into()),
        )
    };
    let moment_1 = blend(moment_1, correlation, step.beta_1);
    let moment_2 = blend(moment_2, square, step.beta_2);
    let root = B::float_sqrt(B::float_mul_scalar(moment_2.clone(), step.correction_2.into()));
    let direction = B::float_div(moment_1.clone(), B::float_add_scalar(root, step.epsilon.into()));
    let weight = move_weight::<B>(weight, direction, step.decay, step.rate, step.limit);
    (weight, moment_1, moment_2)
}

fn clamp_weight<B: Backend>(weight: FloatTensor<B>, limit: f32) -> FloatTensor<B> {
    if limit.is_finite() { B::float_clamp(weight, (-limit).into(), limit.into()) } else { weight }
}
