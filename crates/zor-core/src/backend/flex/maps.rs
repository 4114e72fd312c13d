//! Pooling and convolutions of tensors whose rows are maps: checks shapes, takes memory for the
//! results and calls the kernels of `pooling` and `convolution`.

use burn_flex::FlexTensor;

use super::memory::{check_maps, check_same, readable, reuse, size, values, values_mut};
use super::{convolution, pooling};
use crate::backend::Geometry;

pub(super) fn max_pool(
    input: FlexTensor,
    buffer: FlexTensor,
    winners: FlexTensor,
    geometry: Geometry,
) -> (FlexTensor, FlexTensor) {
    let input = readable(input);
    check_maps(&input, geometry.input);
    let shape = [size(&input)[0], geometry.output().iter().product()];
    let (mut output, mut winners) = (reuse(buffer, shape), reuse(winners, shape));
    let to = (values_mut(&mut output), values_mut(&mut winners));
    pooling::max(geometry, values(&input), to.0, to.1);
    (output, winners)
}

pub(super) fn max_pool_route(
    signal: FlexTensor,
    winners: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let (signal, winners) = (readable(signal), readable(winners));
    check_same(&signal, &winners);
    check_maps(&signal, geometry.output());
    let mut below = reuse(buffer, [size(&signal)[0], geometry.input.iter().product()]);
    pooling::max_route(geometry, values(&signal), values(&winners), values_mut(&mut below));
    below
}

pub(super) fn average_pool(
    input: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let input = readable(input);
    check_maps(&input, geometry.input);
    let mut output = reuse(buffer, [size(&input)[0], geometry.output().iter().product()]);
    pooling::average(geometry, values(&input), values_mut(&mut output));
    output
}

pub(super) fn average_pool_adjoint(
    signal: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let signal = readable(signal);
    check_maps(&signal, geometry.output());
    let mut below = reuse(buffer, [size(&signal)[0], geometry.input.iter().product()]);
    pooling::average_adjoint(geometry, values(&signal), values_mut(&mut below));
    below
}

pub(super) fn convolve(
    input: FlexTensor,
    kernel: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let (input, kernel) = (readable(input), readable(kernel));
    let mut output = reuse(buffer, [size(&input)[0], geometry.output().iter().product()]);
    check_maps(&input, geometry.input);
    convolution::forward(geometry, values(&input), values(&kernel), values_mut(&mut output));
    output
}

pub(super) fn convolve_adjoint(
    signal: FlexTensor,
    kernel: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let (signal, kernel) = (readable(signal), readable(kernel));
    let mut below = reuse(buffer, [size(&signal)[0], geometry.input.iter().product()]);
    check_maps(&signal, geometry.output());
    let (signal, kernel) = (values(&signal), values(&kernel));
    let to = Some(values_mut(&mut below));
    convolution::learn(geometry, &[], signal, kernel, None, to);
    below
}

pub(super) fn convolve_correlate(
    input: FlexTensor,
    signal: FlexTensor,
    buffer: FlexTensor,
    geometry: Geometry,
) -> FlexTensor {
    let (input, signal) = (readable(input), readable(signal));
    let mut correlation = reuse(buffer, geometry.kernel_shape());
    check_maps(&input, geometry.input);
    check_maps(&signal, geometry.output());
    let to = Some(values_mut(&mut correlation));
    convolution::learn(geometry, values(&input), values(&signal), &[], to, None);
    correlation
}

pub(super) fn convolve_learn(
    input: FlexTensor,
    signal: FlexTensor,
    kernel: FlexTensor,
    correlation: FlexTensor,
    below: FlexTensor,
    geometry: Geometry,
) -> (FlexTensor, FlexTensor) {
    let (input, signal, kernel) = (readable(input), readable(signal), readable(kernel));
    let mut correlation = reuse(correlation, geometry.kernel_shape());
    let mut below = reuse(below, size(&input));
    check_maps(&input, geometry.input);
    check_maps(&signal, geometry.output());
    let to = (Some(values_mut(&mut correlation)), Some(values_mut(&mut below)));
    let (inputs, signals) = (values(&input), values(&signal));
    convolution::learn(geometry, inputs, signals, values(&kernel), to.0, to.1);
    (correlation, below)
}

pub(super) fn convolve_pooled(
    input: FlexTensor,
    kernel: FlexTensor,
    buffer: FlexTensor,
    winners: FlexTensor,
    geometry: Geometry,
    pool: Geometry,
) -> (FlexTensor, FlexTensor) {
    let (input, kernel) = (readable(input), readable(kernel));
    check_maps(&input, geometry.input);
    let shape = [size(&input)[0], pool.output().iter().product()];
    let (mut output, mut winners) = (reuse(buffer, shape), reuse(winners, shape));
    let to = (values_mut(&mut output), values_mut(&mut winners));
    let (inputs, kernel) = (values(&input), values(&kernel));
    convolution::forward_pooled((geometry, pool), inputs, kernel, to.0, to.1);
    (output, winners)
}

pub(super) fn convolve_pooled_learn(
    [input, signal, winners, kernel]: [FlexTensor; 4],
    [correlation, below]: [FlexTensor; 2],
    geometry: Geometry,
    pool: Geometry,
) -> (FlexTensor, FlexTensor) {
    let (input, kernel) = (readable(input), readable(kernel));
    let (signal, winners) = (readable(signal), readable(winners));
    let mut correlation = reuse(correlation, geometry.kernel_shape());
    let mut below = reuse(below, size(&input));
    check_maps(&input, geometry.input);
    check_maps(&signal, pool.output());
    check_same(&signal, &winners);
    let to = (values_mut(&mut correlation), values_mut(&mut below));
    let (inputs, above) = (values(&input), (values(&signal), values(&winners)));
    convolution::learn_pooled((geometry, pool), inputs, above, values(&kernel), to.0, to.1);
    (correlation, below)
}
