//! The CPU's versions: in place where a buffer has one owner, one pass over memory where the body
//! in primitives takes several, in parallel from [`PARALLEL_FROM`] elements, and without allocating
//! when the buffers fit.
//!
//! Work is divided by size, never by the number of threads, so that sums do not depend on it.

mod adam;
mod blocks;
mod columns;
mod convolution;
mod few_rows;
mod memory;
mod normalization;
mod pooling;
mod product;
mod scratch;
#[cfg(test)]
mod tests;

use burn::backend::Flex;
use burn_flex::FlexTensor;
use memory::{Grid, check_maps, check_same, readable, reuse, size, values, values_mut};
use product::matrix_product;
use rayon::prelude::*;

use super::{
    AdamStep, ErrorSums, GateSettings, Geometry, NORM_EPSILON, Side, Transposed, ZorBackend,
};

/// Elements from which a pass over memory is worth several threads.
const PARALLEL_FROM: usize = 1 << 16;
/// Elements that one task works on.
const CHUNK: usize = 1 << 14;
/// Columns that one task normalises; its norms live on the stack.
const COLUMNS: usize = 64;

impl ZorBackend for Flex {
    fn spike_gate(
        input: FlexTensor,
        charge: FlexTensor,
        buffer: FlexTensor,
        settings: GateSettings,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = size(&input);
        let mut output = readable(input);
        let mut charge = if settings.stateful { readable(charge) } else { reuse(charge, shape) };
        let mut spikes = reuse(buffer, shape);
        check_same(&output, &charge);
        // The settings as plain numbers: read through a reference they would keep the loop from
        // being vectorised.
        let GateSettings { threshold, min_charge, stateful } = settings;
        let pass = move |output: &mut [f32], charge: &mut [f32], spikes: &mut [f32]| {
            simd(
                #[inline(always)]
                move || {
                    for ((y, q), s) in output.iter_mut().zip(charge).zip(spikes) {
                        let carried = if stateful && *q >= min_charge { *q } else { 0.0 };
                        let total = carried + *y;
                        let fired = total > threshold;
                        *s = if fired { 1.0 } else { 0.0 };
                        *y = if fired { total } else { 0.0 };
                        *q = if fired { 0.0 } else { total };
                    }
                },
            );
        };
        {
            let (y, q, s) =
                (values_mut(&mut output), values_mut(&mut charge), values_mut(&mut spikes));
            if y.len() < PARALLEL_FROM {
                pass(y, q, s);
            } else {
                y.par_chunks_mut(CHUNK)
                    .zip(q.par_chunks_mut(CHUNK))
                    .zip(s.par_chunks_mut(CHUNK))
                    .for_each(|((y, q), s)| pass(y, q, s));
            }
        }
        (output, spikes, charge)
    }

    fn unit_normalize(signal: FlexTensor, epsilon: f32) -> FlexTensor {
        let [rows, columns] = size(&signal);
        let mut signal = readable(signal);
        if is_tall(rows, columns) {
            return normalization::unit_normalize_tall(signal, epsilon);
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

    fn equalize_units(signal: FlexTensor) -> FlexTensor {
        normalization::equalize_units(signal)
    }

    fn gate_signal(signal: FlexTensor, spikes: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        let [rows, columns] = size(&signal);
        let (signal, spikes) = (readable(signal), readable(spikes));
        check_same(&signal, &spikes);
        let mut gated = reuse(buffer, [rows, columns]);
        if is_tall(rows, columns) {
            return normalization::gate_signal_tall(&signal, &spikes, gated);
        }
        let all = Grid::new(values_mut(&mut gated), columns);
        let (signals, spikes) = (values(&signal), values(&spikes));
        for_each_column_block(rows, columns, |from, width| {
            let mut scale = [0f32; COLUMNS];
            let part = |r: usize| r * columns + from..r * columns + from + width;
            simd(
                #[inline(always)]
                || {
                    for r in 0..rows {
                        add_squares(&mut scale[..width], &spikes[part(r)]);
                    }
                    for norm in &mut scale[..width] {
                        *norm = 1.0 / (norm.sqrt() + NORM_EPSILON);
                    }
                    for r in 0..rows {
                        // SAFETY: blocks of columns do not overlap, and each is visited by one
                        // task.
                        let out = unsafe { all.row(r, from, width) };
                        let inputs = signals[part(r)].iter().zip(&spikes[part(r)]).zip(&scale);
                        for (out, ((signal, spike), scale)) in out.iter_mut().zip(inputs) {
                            *out = signal * (spike * scale).abs();
                        }
                    }
                },
            );
        });
        gated
    }

    fn zero_at_or_below(tensor: FlexTensor, threshold: f32) -> FlexTensor {
        let mut tensor = readable(tensor);
        let pass = |values: &mut [f32]| {
            simd(
                #[inline(always)]
                || values.iter_mut().for_each(|x| *x = if *x > threshold { *x } else { 0.0 }),
            );
        };
        match values_mut(&mut tensor) {
            few if few.len() < PARALLEL_FROM => pass(few),
            many => many.par_chunks_mut(CHUNK).for_each(pass),
        }
        tensor
    }

    fn step_mask(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        let mut result = reuse(buffer, size(&tensor));
        let tensor = readable(tensor);
        let pass = |to: &mut f32, from: f32| *to = if from > 0.0 { 1.0 } else { 0.0 };
        in_chunks(values_mut(&mut result), values(&tensor), pass);
        result
    }

    fn multiply(tensor: FlexTensor, by: FlexTensor) -> FlexTensor {
        let (mut tensor, by) = (readable(tensor), readable(by));
        check_same(&tensor, &by);
        in_chunks(values_mut(&mut tensor), values(&by), |t, b| *t *= b);
        tensor
    }

    fn copy(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        let mut copy = reuse(buffer, size(&tensor));
        let tensor = readable(tensor);
        in_chunks(values_mut(&mut copy), values(&tensor), |to, from| *to = from);
        copy
    }

    fn matmul(
        left: FlexTensor,
        right: FlexTensor,
        buffer: FlexTensor,
        transposed: Transposed,
    ) -> FlexTensor {
        let (left, right) = (readable(left), readable(right));
        matrix_product(&left, &right, buffer, transposed)
    }

    fn symmetric_matmul(
        left: FlexTensor,
        right: FlexTensor,
        buffer: FlexTensor,
        transposed: Transposed,
    ) -> FlexTensor {
        product::symmetric_matmul(&readable(left), &readable(right), buffer, transposed)
    }

    fn multiply_square(matrix: FlexTensor, factor: FlexTensor, side: Side) -> FlexTensor {
        product::multiply_square(readable(matrix), &readable(factor), side)
    }

    fn normalize_presynaptic(
        correlation: FlexTensor,
        presynaptic: FlexTensor,
        groups: usize,
    ) -> FlexTensor {
        normalization::normalize_presynaptic(correlation, presynaptic, groups)
    }

    fn scale_shift(tensor: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        normalization::scale_shift(tensor, scale, shift)
    }

    fn batch_normalize(
        input: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        buffer: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor) {
        normalization::batch_normalize(input, scale, shift, buffer, epsilon)
    }

    fn batch_normalize_signal(
        signal: FlexTensor,
        input: FlexTensor,
        statistics: FlexTensor,
        scale: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        normalization::batch_normalize_signal(signal, input, statistics, scale)
    }

    fn max_pool(
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

    fn max_pool_route(
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

    fn average_pool(input: FlexTensor, buffer: FlexTensor, geometry: Geometry) -> FlexTensor {
        let input = readable(input);
        check_maps(&input, geometry.input);
        let mut output = reuse(buffer, [size(&input)[0], geometry.output().iter().product()]);
        pooling::average(geometry, values(&input), values_mut(&mut output));
        output
    }

    fn average_pool_adjoint(
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

    fn error_signal(target: FlexTensor, output: FlexTensor) -> (FlexTensor, ErrorSums) {
        let (target, mut output) = (readable(target), readable(output));
        check_same(&target, &output);
        let pass = |output: &mut [f32], target: &[f32]| {
            let mut sums = ErrorSums::default();
            // Short runs in f32, then f64: exact enough for a million elements, and vectorised.
            for (output, target) in output.chunks_mut(256).zip(target.chunks(256)) {
                let (absolute, squared) = simd(
                    #[inline(always)]
                    || difference(output, target),
                );
                sums.absolute += f64::from(absolute);
                sums.squared += f64::from(squared);
            }
            sums
        };
        let sums = {
            let (o, t) = (values_mut(&mut output), values(&target));
            if o.len() < PARALLEL_FROM {
                pass(o, t)
            } else {
                // The two halves are always cut at the same places, so the sum does not depend on
                // the threads.
                sum_in_halves(o, t, &pass)
            }
        };
        (output, sums)
    }

    fn all_finite(tensor: FlexTensor) -> bool {
        let tensor = readable(tensor);
        // Zero times a finite number is zero; times infinity or NaN it is NaN.
        let finite = |values: &[f32]| {
            simd(
                #[inline(always)]
                || {
                    let mut lanes = [0f32; 64];
                    let (runs, rest) = values.as_chunks::<64>();
                    for run in runs {
                        for lane in 0..64 {
                            lanes[lane] += run[lane] * 0.0;
                        }
                    }
                    lanes.iter().chain(rest).all(|x| *x * 0.0 == 0.0)
                },
            )
        };
        match values(&tensor) {
            few if few.len() < PARALLEL_FROM => finite(few),
            many => many.par_chunks(CHUNK).all(finite),
        }
    }

    fn scaled_sum(
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

    fn frobenius_normalize(matrix: FlexTensor) -> FlexTensor {
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

    fn add_to_diagonal(matrix: FlexTensor, value: f32) -> FlexTensor {
        let columns = size(&matrix)[1];
        let mut matrix = readable(matrix);
        values_mut(&mut matrix).iter_mut().step_by(columns + 1).for_each(|x| *x += value);
        matrix
    }

    fn convolve(
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

    fn convolve_adjoint(
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

    fn convolve_correlate(
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

    fn convolve_learn(
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

    fn convolve_pooled(
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

    fn convolve_pooled_learn(
        input: FlexTensor,
        signal: FlexTensor,
        winners: FlexTensor,
        kernel: FlexTensor,
        correlation: FlexTensor,
        below: FlexTensor,
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

    fn adam_step(
        weight: FlexTensor,
        correlation: FlexTensor,
        moment_1: FlexTensor,
        moment_2: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        adam::step([weight, moment_1, moment_2], correlation, step).into()
    }

    fn adam_step_in_factors(
        weight: FlexTensor,
        presynaptic: FlexTensor,
        signal: FlexTensor,
        moment_1: FlexTensor,
        moment_2: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        adam::step_in_factors([weight, moment_1, moment_2], presynaptic, signal, step).into()
    }
}

/// Whether blocks of columns are too few to share the work.
fn is_tall(rows: usize, columns: usize) -> bool {
    rows > 4 * columns && rows * columns >= PARALLEL_FROM
}

/// Runs a loop compiled for the widest vectors that this processor has.
#[inline(always)]
fn simd<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

#[inline(always)]
fn add_squares(sums: &mut [f32], row: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x * x;
    }
}

/// `target - output` in place of the output; the sums of its absolute values and squares.
#[inline(always)]
fn difference(output: &mut [f32], target: &[f32]) -> (f32, f32) {
    let (mut absolute, mut squared) = ([0f32; 16], [0f32; 16]);
    let mut add = |o: &mut f32, t: &f32, lane: usize| {
        *o = t - *o;
        absolute[lane] += o.abs();
        squared[lane] += *o * *o;
    };
    let (outputs, rest) = output.as_chunks_mut::<16>();
    let (targets, rest_of_target) = target.as_chunks::<16>();
    for (output, target) in outputs.iter_mut().zip(targets) {
        for lane in 0..16 {
            add(&mut output[lane], &target[lane], lane);
        }
    }
    rest.iter_mut().zip(rest_of_target).enumerate().for_each(|(lane, (o, t))| add(o, t, lane));
    (absolute.iter().sum(), squared.iter().sum())
}

fn in_chunks(to: &mut [f32], from: &[f32], change: impl Fn(&mut f32, f32) + Sync) {
    let pass = |to: &mut [f32], from: &[f32]| {
        simd(
            #[inline(always)]
            || {
                for (t, f) in to.iter_mut().zip(from) {
                    change(t, *f);
                }
            },
        );
    };
    if to.len() < PARALLEL_FROM {
        pass(to, from);
    } else {
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(t, f)| pass(t, f));
    }
}

fn sum_in_halves(
    output: &mut [f32],
    target: &[f32],
    pass: &(impl Fn(&mut [f32], &[f32]) -> ErrorSums + Sync),
) -> ErrorSums {
    if output.len() <= CHUNK {
        return pass(output, target);
    }
    let half = (output.len() / 2).next_multiple_of(CHUNK / 2);
    let ((left, right), (left_target, right_target)) =
        (output.split_at_mut(half), target.split_at(half));
    let (a, b) = rayon::join(
        || sum_in_halves(left, left_target, pass),
        || sum_in_halves(right, right_target, pass),
    );
    ErrorSums { absolute: a.absolute + b.absolute, squared: a.squared + b.squared }
}

/// Calls the task for every block of at most [`COLUMNS`] columns: (first column, width).
fn for_each_column_block(rows: usize, columns: usize, task: impl Fn(usize, usize) + Sync) {
    let block = |index: usize| {
        let from = index * COLUMNS;
        task(from, COLUMNS.min(columns - from));
    };
    let blocks = columns.div_ceil(COLUMNS);
    if rows * columns < PARALLEL_FROM {
        (0..blocks).for_each(block);
    } else {
        (0..blocks).into_par_iter().for_each(block);
    }
}
