//! Every operation of [`super::ZorBackend`] in burn's primitives: the reference for the tests of
//! the fused kernels.

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata, get_or_init_device_settings};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{FloatDType, Shape, TensorData};

use super::{
    AdamStep, ClassTarget, DropSettings, GateSettings, Geometry, NORM_EPSILON, Transposed, Window,
};

fn as_float<B: Backend>(
    tensor: burn::backend::tensor::BoolTensor<B>,
    like: FloatDType,
) -> FloatTensor<B> {
    B::bool_into_float(tensor, like)
}

/// 1.0 where the element is above the bound, else 0.0.
pub(super) fn above<B: Backend>(tensor: FloatTensor<B>, bound: f32) -> FloatTensor<B> {
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
        // Keep a charge unless it is below the floor: keep = [charge >= floor].
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

pub(super) fn unit_normalize<B: Backend>(signal: FloatTensor<B>, epsilon: f32) -> FloatTensor<B> {
    let norms = column_norms::<B>(signal.clone());
    // A column of zeros divides by one instead of by zero.
    let silent = B::float_neg(B::float_sub_scalar(above::<B>(norms.clone(), 0.0), 1f32.into()));
    let norms = B::float_add_scalar(norms, epsilon.into());
    let divided = B::float_div(signal, B::float_add(norms, silent));
    B::float_clamp(divided, (-1f32).into(), 1f32.into())
}

pub(super) fn equalize_units<B: Backend>(signal: FloatTensor<B>) -> FloatTensor<B> {
    let norms = column_norms::<B>(signal.clone());
    let active = above::<B>(norms.clone(), 0.0);
    let squares = B::float_sum_dim(B::float_mul(norms.clone(), norms.clone()), 1);
    let one = |x| B::float_clamp_min(x, 1f32.into());
    let mean = B::float_div(squares, one(B::float_sum_dim(active.clone(), 1)));
    let silent = B::float_neg(B::float_sub_scalar(active, 1f32.into()));
    let scale = B::float_div(B::float_sqrt(mean), B::float_add(norms, silent));
    B::float_mul(signal, scale)
}

pub(super) fn gate_signal<B: Backend>(
    signal: FloatTensor<B>,
    spikes: FloatTensor<B>,
    _buffer: FloatTensor<B>,
) -> FloatTensor<B> {
    let norms = B::float_add_scalar(column_norms::<B>(spikes.clone()), NORM_EPSILON.into());
    B::float_mul(signal, B::float_abs(B::float_div(spikes, norms)))
}

pub(super) fn drop_values<B: Backend>(
    tensor: FloatTensor<B>,
    settings: DropSettings,
) -> FloatTensor<B> {
    let shape = [tensor.shape()[0], tensor.shape()[1]];
    let mut mask = vec![1f32; shape[0] * shape[1]];
    let runs = mask.chunks_mut(DropSettings::RUN).enumerate();
    runs.for_each(|(run, values)| settings.apply(run, values));
    let mask = B::float_from_data(TensorData::new(mask, shape), &tensor.device());
    B::float_mul(tensor, mask)
}

pub(super) fn copy<B: Backend>(tensor: FloatTensor<B>, _buffer: FloatTensor<B>) -> FloatTensor<B> {
    // burn's operations copy shared memory before they change it.
    tensor
}

pub(super) fn matmul<B: Backend>(
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

pub(super) fn normalize_presynaptic<B: Backend>(
    correlation: FloatTensor<B>,
    presynaptic: FloatTensor<B>,
    groups: usize,
) -> FloatTensor<B> {
    let [rows, outputs] = [correlation.shape()[0], correlation.shape()[1]];
    let channels = presynaptic.shape()[1];
    let norms = B::float_add_scalar(column_norms::<B>(presynaptic), NORM_EPSILON.into());
    // Norms as [1, channels of a group, groups, 1]; the correlation as
    // [elements, channels of a group, groups, outputs of a group].
    let each = channels / groups;
    let norms =
        B::float_permute(B::float_reshape(norms, Shape::from([1, groups, each, 1])), &[0, 2, 1, 3]);
    let split = Shape::from([rows / each, each, groups, outputs / groups]);
    let divided = B::float_div(B::float_reshape(correlation, split), norms);
    B::float_reshape(divided, Shape::from([rows, outputs]))
}

/// Mean of each column, shape `[1, columns]`.
fn column_means<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let rows = tensor.shape()[0] as f32;
    B::float_mul_scalar(B::float_sum_dim(tensor, 0), (1.0 / rows).into())
}

pub(super) fn batch_normalize<B: Backend>(
    input: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    _buffer: FloatTensor<B>,
    epsilon: f32,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let mean = column_means::<B>(input.clone());
    let centred = B::float_sub(input, mean.clone());
    let variance = column_means::<B>(B::float_mul(centred.clone(), centred.clone()));
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let output = B::float_add(B::float_mul(B::float_div(centred, deviation.clone()), scale), shift);
    (output, B::float_cat(vec![mean, deviation], 0))
}

pub(super) fn batch_normalize_signal<B: Backend>(
    signal: FloatTensor<B>,
    input: FloatTensor<B>,
    statistics: FloatTensor<B>,
    scale: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let row = |r: usize| {
        let index = burn::tensor::Slice::new(r as isize, Some(r as isize + 1), 1);
        B::float_slice(statistics.clone(), &[index])
    };
    let (mean, deviation) = (row(0), row(1));
    let normalized = B::float_div(B::float_sub(input, mean), deviation.clone());
    let product = B::float_mul(signal.clone(), normalized.clone());
    let correlations =
        vec![B::float_sum_dim(product.clone(), 0), B::float_sum_dim(signal.clone(), 0)];
    let along = B::float_mul(normalized, column_means::<B>(product));
    let centred = B::float_sub(signal.clone(), column_means::<B>(signal));
    let below = B::float_mul(B::float_sub(centred, along), B::float_div(scale, deviation));
    (below, B::float_cat(correlations, 0))
}

pub(super) fn max_pool<B: Backend>(
    input: FloatTensor<B>,
    geometry: Geometry,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let Window { kernel, stride, padding, dilation } = geometry.window;
    let device: Device<B> = input.device();
    let (float, int) = (input.dtype().into(), get_or_init_device_settings::<B>(&device).int_dtype);
    let input = maps::<B>(input, geometry.input);
    let found = B::max_pool2d_with_indices(input, kernel, stride, padding, dilation, false, int);
    (rows::<B>(found.output), rows::<B>(B::int_into_float(found.indices, float)))
}

pub(super) fn max_pool_route<B: Backend>(
    signal: FloatTensor<B>,
    winners: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let Window { kernel, stride, padding, dilation } = geometry.window;
    let device: Device<B> = signal.device();
    let int = get_or_init_device_settings::<B>(&device).int_dtype;
    let input = empty_maps::<B>(&signal, geometry.input);
    let winners = B::float_into_int(maps::<B>(winners, geometry.output()), int);
    let signal = maps::<B>(signal, geometry.output());
    let below = B::max_pool2d_with_indices_backward(
        input, kernel, stride, padding, dilation, false, signal, winners,
    );
    rows::<B>(below.x_grad)
}

pub(super) fn average_pool<B: Backend>(
    input: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let Window { kernel, stride, padding, .. } = geometry.window;
    let input = maps::<B>(input, geometry.input);
    rows::<B>(B::avg_pool2d(input, kernel, stride, padding, false, false))
}

pub(super) fn average_pool_adjoint<B: Backend>(
    signal: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let Window { kernel, stride, padding, .. } = geometry.window;
    let input = empty_maps::<B>(&signal, geometry.input);
    let signal = maps::<B>(signal, geometry.output());
    rows::<B>(B::avg_pool2d_backward(input, signal, kernel, stride, padding, false, false))
}

pub(super) fn error_signal_unread<B: Backend>(
    target: FloatTensor<B>,
    output: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let signal = B::float_sub(target, output);
    let sum = |tensor| B::float_reshape(B::float_sum(tensor), Shape::from([1, 1]));
    let squares = B::float_mul(signal.clone(), signal.clone());
    let sums = vec![sum(B::float_abs(signal.clone())), sum(squares)];
    (signal, B::float_cat(sums, 1))
}

pub(super) fn class_signal_unread<B: Backend>(
    output: FloatTensor<B>,
    target: &ClassTarget,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [rows, columns] = [output.shape()[0], output.shape()[1]];
    let device = output.device();
    let matrix = |values: Vec<f32>, shape: [usize; 2]| {
        B::float_from_data(TensorData::new(values, shape), &device)
    };
    let peaks = B::float_max_dim(output.clone(), 1);
    let powers = B::float_exp(B::float_sub(output, peaks));
    let probabilities = B::float_div(powers.clone(), B::float_sum_dim(powers, 1));
    // One where the number of a column is the class of the row.
    let places = matrix((0..columns).map(|column| column as f32).collect(), [1, columns]);
    let classes = matrix(target.classes.iter().map(|class| *class as f32).collect(), [rows, 1]);
    let distances = B::float_abs(B::float_sub(places, classes));
    let others = above::<B>(distances, 0.5);
    let (even, share) = (target.smoothing / columns as f32, 1.0 - target.smoothing);
    let of_class = B::float_mul_scalar(others, (-share).into());
    let wanted = B::float_add_scalar(of_class, (share + even).into());
    let (wanted, probabilities) = match &target.weights {
        Some(weights) => {
            let weights = matrix(weights.to_vec(), [rows, 1]);
            (B::float_mul(wanted, weights.clone()), B::float_mul(probabilities, weights))
        }
        None => (wanted, probabilities),
    };
    error_signal_unread::<B>(wanted, probabilities)
}

pub(super) fn all_finite<B: Backend>(tensor: FloatTensor<B>) -> bool {
    // Zero times a finite number is zero; times infinity or NaN it is NaN.
    read::<B, 1>(B::float_sum(B::float_mul_scalar(tensor, 0f32.into()))) == [0.0]
}

/// Reads the `N` values of a tensor; NaN if the device cannot be read.
pub(super) fn read<B: Backend, const N: usize>(tensor: FloatTensor<B>) -> [f32; N] {
    let mut values = [f32::NAN; N];
    if let Some(Ok(data)) = burn::tensor::try_read_sync(B::float_into_data(tensor)) {
        values.iter_mut().zip(data.iter::<f32>()).for_each(|(value, read)| *value = read);
    }
    values
}

pub(super) fn scaled_sum<B: Backend>(
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

/// Rows that are maps (channels last) as burn's maps (channels first).
fn maps<B: Backend>(rows: FloatTensor<B>, [height, width, channels]: [usize; 3]) -> FloatTensor<B> {
    let batch = rows.shape()[0];
    let maps = B::float_reshape(rows, Shape::from([batch, height, width, channels]));
    B::float_permute(maps, &[0, 3, 1, 2])
}

/// Maps whose values are not read, one per row of another tensor.
fn empty_maps<B: Backend>(like: &FloatTensor<B>, map: [usize; 3]) -> FloatTensor<B> {
    let shape = Shape::from([like.shape()[0], map[2], map[0], map[1]]);
    B::float_empty(shape, &like.device(), like.dtype().into())
}

/// The inverse of [`maps`].
fn rows<B: Backend>(maps: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, values] = [maps.shape()[0], maps.shape().num_elements()];
    let maps = B::float_permute(maps, &[0, 2, 3, 1]);
    B::float_reshape(maps, Shape::from([batch, values / batch]))
}

/// A kernel matrix as burn's kernel `[outputs, inputs, height, width]`.
fn kernels<B: Backend>(matrix: FloatTensor<B>, geometry: &Geometry) -> FloatTensor<B> {
    let [height, width] = geometry.window.kernel;
    let inputs = geometry.input[2] / geometry.groups;
    let shape = Shape::from([height, width, inputs, geometry.channels]);
    B::float_permute(B::float_reshape(matrix, shape), &[3, 2, 0, 1])
}

fn options(geometry: &Geometry) -> ConvOptions<2> {
    let window = geometry.window;
    ConvOptions::new(window.stride, window.padding, window.dilation, geometry.groups)
}

pub(super) fn convolve<B: Backend>(
    input: FloatTensor<B>,
    kernel: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let (input, kernel) = (maps::<B>(input, geometry.input), kernels::<B>(kernel, &geometry));
    rows::<B>(B::conv2d(input, kernel, None, options(&geometry)))
}

pub(super) fn convolve_adjoint<B: Backend>(
    signal: FloatTensor<B>,
    kernel: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let input = empty_maps::<B>(&signal, geometry.input);
    let (signal, kernel) = (maps::<B>(signal, geometry.output()), kernels::<B>(kernel, &geometry));
    rows::<B>(B::conv2d_x_backward(input, kernel, signal, options(&geometry)))
}

pub(super) fn convolve_correlate<B: Backend>(
    input: FloatTensor<B>,
    signal: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let shape = Shape::from(geometry.kernel_shape());
    let kernel = B::float_empty(shape.clone(), &signal.device(), signal.dtype().into());
    let kernel = kernels::<B>(kernel, &geometry);
    let input = maps::<B>(input, geometry.input);
    let signal = maps::<B>(signal, geometry.output());
    let correlation = B::conv2d_weight_backward(input, kernel, signal, options(&geometry));
    B::float_reshape(B::float_permute(correlation, &[2, 3, 1, 0]), shape)
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
    let weight = scaled_sum::<B>(weight, direction, step.decay, step.rate, step.limit);
    (weight, moment_1, moment_2)
}

fn clamp_weight<B: Backend>(weight: FloatTensor<B>, limit: f32) -> FloatTensor<B> {
    if limit.is_finite() { B::float_clamp(weight, (-limit).into(), limit.into()) } else { weight }
}
