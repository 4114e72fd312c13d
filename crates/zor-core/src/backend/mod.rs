//! The operations that the rule adds to a burn backend.
//!
//! [`ZorBackend`] extends burn's `Backend`. Every operation has a default implementation in burn's
//! primitives (`primitives`), so that any backend works; a backend can override it. `flex` does so
//! for the CPU, `cube` for GPUs: in place, fused, in parallel, into buffers that are passed in.
//!
//! All tensors are `f32` of shape `[rows, columns]`. An argument called `buffer` provides memory
//! for a result: its contents are not read, and a backend that does not need it drops it.
//! [`crate::ops`] exposes these operations as functions on tensors.

#![cfg_attr(
    feature = "ndarray",
    allow(deprecated, reason = "burn keeps NdArray for users who need it, and so do we")
)]

pub(crate) mod attention;
pub mod cases;
#[cfg(all(feature = "cube", not(feature = "fusion")))]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod geometry;
mod precision;
mod primitives;

pub use attention::{AttentionSettings, CopySettings, RotationSettings, Rows, Turns};
pub use geometry::{Geometry, Window};
pub use precision::Precision;

use std::sync::Arc;

use burn::backend::backend_extension;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use zor_random::Random;

/// Added to norms that divide, so that the norm of a silent unit is not zero (1e-8 as in the
/// `golden` traces).
pub const NORM_EPSILON: f32 = 1e-8;

/// Which operand of a matrix product is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transposed {
    /// `left @ right`.
    Neither,
    /// `left^T @ right`.
    Left,
    /// `left @ right^T`.
    Right,
}

/// The side of a matrix on which a square factor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `factor @ matrix`.
    Left,
    /// `matrix @ factor`.
    Right,
}

/// Settings of the analog-spike gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSettings {
    /// A unit fires when its charge is strictly above this.
    pub threshold: f32,
    /// Charges below this are reset to zero before the next input.
    pub min_charge: f32,
    /// Whether charges are kept from one step to the next.
    pub stateful: bool,
}

/// Coefficients of one step of AdamW, with schedule and bias corrections applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate divided by `1 - beta_1^t`.
    pub rate: f32,
    /// Decay rate of the first moment.
    pub beta_1: f32,
    /// Decay rate of the second moment.
    pub beta_2: f32,
    /// `1 / (1 - beta_2^t)`.
    pub correction_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Factor of the weight before the update: `1 - learning_rate * weight_decay`.
    pub decay: f32,
    /// Weights stay within ± this; infinite for no limit.
    pub limit: f32,
}

/// Settings of dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropSettings {
    /// Seed of the layer.
    pub seed: u64,
    /// Number of the training pass.
    pub pass: u64,
    /// Probability that a value becomes zero, at least 0 and below 1, in steps of `2^-16`.
    pub probability: f32,
}

impl DropSettings {
    /// Number of values that are drawn from one stream of random numbers.
    const RUN: usize = 1 << 14;

    /// Drops values of run number `run`, and scales the others by `1 / (1 - probability)`.
    fn apply(&self, run: usize, values: &mut [f32]) {
        /// Bits that decide on a value.
        const BITS: u32 = 16;
        let stream = self.pass.wrapping_mul(1 << 24).wrapping_add(run as u64);
        let mut random = Random::stream(self.seed, stream);
        let dropped = (self.probability * (1 << BITS) as f32) as u64;
        let scale = 1.0 / (1.0 - self.probability);
        for values in values.chunks_mut((u64::BITS / BITS) as usize) {
            let mut bits = random.bits();
            for value in values {
                *value *= if bits & 0xFFFF < dropped { 0.0 } else { scale };
                bits >>= BITS;
            }
        }
    }
}

/// Classes as a target; see [`crate::Target`].
#[derive(Clone, Debug)]
pub struct ClassTarget {
    /// Class of each row.
    pub classes: Rows,
    /// Share of the target that is spread evenly over all classes, from 0 to 1.
    pub smoothing: f32,
    /// Weight of each row; `None` if all are 1.
    pub weights: Option<Arc<[f32]>>,
}

impl ClassTarget {
    /// Weight of a row.
    fn weight(&self, row: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }
}

/// Sums over the elements of `target - output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ErrorSums {
    /// Sum of absolute values.
    pub absolute: f64,
    /// Sum of squares.
    pub squared: f64,
}

/// burn's backend, extended by the operations of the local rule.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff: cfg(all(test, feature = "flex"))
)]
pub trait ZorBackend: Backend {
    /// The analog-spike gate; see [`crate::ops::spike_gate`]. Returns output, spikes and charge.
    fn spike_gate(
        input: FloatTensor<Self>,
        charge: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        settings: GateSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        primitives::spike_gate::<Self>(input, charge, buffer, settings)
    }

    /// Unit normalisation with clamp; see [`crate::ops::unit_normalize`].
    fn unit_normalize(signal: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        primitives::unit_normalize::<Self>(signal, epsilon)
    }

    /// Scales columns to the same norm; see [`crate::ops::equalize_units`].
    fn equalize_units(signal: FloatTensor<Self>) -> FloatTensor<Self> {
        primitives::equalize_units::<Self>(signal)
    }

    /// Multiplies the signal by the normalised spikes; see [`crate::ops::gate_signal`].
    fn gate_signal(
        signal: FloatTensor<Self>,
        spikes: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        primitives::gate_signal::<Self>(signal, spikes, buffer)
    }

    /// Zeroes values that are not above a threshold; see [`crate::ops::zero_at_or_below`].
    fn zero_at_or_below(tensor: FloatTensor<Self>, threshold: f32) -> FloatTensor<Self> {
        Self::float_mul(tensor.clone(), primitives::above::<Self>(tensor, threshold))
    }

    /// One where values are above zero; see [`crate::ops::step_mask`].
    fn step_mask(tensor: FloatTensor<Self>, _buffer: FloatTensor<Self>) -> FloatTensor<Self> {
        primitives::above::<Self>(tensor, 0.0)
    }

    /// Number of values that the memory of a tensor has room for.
    fn capacity(tensor: FloatTensor<Self>) -> usize {
        tensor.shape().num_elements()
    }

    /// A tensor of another shape, with arbitrary contents, in the memory of a tensor that has room
    /// for it.
    fn with_shape(tensor: FloatTensor<Self>, shape: [usize; 2]) -> FloatTensor<Self> {
        Self::float_reshape(tensor, burn::tensor::Shape::from(shape))
    }

    /// Drops values at random; see [`crate::ops::drop_values`].
    fn drop_values(tensor: FloatTensor<Self>, settings: DropSettings) -> FloatTensor<Self> {
        primitives::drop_values::<Self>(tensor, settings)
    }

    /// Elementwise product in place of the first; see [`crate::ops::multiply`].
    fn multiply(tensor: FloatTensor<Self>, by: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul(tensor, by)
    }

    /// Copies a tensor into the memory of a buffer; see [`crate::Workspace::make_unique`].
    fn copy(tensor: FloatTensor<Self>, buffer: FloatTensor<Self>) -> FloatTensor<Self> {
        primitives::copy::<Self>(tensor, buffer)
    }

    /// A matrix product into a buffer; see [`crate::ops::matmul`].
    fn matmul(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        transposed: Transposed,
    ) -> FloatTensor<Self> {
        primitives::matmul::<Self>(left, right, buffer, transposed)
    }

    /// A matrix product that is known to be symmetric; see [`crate::ops::symmetric_matmul`].
    fn symmetric_matmul(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        transposed: Transposed,
    ) -> FloatTensor<Self> {
        Self::matmul(left, right, buffer, transposed)
    }

    /// Matrix product with a square factor; see [`crate::ops::multiply_square`].
    fn multiply_square(
        matrix: FloatTensor<Self>,
        factor: FloatTensor<Self>,
        side: Side,
    ) -> FloatTensor<Self> {
        // The buffer has two owners, so no backend writes to it.
        let buffer = matrix.clone();
        match side {
            Side::Left => Self::matmul(factor, matrix, buffer, Transposed::Neither),
            Side::Right => Self::matmul(matrix, factor, buffer, Transposed::Neither),
        }
    }

    /// Divides a correlation by presynaptic norms; see [`crate::ops::normalize_presynaptic`].
    fn normalize_presynaptic(
        correlation: FloatTensor<Self>,
        presynaptic: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        primitives::normalize_presynaptic::<Self>(correlation, presynaptic, groups)
    }

    /// Scales and shifts columns; see [`crate::ops::scale_shift`].
    fn scale_shift(
        tensor: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::float_mul(tensor, scale), shift)
    }

    /// Batch normalisation of columns; see [`crate::ops::batch_normalize`].
    fn batch_normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        primitives::batch_normalize::<Self>(input, scale, shift, buffer, epsilon)
    }

    /// Passes a signal down through batch normalisation; see
    /// [`crate::ops::batch_normalize_signal`].
    fn batch_normalize_signal(
        signal: FloatTensor<Self>,
        input: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        primitives::batch_normalize_signal::<Self>(signal, input, statistics, scale)
    }

    /// Spike attention; see [`crate::ops::attend`]. Returns output and weights.
    fn attend(
        input: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        settings: AttentionSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        drop((buffer, weights));
        attention::attend::<Self>(input, &settings)
    }

    /// Passes a signal down through spike attention; see [`crate::ops::attend_signal`].
    fn attend_signal(
        signal: FloatTensor<Self>,
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        settings: AttentionSettings,
    ) -> FloatTensor<Self> {
        drop(buffer);
        attention::attend_signal::<Self>(signal, input, weights, &settings)
    }

    /// Keeps rows for later steps of decoding; see [`crate::ops::keep_rows`].
    fn keep_rows(
        kept: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        first: usize,
        from: usize,
    ) -> FloatTensor<Self> {
        attention::keep_rows::<Self>(kept, rows, first, from)
    }

    /// Spike attention to kept rows; see [`crate::ops::attend_kept`].
    fn attend_kept(
        input: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        settings: AttentionSettings,
    ) -> FloatTensor<Self> {
        drop(buffer);
        attention::attend_kept::<Self>(input, kept, &settings)
    }

    /// Adds copied tokens to outputs; see [`crate::ops::add_copies`]. Returns outputs and weights.
    fn add_copies(
        output: FloatTensor<Self>,
        projected: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        settings: CopySettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        drop(weights);
        attention::add_copies::<Self>(output, projected, &settings)
    }

    /// [`ZorBackend::add_copies`] from kept rows; see [`crate::ops::add_copies_kept`].
    fn add_copies_kept(
        output: FloatTensor<Self>,
        projected: FloatTensor<Self>,
        kept: FloatTensor<Self>,
        settings: CopySettings,
    ) -> FloatTensor<Self> {
        attention::add_copies_kept::<Self>(output, projected, kept, &settings)
    }

    /// Passes a signal down through [`ZorBackend::add_copies`]; see [`crate::ops::copies_signal`].
    fn copies_signal(
        signal: FloatTensor<Self>,
        projected: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        settings: CopySettings,
    ) -> FloatTensor<Self> {
        drop(buffer);
        attention::copies_signal::<Self>(signal, projected, weights, &settings)
    }

    /// Rotates pairs of columns by position; see [`crate::ops::rotate`].
    fn rotate(tensor: FloatTensor<Self>, settings: RotationSettings) -> FloatTensor<Self> {
        attention::rotate::<Self>(tensor, &settings)
    }

    /// Adds rows of a matrix; see [`crate::ops::add_rows_of`].
    fn add_rows_of(
        to: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        rows: Rows,
        factor: f32,
    ) -> FloatTensor<Self> {
        attention::add_rows_of::<Self>(to, matrix, &rows, factor)
    }

    /// Adds to rows of a matrix; see [`crate::ops::add_to_rows`].
    fn add_to_rows(
        matrix: FloatTensor<Self>,
        values: FloatTensor<Self>,
        rows: Rows,
        factor: f32,
    ) -> FloatTensor<Self> {
        attention::add_to_rows::<Self>(matrix, values, &rows, factor)
    }

    /// Divides rows by their root mean square; see [`crate::ops::rms_normalize`].
    fn rms_normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        drop(buffer);
        attention::rms_normalize::<Self>(input, scale, epsilon)
    }

    /// Passes a signal down through [`ZorBackend::rms_normalize`]; see
    /// [`crate::ops::rms_normalize_signal`].
    fn rms_normalize_signal(
        signal: FloatTensor<Self>,
        input: FloatTensor<Self>,
        roots: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::rms_normalize_signal::<Self>(signal, input, roots, scale)
    }

    /// Max pooling; see [`crate::ops::max_pool`].
    fn max_pool(
        input: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        winners: FloatTensor<Self>,
        geometry: Geometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        drop((buffer, winners));
        primitives::max_pool::<Self>(input, geometry)
    }

    /// Routes signals to the maxima; see [`crate::ops::max_pool_route`].
    fn max_pool_route(
        signal: FloatTensor<Self>,
        winners: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::max_pool_route::<Self>(signal, winners, geometry)
    }

    /// Average pooling; see [`crate::ops::average_pool`].
    fn average_pool(
        input: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::average_pool::<Self>(input, geometry)
    }

    /// The adjoint of average pooling; see [`crate::ops::average_pool_adjoint`].
    fn average_pool_adjoint(
        signal: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::average_pool_adjoint::<Self>(signal, geometry)
    }

    /// `target - output` in place of the output, and its sums; see [`crate::ops::error_signal`].
    fn error_signal(
        target: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, ErrorSums) {
        let (signal, sums) = Self::error_signal_unread(target, output);
        let [absolute, squared] = primitives::read::<Self, 2>(sums).map(f64::from);
        (signal, ErrorSums { absolute, squared })
    }

    /// [`ZorBackend::error_signal`] with the sums left on the device; see
    /// [`crate::ops::error_signal_unread`].
    fn error_signal_unread(
        target: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        primitives::error_signal_unread::<Self>(target, output)
    }

    /// `weight * (target - softmax(output))` in place of the output, and its sums; see
    /// [`crate::ops::class_signal`].
    fn class_signal(
        output: FloatTensor<Self>,
        target: ClassTarget,
    ) -> (FloatTensor<Self>, ErrorSums) {
        let (signal, sums) = Self::class_signal_unread(output, target);
        let [absolute, squared] = primitives::read::<Self, 2>(sums).map(f64::from);
        (signal, ErrorSums { absolute, squared })
    }

    /// [`ZorBackend::class_signal`] with the sums left on the device; see
    /// [`crate::ops::class_signal_unread`].
    fn class_signal_unread(
        output: FloatTensor<Self>,
        target: ClassTarget,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        primitives::class_signal_unread::<Self>(output, &target)
    }

    /// True if every element is finite; see [`crate::ops::all_finite`].
    fn all_finite(tensor: FloatTensor<Self>) -> bool {
        primitives::all_finite::<Self>(tensor)
    }

    /// `clamp(decay * weight + rate * direction)`; see [`crate::ops::scaled_sum`].
    fn scaled_sum(
        weight: FloatTensor<Self>,
        direction: FloatTensor<Self>,
        decay: f32,
        rate: f32,
        limit: f32,
    ) -> FloatTensor<Self> {
        primitives::scaled_sum::<Self>(weight, direction, decay, rate, limit)
    }

    /// Divides by the Frobenius norm; see [`crate::ops::frobenius_normalize`].
    fn frobenius_normalize(matrix: FloatTensor<Self>) -> FloatTensor<Self> {
        primitives::frobenius_normalize::<Self>(matrix)
    }

    /// Adds a number to the diagonal; see [`crate::ops::add_to_diagonal`].
    fn add_to_diagonal(matrix: FloatTensor<Self>, value: f32) -> FloatTensor<Self> {
        primitives::add_to_diagonal::<Self>(matrix, value)
    }

    /// A convolution; see [`crate::ops::convolve`].
    fn convolve(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::convolve::<Self>(input, kernel, geometry)
    }

    /// The adjoint of a convolution; see [`crate::ops::convolve_adjoint`].
    fn convolve_adjoint(
        signal: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::convolve_adjoint::<Self>(signal, kernel, geometry)
    }

    /// The correlation of a convolution; see [`crate::ops::convolve_correlate`].
    fn convolve_correlate(
        input: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        drop(buffer);
        primitives::convolve_correlate::<Self>(input, signal, geometry)
    }

    /// Correlation and adjoint at once; see [`crate::ops::convolve_learn`].
    fn convolve_learn(
        input: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        correlation: FloatTensor<Self>,
        below: FloatTensor<Self>,
        geometry: Geometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let correlation = Self::convolve_correlate(input, signal.clone(), correlation, geometry);
        (correlation, Self::convolve_adjoint(signal, kernel, below, geometry))
    }

    /// Convolution followed by max pooling; see [`crate::ops::convolve_pooled`].
    fn convolve_pooled(
        input: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        buffer: FloatTensor<Self>,
        winners: FloatTensor<Self>,
        geometry: Geometry,
        pool: Geometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let all = primitives::convolve::<Self>(input, kernel, geometry);
        Self::max_pool(all, buffer, winners, pool)
    }

    /// Correlation and adjoint of a pooled convolution; see [`crate::ops::convolve_pooled_learn`].
    #[allow(clippy::too_many_arguments, reason = "a kernel's operands")]
    fn convolve_pooled_learn(
        input: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        winners: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        correlation: FloatTensor<Self>,
        below: FloatTensor<Self>,
        geometry: Geometry,
        pool: Geometry,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let signal = Self::max_pool_route(signal.clone(), winners, signal, pool);
        Self::convolve_learn(input, signal, kernel, correlation, below, geometry)
    }

    /// One AdamW step with the weight limit; see [`crate::ops::adam_step`]. Returns weight and both
    /// moments.
    fn adam_step(
        weight: FloatTensor<Self>,
        correlation: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        primitives::adam_step::<Self>(weight, correlation, moment_1, moment_2, step)
    }

    /// One AdamW step with the correlation as two factors; see
    /// [`crate::ops::adam_step_in_factors`].
    fn adam_step_in_factors(
        weight: FloatTensor<Self>,
        presynaptic: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let correlation = Self::matmul(presynaptic, signal, weight.clone(), Transposed::Left);
        Self::adam_step(weight, correlation, moment_1, moment_2, step)
    }
}

#[cfg(feature = "ndarray")]
impl ZorBackend for burn::backend::NdArray {}

// burn's lazy tensors have no memory that a kernel could write to.
#[cfg(all(feature = "cube", feature = "fusion"))]
impl ZorBackend for burn::backend::Cube {}
