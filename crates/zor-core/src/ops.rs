//! Operations on tensors that layers are made of.
//!
//! Each runs on the device of its tensors, as a kernel of the backend or as the default
//! implementation in burn's primitives. An argument called `buffer` provides memory for the result
//! (take it from a [`crate::Workspace`]); its contents are ignored. Other results are written in
//! place of the first argument if no other tensor shares its memory.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backend::ZorBackend;
pub use crate::backend::{
    AdamStep, AttentionSettings, ClassTarget, CopySettings, DropSettings, ErrorSums, GateSettings,
    Geometry, NORM_EPSILON, Precision, RotationSettings, Rows, Side, Transposed, Turns, Window,
};
use crate::error::{Error, Result};

/// A tensor of zeros. Built from a host buffer: `Tensor::zeros` on Flex allocates twice and the
/// allocator keeps the first block.
pub fn zeros(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(vec![0f32; shape[0] * shape[1]], shape), device)
}

/// Returns the tensor as an error if another tensor shares its memory.
#[allow(clippy::result_large_err, reason = "a box would be an allocation a step")]
pub(crate) fn unshared(tensor: Tensor<2>) -> std::result::Result<Tensor<2>, Tensor<2>> {
    let tensor = tensor.into_dispatch();
    let is_unshared = tensor.can_mut();
    let tensor = Tensor::from_dispatch(tensor);
    if is_unshared { Ok(tensor) } else { Err(tensor) }
}

/// True if a tensor of the device may take a part of its memory ([`with_shape`]).
pub(crate) fn takes_parts(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_)) {
        return true;
    }
    let _ = device;
    false
}

/// Number of values that the memory of a tensor has room for.
pub(crate) fn capacity(tensor: &Tensor<2>) -> usize {
    Dispatch::capacity(tensor.clone().into_dispatch())
}

/// A tensor of another shape, with arbitrary contents, in the memory of a tensor that has room for
/// it ([`capacity`]).
pub(crate) fn with_shape(tensor: Tensor<2>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::with_shape(tensor.into_dispatch(), shape))
}

/// Copies a tensor into the memory of a buffer.
pub(crate) fn copy(tensor: Tensor<2>, buffer: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::copy(tensor.into_dispatch(), buffer.into_dispatch()))
}

/// A tensor of the backend that is selected at run time.
type BackendTensor = FloatTensor<Dispatch>;

/// An argument of an operation of the backend.
trait Argument {
    type Backend;

    fn into_backend(self) -> Self::Backend;
}

impl Argument for Tensor<2> {
    type Backend = BackendTensor;

    fn into_backend(self) -> BackendTensor {
        self.into_dispatch()
    }
}

macro_rules! passed_unchanged {
    ($($type:ty),+) => {$(
        impl Argument for $type {
            type Backend = Self;

            fn into_backend(self) -> Self {
                self
            }
        }
    )+};
}

passed_unchanged!(
    f32,
    usize,
    AdamStep,
    AttentionSettings,
    ClassTarget,
    CopySettings,
    DropSettings,
    GateSettings,
    Geometry,
    RotationSettings,
    Rows,
    Side,
    Transposed
);

/// A value converted from the result of an operation of the backend.
trait Output<Returned> {
    fn from_backend(returned: Returned) -> Self;
}

impl Output<BackendTensor> for Tensor<2> {
    fn from_backend(tensor: BackendTensor) -> Self {
        Tensor::from_dispatch(tensor)
    }
}

impl Output<(BackendTensor, BackendTensor)> for (Tensor<2>, Tensor<2>) {
    fn from_backend((first, second): (BackendTensor, BackendTensor)) -> Self {
        (Output::from_backend(first), Output::from_backend(second))
    }
}

impl Output<(BackendTensor, BackendTensor, BackendTensor)> for (Tensor<2>, Tensor<2>, Tensor<2>) {
    fn from_backend((first, second, third): (BackendTensor, BackendTensor, BackendTensor)) -> Self {
        (Output::from_backend(first), Output::from_backend(second), Output::from_backend(third))
    }
}

impl Output<(BackendTensor, ErrorSums)> for (Tensor<2>, ErrorSums) {
    fn from_backend((tensor, sums): (BackendTensor, ErrorSums)) -> Self {
        (Output::from_backend(tensor), sums)
    }
}

/// Defines functions on tensors, each of which calls the operation of the backend with the same
/// name.
macro_rules! operations {
    ($(
        $(#[$about:meta])+
        fn $name:ident($($argument:ident: $type:ty),+ $(,)?) -> $output:ty;
    )+) => {$(
        $(#[$about])+
        pub fn $name($($argument: $type),+) -> $output {
            <$output>::from_backend(Dispatch::$name($($argument.into_backend()),+))
        }
    )+};
}

operations! {
    /// The analog-spike gate:
    /// `charge += input; spike = charge > threshold; output = charge * spike`, then
    /// `charge = 0 where spike`.
    ///
    /// If not stateful, charges start at zero; otherwise charges below `min_charge` are first reset
    /// to zero. Returns output, spikes (0.0 or 1.0) and the remaining charge.
    ///
    /// # Shapes
    /// All `[batch, units]`.
    fn spike_gate(
        input: Tensor<2>,
        charge: Tensor<2>,
        buffer: Tensor<2>,
        settings: GateSettings,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>);

    /// Divides each column by its L2 norm over the batch plus `epsilon`, then clamps to [-1, 1]. A
    /// column of zeros stays zero.
    ///
    /// # Shapes
    /// `[batch, units]`.
    fn unit_normalize(signal: Tensor<2>, epsilon: f32) -> Tensor<2>;

    /// Scales the columns to the same L2 norm over the batch, such that the norm of the whole
    /// matrix is unchanged. A column of zeros stays zero.
    ///
    /// # Shapes
    /// `[batch, units]`.
    fn equalize_units(signal: Tensor<2>) -> Tensor<2>;

    /// `signal * |spikes / (||spikes||_column + 1e-8)|`, written to the buffer.
    ///
    /// # Shapes
    /// All `[batch, units]`.
    fn gate_signal(signal: Tensor<2>, spikes: Tensor<2>, buffer: Tensor<2>) -> Tensor<2>;

    /// Replaces values that are not above the threshold with zero, in place: the output of a gate
    /// whose charges start at zero.
    fn zero_at_or_below(tensor: Tensor<2>, threshold: f32) -> Tensor<2>;

    /// 1.0 where a value is above zero, else 0.0; written to the buffer.
    fn step_mask(tensor: Tensor<2>, buffer: Tensor<2>) -> Tensor<2>;

    /// Elementwise product, in place of the first tensor.
    fn multiply(tensor: Tensor<2>, by: Tensor<2>) -> Tensor<2>;

    /// Matrix product, written to the buffer.
    ///
    /// # Shapes
    /// `Neither`: `[m, k] @ [k, n]`; `Left`: `[k, m]^T @ [k, n]`; `Right`: `[m, k] @ [n, k]^T`; the
    /// buffer is `[m, n]`.
    fn matmul(
        left: Tensor<2>,
        right: Tensor<2>,
        buffer: Tensor<2>,
        transposed: Transposed,
    ) -> Tensor<2>;

    /// [`matmul`] for a result that is known to be symmetric, of which only half is computed: a
    /// matrix times its own transpose, or two symmetric matrices that commute.
    fn symmetric_matmul(
        left: Tensor<2>,
        right: Tensor<2>,
        buffer: Tensor<2>,
        transposed: Transposed,
    ) -> Tensor<2>;

    /// Matrix product with a square factor on either side, in place of the matrix.
    ///
    /// # Shapes
    /// `[rows, columns]` and `[rows, rows]` or `[columns, columns]`.
    fn multiply_square(matrix: Tensor<2>, factor: Tensor<2>, side: Side) -> Tensor<2>;

    /// Divides a correlation by the norms of the presynaptic activity, in place: each row by the L2
    /// norm of its input channel over all rows of `presynaptic` (plus 1e-8).
    ///
    /// # Shapes
    /// `[elements * channels / groups, outputs]` and `[rows, channels]`.
    fn normalize_presynaptic(
        correlation: Tensor<2>,
        presynaptic: Tensor<2>,
        groups: usize,
    ) -> Tensor<2>;

    /// `tensor * scale + shift` with a scale and a shift for every column, in place.
    ///
    /// # Shapes
    /// `[rows, columns]`, and `[1, columns]` twice.
    fn scale_shift(tensor: Tensor<2>, scale: Tensor<2>, shift: Tensor<2>) -> Tensor<2>;

    /// Spike attention with the scores of rectified linear attention (Zhang et al. 2021): for each
    /// head, `score = q k^T / sqrt(size)` of each pair of positions that see each other,
    /// `weight = score where score > threshold, else 0`, and `output = weight v`. Returns the
    /// output and the weights: for each sequence and head a square matrix, row by row.
    ///
    /// # Shapes
    /// Queries, keys and values `[positions, 3 * width]`, buffers `[positions, width]` and
    /// `[1, heads * pairs]` -> `[positions, width]`, `[1, heads * pairs]`.
    fn attend(
        input: Tensor<2>,
        buffer: Tensor<2>,
        weights: Tensor<2>,
        settings: AttentionSettings,
    ) -> (Tensor<2>, Tensor<2>);

    /// Passes a signal down through [`attend`], given its input and weights. With the gate
    /// `g = 1 where a score has passed`, the signals are `weight^T s` at values,
    /// `((s v^T) g / sqrt(size)) k` at queries, and its counterpart at keys: the gradient.
    ///
    /// # Shapes
    /// `[positions, width]`, `[positions, 3 * width]`, `[1, heads * pairs]` ->
    /// `[positions, 3 * width]`.
    fn attend_signal(
        signal: Tensor<2>,
        input: Tensor<2>,
        weights: Tensor<2>,
        buffer: Tensor<2>,
        settings: AttentionSettings,
    ) -> Tensor<2>;

    /// Writes the columns of rows from column `from` on into the rows of another matrix from row
    /// `first` on, in place. Decoding keeps keys and values with it.
    ///
    /// # Shapes
    /// `[kept, columns - from]`, `[rows, columns]` -> `[kept, columns - from]`.
    fn keep_rows(kept: Tensor<2>, rows: Tensor<2>, first: usize, from: usize) -> Tensor<2>;

    /// [`attend`] of one position of each sequence that is decoded to the keys and values that are
    /// kept of earlier positions and of this one.
    ///
    /// # Shapes
    /// Queries, keys and values `[positions, 3 * width]`, kept keys and values
    /// `[kept, 2 * width]` -> `[positions, width]`.
    fn attend_kept(
        input: Tensor<2>,
        kept: Tensor<2>,
        buffer: Tensor<2>,
        settings: AttentionSettings,
    ) -> Tensor<2>;

    /// Adds tokens to the outputs of positions behind a prefix: for each position `j` of the prefix
    /// the token that follows it, with weight `relu(q k_j^T / sqrt(size))`, and the suggestions of
    /// `j` with weights of a second head times their own. Returns outputs, in place, and weights.
    ///
    /// # Shapes
    /// Outputs `[behind, tokens]`, queries and keys `[positions, 2 * heads * size]`, a buffer
    /// `[1, heads * pairs]` -> `[behind, tokens]`, `[1, heads * pairs]`.
    fn add_copies(
        output: Tensor<2>,
        projected: Tensor<2>,
        weights: Tensor<2>,
        settings: CopySettings,
    ) -> (Tensor<2>, Tensor<2>);

    /// [`add_copies`] for one position of each sequence that is decoded, with kept keys.
    ///
    /// # Shapes
    /// `[positions, tokens]`, `[positions, 2 * heads * size]`, `[kept, heads * size]` ->
    /// `[positions, tokens]`.
    fn add_copies_kept(
        output: Tensor<2>,
        projected: Tensor<2>,
        kept: Tensor<2>,
        settings: CopySettings,
    ) -> Tensor<2>;

    /// Passes the signal at the outputs of [`add_copies`] down to queries and keys: the gradient.
    ///
    /// # Shapes
    /// `[behind, tokens]`, `[positions, 2 * heads * size]`, `[1, heads * pairs]` ->
    /// `[positions, 2 * heads * size]`.
    fn copies_signal(
        signal: Tensor<2>,
        projected: Tensor<2>,
        weights: Tensor<2>,
        buffer: Tensor<2>,
        settings: CopySettings,
    ) -> Tensor<2>;

    /// Rotates pairs of columns by an angle that grows with the place of a row in its sequence, in
    /// place (rotary positions, Su et al. 2021).
    ///
    /// # Shapes
    /// `[positions, columns]`.
    fn rotate(tensor: Tensor<2>, settings: RotationSettings) -> Tensor<2>;

    /// Sets values to zero at random, and scales the others by `1 / (1 - probability)`, in place.
    /// Seed, pass and position decide on a value, on all devices alike.
    ///
    /// # Shapes
    /// `[batch, units]`.
    fn drop_values(tensor: Tensor<2>, settings: DropSettings) -> Tensor<2>;

    /// Adds `factor` times a row of a matrix to each row, in place: row `i` receives row `rows[i]`.
    ///
    /// # Shapes
    /// `[n, columns]`, `[m, columns]` and `n` indices below `m` -> `[n, columns]`.
    fn add_rows_of(to: Tensor<2>, matrix: Tensor<2>, rows: Rows, factor: f32) -> Tensor<2>;

    /// Adds `factor` times each row of the values to row `rows[i]` of a matrix, in place: the
    /// adjoint of [`add_rows_of`].
    ///
    /// # Shapes
    /// `[m, columns]`, `[n, columns]` and `n` indices below `m` -> `[m, columns]`.
    fn add_to_rows(matrix: Tensor<2>, values: Tensor<2>, rows: Rows, factor: f32) -> Tensor<2>;

    /// Divides each row by its root mean square, `sqrt(mean(x^2) + epsilon)`, and multiplies by a
    /// scale for every column (Zhang and Sennrich 2019). Returns the output and the roots.
    ///
    /// # Shapes
    /// `[rows, columns]`, `[1, columns]` -> `[rows, columns]`, `[rows, 1]`.
    fn rms_normalize(
        input: Tensor<2>,
        scale: Tensor<2>,
        buffer: Tensor<2>,
        epsilon: f32,
    ) -> (Tensor<2>, Tensor<2>);

    /// Passes a signal down through [`rms_normalize`], in place, given its input and roots. With
    /// `x' = x / root`, the results are `(scale s - x' mean(scale s x')) / root` and the
    /// correlation of the scale, `sum(s x')`: the gradient.
    ///
    /// # Shapes
    /// `[rows, columns]` twice, `[rows, 1]`, `[1, columns]` -> `[rows, columns]`, `[1, columns]`.
    fn rms_normalize_signal(
        signal: Tensor<2>,
        input: Tensor<2>,
        roots: Tensor<2>,
        scale: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>);

    /// Batch normalisation (Ioffe and Szegedy 2015): `(x - mean) / deviation * scale + shift` with
    /// mean and `deviation = sqrt(variance + epsilon)` of every column, written to the buffer.
    /// Returns the output and `[mean; deviation]`.
    ///
    /// # Shapes
    /// `[rows, columns]`, `[1, columns]` twice -> `[rows, columns]`, `[2, columns]`.
    fn batch_normalize(
        input: Tensor<2>,
        scale: Tensor<2>,
        shift: Tensor<2>,
        buffer: Tensor<2>,
        epsilon: f32,
    ) -> (Tensor<2>, Tensor<2>);

    /// Passes a signal down through a batch normalisation, in place. Also returns the correlations
    /// of scale and shift.
    ///
    /// With `x' = (x - mean) / deviation`, the results are
    /// `scale / deviation * (s - mean(s) - x' mean(s x'))` and `[sum(s x'); sum(s)]`. Both equal
    /// the gradients of batch normalisation.
    ///
    /// # Shapes
    /// `[rows, columns]` twice, `[2, columns]`, `[1, columns]` -> `[rows, columns]`,
    /// `[2, columns]`.
    fn batch_normalize_signal(
        signal: Tensor<2>,
        input: Tensor<2>,
        statistics: Tensor<2>,
        scale: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>);

    /// Routes the signal of every window to its maximum, written to the buffer.
    ///
    /// # Shapes
    /// `[batch, values of an output map]` twice -> `[batch, values of an input map]`.
    fn max_pool_route(
        signal: Tensor<2>,
        winners: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// Mean of the pixels under every window, without those beyond the edge, written to the buffer.
    ///
    /// # Shapes
    /// `[batch, values of an input map]` -> `[batch, values of an output map]`.
    fn average_pool(input: Tensor<2>, buffer: Tensor<2>, geometry: Geometry) -> Tensor<2>;

    /// The adjoint of [`average_pool`]: every pixel receives its share of the windows over it,
    /// written to the buffer.
    ///
    /// # Shapes
    /// `[batch, values of an output map]` -> `[batch, values of an input map]`.
    fn average_pool_adjoint(signal: Tensor<2>, buffer: Tensor<2>, geometry: Geometry) -> Tensor<2>;

    /// `target - output`, in place of the output, and the sums of its absolute values and squares.
    ///
    /// # Shapes
    /// All `[batch, units]`.
    fn error_signal(target: Tensor<2>, output: Tensor<2>) -> (Tensor<2>, ErrorSums);

    /// [`error_signal`] with the two sums left on the device, `[1, 2]`: it does not wait for the
    /// device.
    fn error_signal_unread(target: Tensor<2>, output: Tensor<2>) -> (Tensor<2>, Tensor<2>);

    /// `weight * (target - softmax(output))` of each row, in place of the output, and the sums of
    /// its absolute values and squares. The target is `1 - smoothing` at the class of the row plus
    /// `smoothing / classes` everywhere.
    ///
    /// # Shapes
    /// `[rows, classes]`, and one class for each row.
    fn class_signal(output: Tensor<2>, target: ClassTarget) -> (Tensor<2>, ErrorSums);

    /// [`class_signal`] with the two sums left on the device, `[1, 2]`: it does not wait for the
    /// device.
    fn class_signal_unread(output: Tensor<2>, target: ClassTarget) -> (Tensor<2>, Tensor<2>);

    /// `clamp(decay * weight + rate * direction, ±limit)`, in place of the weight.
    ///
    /// With an infinite `limit` this is a scaled sum of two tensors.
    fn scaled_sum(
        weight: Tensor<2>,
        direction: Tensor<2>,
        decay: f32,
        rate: f32,
        limit: f32,
    ) -> Tensor<2>;

    /// Divides a matrix by its Frobenius norm (plus 1e-8), in place.
    fn frobenius_normalize(matrix: Tensor<2>) -> Tensor<2>;

    /// Adds a number to every element of the diagonal, in place.
    ///
    /// # Shapes
    /// `[n, n]`.
    fn add_to_diagonal(matrix: Tensor<2>, value: f32) -> Tensor<2>;

    /// A convolution of maps, channels last, written to the buffer.
    ///
    /// # Shapes
    /// `[batch, height * width * channels]` and a kernel [`Geometry::kernel_shape`] ->
    /// `[batch, values of an output map]`.
    fn convolve(
        input: Tensor<2>,
        kernel: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// The adjoint of [`convolve`]: the signal at its inputs from the signal at its outputs. This
    /// is also the transposed convolution.
    ///
    /// # Shapes
    /// `[batch, values of an output map]` -> `[batch, values of an input map]`.
    fn convolve_adjoint(
        signal: Tensor<2>,
        kernel: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// Correlation of the inputs of a convolution with the signal at its outputs, in the shape of
    /// the kernel, written to the buffer.
    fn convolve_correlate(
        input: Tensor<2>,
        signal: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// One step of AdamW (Loshchilov and Hutter 2019, with the correlation as the negative
    /// gradient), followed by the weight limit. Returns the weight and both moments, each in place.
    fn adam_step(
        weight: Tensor<2>,
        correlation: Tensor<2>,
        moment_1: Tensor<2>,
        moment_2: Tensor<2>,
        step: AdamStep,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>);

    /// [`adam_step`] with the correlation `presynaptic^T signal`, which is not stored as a whole if
    /// the device can avoid it.
    ///
    /// # Shapes
    /// `[rows, columns]`, `[batch, rows]`, `[batch, columns]`, and `[rows, columns]` twice.
    fn adam_step_in_factors(
        weight: Tensor<2>,
        presynaptic: Tensor<2>,
        signal: Tensor<2>,
        moment_1: Tensor<2>,
        moment_2: Tensor<2>,
        step: AdamStep,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>);
}

/// Maximum under every window, written to the first buffer, and the index of its pixel, written to
/// the second. Only [`max_pool_route`] on the same device can read the indices.
///
/// # Shapes
/// `[batch, values of an input map]` -> `[batch, values of an output map]` twice.
pub fn max_pool(
    input: Tensor<2>,
    buffers: (Tensor<2>, Tensor<2>),
    geometry: Geometry,
) -> (Tensor<2>, Tensor<2>) {
    let (output, winners) = Dispatch::max_pool(
        input.into_dispatch(),
        buffers.0.into_dispatch(),
        buffers.1.into_dispatch(),
        geometry,
    );
    (Tensor::from_dispatch(output), Tensor::from_dispatch(winners))
}

/// True if the device runs asynchronously: a read blocks until its queue is empty, and weight
/// updates that are not finite are skipped on the device.
pub fn is_asynchronous(device: &Device) -> bool {
    #[cfg(all(feature = "cube", not(feature = "fusion")))]
    if matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_)) {
        return true;
    }
    let _ = device;
    false
}

/// Reads the values of a tensor, row by row. Blocks until the device has computed them.
///
/// # Errors
/// If the device was lost or has run out of memory.
pub fn read(tensor: Tensor<2>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data().map_err(|error| {
        Error::device(format!(
            "the device could not be read ({error}); if it has run out of memory, use a smaller batch"
        ))
    })?;
    data.try_into_vec_as::<f32>().map_err(|error| Error::device(format!("{error:?}")))
}

/// True if every element is finite. Blocks until the device has computed it.
pub fn all_finite(tensor: &Tensor<2>) -> bool {
    Dispatch::all_finite(tensor.clone().into_dispatch())
}

/// [`convolve_correlate`] and [`convolve_adjoint`] in one call, which share work. `buffers` are for
/// the correlation and for the signal.
pub fn convolve_learn(
    input: Tensor<2>,
    signal: Tensor<2>,
    kernel: Tensor<2>,
    buffers: (Tensor<2>, Tensor<2>),
    geometry: Geometry,
) -> (Tensor<2>, Tensor<2>) {
    let (correlation, below) = Dispatch::convolve_learn(
        input.into_dispatch(),
        signal.into_dispatch(),
        kernel.into_dispatch(),
        buffers.0.into_dispatch(),
        buffers.1.into_dispatch(),
        geometry,
    );
    (Tensor::from_dispatch(correlation), Tensor::from_dispatch(below))
}

/// Convolution followed by max pooling. Writes the maximum under every window of the pool to the
/// first buffer and its index to the second, as [`max_pool`] does. The unpooled outputs need not be
/// stored.
///
/// # Shapes
/// The input map of `pool` is the output map of the convolution. `[batch, values of an input map]`
/// and a kernel -> `[batch, values of a pooled map]` twice.
pub fn convolve_pooled(
    input: Tensor<2>,
    kernel: Tensor<2>,
    buffers: (Tensor<2>, Tensor<2>),
    (geometry, pool): (Geometry, Geometry),
) -> (Tensor<2>, Tensor<2>) {
    let (output, winners) = Dispatch::convolve_pooled(
        input.into_dispatch(),
        kernel.into_dispatch(),
        buffers.0.into_dispatch(),
        buffers.1.into_dispatch(),
        geometry,
        pool,
    );
    (Tensor::from_dispatch(output), Tensor::from_dispatch(winners))
}

/// [`convolve_learn`] for signals at the outputs of [`convolve_pooled`], with its indices.
pub fn convolve_pooled_learn(
    input: Tensor<2>,
    (signal, winners): (Tensor<2>, Tensor<2>),
    kernel: Tensor<2>,
    buffers: (Tensor<2>, Tensor<2>),
    (geometry, pool): (Geometry, Geometry),
) -> (Tensor<2>, Tensor<2>) {
    let (correlation, below) = Dispatch::convolve_pooled_learn(
        input.into_dispatch(),
        signal.into_dispatch(),
        winners.into_dispatch(),
        kernel.into_dispatch(),
        buffers.0.into_dispatch(),
        buffers.1.into_dispatch(),
        geometry,
        pool,
    );
    (Tensor::from_dispatch(correlation), Tensor::from_dispatch(below))
}
