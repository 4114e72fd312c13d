//! Kernels for GPUs: one set of CubeCL kernels for WGPU, Vulkan, Metal, CUDA and ROCm, in place
//! where a buffer has one owner.
//!
//! Matrix products are cubek's, convolutions burn's. Every kernel is safe to launch with any shape:
//! it checks the bounds of its reads and writes.

mod columns;
mod elements;
mod memory;
mod pooling;
mod product;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use memory::{buffer, check_maps, check_same, empty_like, readable, reuse, size, units, writable};

use super::{AdamStep, GateSettings, Geometry, Transposed, ZorBackend, primitives};

/// Launches a kernel with one unit per element of a tensor.
macro_rules! for_each {
    ($kernel:path, $tensor:expr, $($argument:expr),+ $(,)?) => {{
        use $kernel as kernel;
        let (count, dim) = units(&$tensor.client, $tensor.shape().num_elements());
        kernel::launch(&$tensor.client, count, dim, $($argument),+);
    }};
}

impl ZorBackend for CubeBackend {
    fn spike_gate(
        input: CubeTensor,
        charge: CubeTensor,
        spikes: CubeTensor,
        settings: GateSettings,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let shape = size(&input);
        let output = writable(input);
        let charge = if settings.stateful { writable(charge) } else { reuse(charge, shape) };
        let spikes = reuse(spikes, shape);
        check_same(&output, &charge);
        let GateSettings { threshold, min_charge, stateful } = settings;
        for_each!(
            elements::gate,
            output,
            buffer(&output),
            buffer(&charge),
            buffer(&spikes),
            threshold,
            min_charge,
            stateful,
        );
        (output, spikes, charge)
    }

    fn unit_normalize(signal: CubeTensor, epsilon: f32) -> CubeTensor {
        let signal = writable(signal);
        let (squares, n) = (columns::sums(&signal, true), size(&signal)[1]);
        for_each!(columns::unit_normalize, signal, buffer(&signal), buffer(&squares), epsilon, n);
        signal
    }

    fn equalize_units(signal: CubeTensor) -> CubeTensor {
        let signal = writable(signal);
        let (squares, n) = (columns::sums(&signal, true), size(&signal)[1]);
        let all = columns::total_and_count(&squares);
        for_each!(
            columns::equalize_units,
            signal,
            buffer(&signal),
            buffer(&squares),
            buffer(&all),
            n
        );
        signal
    }

    fn gate_signal(signal: CubeTensor, spikes: CubeTensor, gated: CubeTensor) -> CubeTensor {
        let (signal, spikes) = (readable(signal), readable(spikes));
        check_same(&signal, &spikes);
        let gated = reuse(gated, size(&signal));
        let (squares, n) = (columns::sums(&spikes, true), size(&signal)[1]);
        for_each!(
            columns::gate_signal,
            gated,
            buffer(&signal),
            buffer(&spikes),
            buffer(&gated),
            buffer(&squares),
            n,
        );
        gated
    }

    fn zero_at_or_below(tensor: CubeTensor, threshold: f32) -> CubeTensor {
        let tensor = writable(tensor);
        for_each!(elements::silence, tensor, buffer(&tensor), threshold);
        tensor
    }

    fn step_mask(tensor: CubeTensor, result: CubeTensor) -> CubeTensor {
        let result = reuse(result, size(&tensor));
        let tensor = readable(tensor);
        for_each!(elements::positive, tensor, buffer(&tensor), buffer(&result));
        result
    }

    fn multiply(tensor: CubeTensor, by: CubeTensor) -> CubeTensor {
        let (tensor, by) = (writable(tensor), readable(by));
        check_same(&tensor, &by);
        for_each!(elements::multiply, tensor, buffer(&tensor), buffer(&by));
        tensor
    }

    fn copy(tensor: CubeTensor, copy: CubeTensor) -> CubeTensor {
        let tensor = readable(tensor);
        // `readable` has copied it already: it had gaps between its rows, or another type than f32.
        if tensor.can_mut() {
            return tensor;
        }
        let copy = reuse(copy, size(&tensor));
        for_each!(elements::copy, copy, buffer(&tensor), buffer(&copy));
        copy
    }

    fn matmul(
        left: CubeTensor,
        right: CubeTensor,
        result: CubeTensor,
        transposed: Transposed,
    ) -> CubeTensor {
        product::matmul(left, right, result, transposed)
    }

    fn normalize_presynaptic(
        correlation: CubeTensor,
        presynaptic: CubeTensor,
        groups: usize,
    ) -> CubeTensor {
        let (correlation, presynaptic) = (writable(correlation), readable(presynaptic));
        let squares = columns::sums(&presynaptic, true);
        let (outputs, channels) = (size(&correlation)[1], size(&presynaptic)[1]);
        for_each!(
            columns::normalize_presynaptic,
            correlation,
            buffer(&correlation),
            buffer(&squares),
            outputs,
            channels / groups,
            outputs / groups,
        );
        correlation
    }

    fn scale_shift(tensor: CubeTensor, scale: CubeTensor, shift: CubeTensor) -> CubeTensor {
        let (tensor, scale, shift) = (writable(tensor), readable(scale), readable(shift));
        let n = size(&tensor)[1];
        for_each!(columns::scale_shift, tensor, buffer(&tensor), buffer(&scale), buffer(&shift), n);
        tensor
    }

    fn batch_normalize(
        input: CubeTensor,
        scale: CubeTensor,
        shift: CubeTensor,
        output: CubeTensor,
        epsilon: f32,
    ) -> (CubeTensor, CubeTensor) {
        let (input, scale, shift) = (readable(input), readable(scale), readable(shift));
        let [rows, columns] = size(&input);
        let output = reuse(output, [rows, columns]);
        let (sums, statistics) = (columns::moments(&input), empty_like(&input, [2, columns]));
        for_each!(
            columns::batch_normalize,
            output,
            buffer(&input),
            buffer(&sums),
            buffer(&scale),
            buffer(&shift),
            buffer(&output),
            buffer(&statistics),
            rows as f32,
            epsilon,
            columns,
        );
        (output, statistics)
    }

    fn batch_normalize_signal(
        signal: CubeTensor,
        input: CubeTensor,
        statistics: CubeTensor,
        scale: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let (signal, input) = (writable(signal), readable(input));
        let (statistics, scale) = (readable(statistics), readable(scale));
        check_same(&signal, &input);
        let [rows, columns] = size(&input);
        let sums = columns::products(&signal, &input, &statistics);
        let correlations = empty_like(&input, [2, columns]);
        for_each!(
            columns::batch_normalize_signal,
            signal,
            buffer(&signal),
            buffer(&input),
            buffer(&sums),
            buffer(&statistics),
            buffer(&scale),
            buffer(&correlations),
            rows as f32,
            columns,
        );
        (signal, correlations)
    }

    fn max_pool(
        input: CubeTensor,
        output: CubeTensor,
        winners: CubeTensor,
        geometry: Geometry,
    ) -> (CubeTensor, CubeTensor) {
        let input = readable(input);
        check_maps(&input, geometry.input);
        let shape = [size(&input)[0], geometry.output().iter().product()];
        let (output, winners) = (reuse(output, shape), reuse(winners, shape));
        for_each!(
            pooling::max,
            output,
            buffer(&input),
            buffer(&output),
            buffer(&winners),
            geometry
        );
        (output, winners)
    }

    fn max_pool_route(
        signal: CubeTensor,
        winners: CubeTensor,
        below: CubeTensor,
        geometry: Geometry,
    ) -> CubeTensor {
        let (signal, winners) = (readable(signal), readable(winners));
        check_same(&signal, &winners);
        check_maps(&signal, geometry.output());
        let below = reuse(below, [size(&signal)[0], geometry.input.iter().product()]);
        for_each!(
            pooling::max_route,
            below,
            buffer(&signal),
            buffer(&winners),
            buffer(&below),
            geometry
        );
        below
    }

    fn average_pool(input: CubeTensor, output: CubeTensor, geometry: Geometry) -> CubeTensor {
        let input = readable(input);
        check_maps(&input, geometry.input);
        let output = reuse(output, [size(&input)[0], geometry.output().iter().product()]);
        for_each!(pooling::average, output, buffer(&input), buffer(&output), geometry);
        output
    }

    fn average_pool_adjoint(
        signal: CubeTensor,
        below: CubeTensor,
        geometry: Geometry,
    ) -> CubeTensor {
        let signal = readable(signal);
        check_maps(&signal, geometry.output());
        let below = reuse(below, [size(&signal)[0], geometry.input.iter().product()]);
        for_each!(pooling::average_adjoint, below, buffer(&signal), buffer(&below), geometry);
        below
    }

    fn error_signal_unread(target: CubeTensor, output: CubeTensor) -> (CubeTensor, CubeTensor) {
        let (target, output) = (readable(target), writable(output));
        check_same(&target, &output);
        let sums = columns::totals(&columns::errors(&target, &output), 2);
        (output, sums)
    }

    fn all_finite(tensor: CubeTensor) -> bool {
        let tensor = readable(tensor);
        let found = Self::float_zeros([1, 1].into(), &tensor.device, tensor.dtype.into());
        for_each!(elements::find_not_finite, tensor, buffer(&tensor), buffer(&found));
        primitives::read::<Self, 1>(found) == [0.0]
    }

    fn scaled_sum(
        weight: CubeTensor,
        direction: CubeTensor,
        decay: f32,
        rate: f32,
        limit: f32,
    ) -> CubeTensor {
        let (weight, direction) = (writable(weight), readable(direction));
        check_same(&weight, &direction);
        for_each!(
            elements::scaled_sum,
            weight,
            buffer(&weight),
            buffer(&direction),
            decay,
            rate,
            within(limit)
        );
        weight
    }

    fn frobenius_normalize(matrix: CubeTensor) -> CubeTensor {
        let matrix = writable(matrix);
        let square = columns::totals(&columns::sums(&matrix, true), 1);
        for_each!(columns::divide_by_norm, matrix, buffer(&matrix), buffer(&square));
        matrix
    }

    fn add_to_diagonal(matrix: CubeTensor, value: f32) -> CubeTensor {
        let matrix = writable(matrix);
        let [rows, columns] = size(&matrix);
        let (count, dim) = units(&matrix.client, rows);
        elements::add_to_diagonal::launch(
            &matrix.client,
            count,
            dim,
            buffer(&matrix),
            value,
            columns,
        );
        matrix
    }

    fn adam_step(
        weight: CubeTensor,
        correlation: CubeTensor,
        moment_1: CubeTensor,
        moment_2: CubeTensor,
        step: AdamStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let (weight, correlation) = (writable(weight), readable(correlation));
        let (moment_1, moment_2) = (writable(moment_1), writable(moment_2));
        check_same(&weight, &correlation);
        check_same(&weight, &moment_1);
        check_same(&weight, &moment_2);
        for_each!(
            elements::adam,
            weight,
            buffer(&weight),
            buffer(&correlation),
            buffer(&moment_1),
            buffer(&moment_2),
            step.rate,
            step.beta_1,
            step.beta_2,
            step.correction_2,
            step.epsilon,
            step.decay,
            within(step.limit),
        );
        (weight, moment_1, moment_2)
    }
}

/// A finite limit for the kernels: not every GPU supports infinity.
fn within(limit: f32) -> f32 {
    limit.min(f32::MAX)
}
