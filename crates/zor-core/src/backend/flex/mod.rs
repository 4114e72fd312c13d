//! Kernels for the CPU backend Flex: in place where a buffer has one owner, in one pass over memory
//! where the default implementation takes several, in parallel from [`passes::PARALLEL_FROM`]
//! elements, and without allocation when the buffers fit.
//!
//! Work is divided by size, never by the number of threads, so that sums do not depend on it.
//! This file only delegates; each family of operations has a file.

mod adam;
mod attention;
mod blocks;
mod classes;
mod columns;
mod convolution;
mod copies;
mod elements;
mod error;
mod few_rows;
mod gate;
mod kept;
mod lanes;
mod maps;
mod memory;
mod normalization;
mod panels;
mod passes;
mod pooling;
mod product;
mod scratch;
#[cfg(test)]
mod tests;
mod update;

use burn::backend::Flex;
use burn_flex::FlexTensor;

use super::{
    AdamStep, AttentionSettings, ClassTarget, CopySettings, DropSettings, ErrorSums, GateSettings,
    Geometry, RotationSettings, Rows, Side, Transposed, ZorBackend,
};

impl ZorBackend for Flex {
    fn spike_gate(
        input: FlexTensor,
        charge: FlexTensor,
        buffer: FlexTensor,
        settings: GateSettings,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        gate::spike_gate(input, charge, buffer, settings)
    }

    fn unit_normalize(signal: FlexTensor, epsilon: f32) -> FlexTensor {
        normalization::unit_normalize(signal, epsilon)
    }

    fn equalize_units(signal: FlexTensor) -> FlexTensor {
        normalization::equalize_units(signal)
    }

    fn gate_signal(signal: FlexTensor, spikes: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        gate::gate_signal(signal, spikes, buffer)
    }

    fn capacity(tensor: FlexTensor) -> usize {
        memory::capacity(&tensor)
    }

    fn with_shape(tensor: FlexTensor, shape: [usize; 2]) -> FlexTensor {
        memory::with_shape(tensor, shape)
    }

    fn drop_values(tensor: FlexTensor, settings: DropSettings) -> FlexTensor {
        elements::drop_values(tensor, settings)
    }

    fn zero_at_or_below(tensor: FlexTensor, threshold: f32) -> FlexTensor {
        elements::zero_at_or_below(tensor, threshold)
    }

    fn step_mask(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        elements::step_mask(tensor, buffer)
    }

    fn multiply(tensor: FlexTensor, by: FlexTensor) -> FlexTensor {
        elements::multiply(tensor, by)
    }

    fn copy(tensor: FlexTensor, buffer: FlexTensor) -> FlexTensor {
        elements::copy(tensor, buffer)
    }

    fn matmul(
        left: FlexTensor,
        right: FlexTensor,
        buffer: FlexTensor,
        transposed: Transposed,
    ) -> FlexTensor {
        product::matmul(left, right, buffer, transposed)
    }

    fn symmetric_matmul(
        left: FlexTensor,
        right: FlexTensor,
        buffer: FlexTensor,
        transposed: Transposed,
    ) -> FlexTensor {
        product::symmetric_matmul(left, right, buffer, transposed)
    }

    fn multiply_square(matrix: FlexTensor, factor: FlexTensor, side: Side) -> FlexTensor {
        product::multiply_square(matrix, factor, side)
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

    fn attend(
        input: FlexTensor,
        buffer: FlexTensor,
        weights: FlexTensor,
        settings: AttentionSettings,
    ) -> (FlexTensor, FlexTensor) {
        attention::attend(input, buffer, weights, &settings)
    }

    fn keep_rows(kept: FlexTensor, rows: FlexTensor, first: usize, from: usize) -> FlexTensor {
        kept::keep_rows(kept, rows, first, from)
    }

    fn attend_kept(
        input: FlexTensor,
        kept: FlexTensor,
        buffer: FlexTensor,
        settings: AttentionSettings,
    ) -> FlexTensor {
        kept::attend_kept(input, kept, buffer, &settings)
    }

    fn add_copies(
        output: FlexTensor,
        projected: FlexTensor,
        weights: FlexTensor,
        settings: CopySettings,
    ) -> (FlexTensor, FlexTensor) {
        copies::add_copies(output, projected, weights, &settings)
    }

    fn add_copies_kept(
        output: FlexTensor,
        projected: FlexTensor,
        kept: FlexTensor,
        settings: CopySettings,
    ) -> FlexTensor {
        kept::add_copies_kept(output, projected, kept, &settings)
    }

    fn copies_signal(
        signal: FlexTensor,
        projected: FlexTensor,
        weights: FlexTensor,
        buffer: FlexTensor,
        settings: CopySettings,
    ) -> FlexTensor {
        copies::copies_signal(signal, projected, weights, buffer, &settings)
    }

    fn attend_signal(
        signal: FlexTensor,
        input: FlexTensor,
        weights: FlexTensor,
        buffer: FlexTensor,
        settings: AttentionSettings,
    ) -> FlexTensor {
        attention::attend_signal(signal, input, weights, buffer, &settings)
    }

    fn rotate(tensor: FlexTensor, settings: RotationSettings) -> FlexTensor {
        attention::rotate(tensor, &settings)
    }

    fn add_rows_of(to: FlexTensor, matrix: FlexTensor, rows: Rows, factor: f32) -> FlexTensor {
        attention::add_rows_of(to, matrix, &rows, factor)
    }

    fn add_to_rows(matrix: FlexTensor, values: FlexTensor, rows: Rows, factor: f32) -> FlexTensor {
        attention::add_to_rows(matrix, values, &rows, factor)
    }

    fn rms_normalize(
        input: FlexTensor,
        scale: FlexTensor,
        buffer: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, FlexTensor) {
        attention::rms_normalize(input, scale, buffer, epsilon)
    }

    fn rms_normalize_signal(
        signal: FlexTensor,
        input: FlexTensor,
        roots: FlexTensor,
        scale: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        attention::rms_normalize_signal(signal, input, roots, scale)
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
        maps::max_pool(input, buffer, winners, geometry)
    }

    fn max_pool_route(
        signal: FlexTensor,
        winners: FlexTensor,
        buffer: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        maps::max_pool_route(signal, winners, buffer, geometry)
    }

    fn average_pool(input: FlexTensor, buffer: FlexTensor, geometry: Geometry) -> FlexTensor {
        maps::average_pool(input, buffer, geometry)
    }

    fn average_pool_adjoint(
        signal: FlexTensor,
        buffer: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        maps::average_pool_adjoint(signal, buffer, geometry)
    }

    fn class_signal(output: FlexTensor, target: ClassTarget) -> (FlexTensor, ErrorSums) {
        classes::class_signal(output, &target)
    }

    fn error_signal(target: FlexTensor, output: FlexTensor) -> (FlexTensor, ErrorSums) {
        error::error_signal(target, output)
    }

    fn all_finite(tensor: FlexTensor) -> bool {
        error::all_finite(tensor)
    }

    fn scaled_sum(
        weight: FlexTensor,
        direction: FlexTensor,
        decay: f32,
        rate: f32,
        limit: f32,
    ) -> FlexTensor {
        update::scaled_sum(weight, direction, decay, rate, limit)
    }

    fn frobenius_normalize(matrix: FlexTensor) -> FlexTensor {
        update::frobenius_normalize(matrix)
    }

    fn add_to_diagonal(matrix: FlexTensor, value: f32) -> FlexTensor {
        update::add_to_diagonal(matrix, value)
    }

    fn convolve(
        input: FlexTensor,
        kernel: FlexTensor,
        buffer: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        maps::convolve(input, kernel, buffer, geometry)
    }

    fn convolve_adjoint(
        signal: FlexTensor,
        kernel: FlexTensor,
        buffer: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        maps::convolve_adjoint(signal, kernel, buffer, geometry)
    }

    fn convolve_correlate(
        input: FlexTensor,
        signal: FlexTensor,
        buffer: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        maps::convolve_correlate(input, signal, buffer, geometry)
    }

    fn convolve_learn(
        input: FlexTensor,
        signal: FlexTensor,
        kernel: FlexTensor,
        correlation: FlexTensor,
        below: FlexTensor,
        geometry: Geometry,
    ) -> (FlexTensor, FlexTensor) {
        maps::convolve_learn(input, signal, kernel, correlation, below, geometry)
    }

    fn convolve_pooled(
        input: FlexTensor,
        kernel: FlexTensor,
        buffer: FlexTensor,
        winners: FlexTensor,
        geometry: Geometry,
        pool: Geometry,
    ) -> (FlexTensor, FlexTensor) {
        maps::convolve_pooled(input, kernel, buffer, winners, geometry, pool)
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
        let inputs = [input, signal, winners, kernel];
        maps::convolve_pooled_learn(inputs, [correlation, below], geometry, pool)
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
