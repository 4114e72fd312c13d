//! The operations of the rule on tensors: what a layer is made of.
//!
//! Each runs on the device of its tensors, as the backend's own version or as the body in burn's
//! primitives. An argument called `buffer` lends its memory to the result (take it from a
//! [`crate::Workspace`]); its contents do not matter. Results are written in place of the first
//! argument when nobody else holds it.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backend::ZorBackend;
pub use crate::backend::{
    AdamStep, ErrorSums, GateSettings, Geometry, NORM_EPSILON, Precision, Side, Transposed, Window,
};
use crate::error::{Error, Result};

/// Zeros. On the CPU they are made where they stay; a backend's own are made twice, and what is
/// freed in between stays with the process.
pub fn zeros(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(vec![0f32; shape[0] * shape[1]], shape), device)
}

/// The tensor, as an error if somebody else holds its memory too.
#[allow(clippy::result_large_err, reason = "a box would be an allocation a step")]
pub(crate) fn unshared(tensor: Tensor<2>) -> std::result::Result<Tensor<2>, Tensor<2>> {
    let tensor = tensor.into_dispatch();
    let is_unshared = tensor.can_mut();
    let tensor = Tensor::from_dispatch(tensor);
    if is_unshared { Ok(tensor) } else { Err(tensor) }
}

/// The values of a tensor in the memory of a buffer.
pub(crate) fn copy(tensor: Tensor<2>, buffer: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::copy(tensor.into_dispatch(), buffer.into_dispatch()))
}

/// A tensor of the backend that is chosen at run time.
type BackendTensor = FloatTensor<Dispatch>;

/// A value that is passed to an operation of the backend.
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

macro_rules! passed_as_they_are {
    ($($type:ty),+) => {$(
        impl Argument for $type {
            type Backend = Self;

            fn into_backend(self) -> Self {
                self
            }
        }
    )+};
}

passed_as_they_are!(f32, usize, AdamStep, GateSettings, Geometry, Side, Transposed);

/// A value made of the result of such an operation.
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

/// Functions on tensors, each the backend's operation of its name.
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
    /// When not stateful, the charge starts at zero; otherwise charges below `min_charge` become
    /// zero first. Returns output, spikes (0.0 or 1.0) and the charge left.
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

    /// Gives every column the same L2 norm over the batch, such that the norm of all stays. A
    /// column of zeros stays zero.
    ///
    /// # Shapes
    /// `[batch, units]`.
    fn equalize_units(signal: Tensor<2>) -> Tensor<2>;

    /// `signal * |spikes / (||spikes||_column + 1e-8)|`, written to the buffer.
    ///
    /// # Shapes
    /// All `[batch, units]`.
    fn gate_signal(signal: Tensor<2>, spikes: Tensor<2>, buffer: Tensor<2>) -> Tensor<2>;

    /// The values above the threshold, and zero for all others, in place: a gate's outputs where
    /// charges start at zero.
    fn zero_at_or_below(tensor: Tensor<2>, threshold: f32) -> Tensor<2>;

    /// 1.0 where a value is above zero, else 0.0, written to the buffer.
    fn step_mask(tensor: Tensor<2>, buffer: Tensor<2>) -> Tensor<2>;

    /// The elementwise product, in place of the first tensor.
    fn multiply(tensor: Tensor<2>, by: Tensor<2>) -> Tensor<2>;

    /// A matrix product, written to the buffer.
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

    /// [`matmul`] whose result is known to be symmetric, so that half of it says all: a matrix with
    /// its own transpose, or two symmetric ones that commute.
    fn symmetric_matmul(
        left: Tensor<2>,
        right: Tensor<2>,
        buffer: Tensor<2>,
        transposed: Transposed,
    ) -> Tensor<2>;

    /// A matrix times a square one on either side, in place of the matrix.
    ///
    /// # Shapes
    /// `[rows, columns]` and `[rows, rows]` or `[columns, columns]`.
    fn multiply_square(matrix: Tensor<2>, factor: Tensor<2>, side: Side) -> Tensor<2>;

    /// Divides a correlation by the norms of the presynaptic activity: the row of an input channel
    /// by that channel's L2 norm over all rows of `presynaptic` (plus 1e-8), in place.
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

    /// The signal below a batch normalisation, in place of the signal above it, and the
    /// correlations of scale and shift.
    ///
    /// With `x' = (x - mean) / deviation`: `scale / deviation * (s - mean(s) - x' mean(s x'))`, and
    /// `[sum(s x'); sum(s)]`. Both are batch normalisation's gradient.
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

    /// Sends the signal of every window to the pixel that won it, written to the buffer.
    ///
    /// # Shapes
    /// `[batch, values of an output map]` twice -> `[batch, values of an input map]`.
    fn max_pool_route(
        signal: Tensor<2>,
        winners: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// The mean of the pixels under every window, those over the edge left out, written to the
    /// buffer.
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

    /// `target - output`, in place of the output, with the sums of its absolute values and squares.
    ///
    /// # Shapes
    /// All `[batch, units]`.
    fn error_signal(target: Tensor<2>, output: Tensor<2>) -> (Tensor<2>, ErrorSums);

    /// [`error_signal`] with the two sums on the device, `[1, 2]`: nobody waits for it.
    fn error_signal_unread(target: Tensor<2>, output: Tensor<2>) -> (Tensor<2>, Tensor<2>);

    /// `clamp(decay * weight + rate * direction, ±limit)`, in place of the weight.
    ///
    /// With `limit` infinite it is the scaled sum of two tensors of any meaning.
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

    /// The adjoint of [`convolve`]: the signal of its inputs from that of its outputs, which is
    /// also the transposed convolution.
    ///
    /// # Shapes
    /// `[batch, values of an output map]` -> `[batch, values of an input map]`.
    fn convolve_adjoint(
        signal: Tensor<2>,
        kernel: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// The correlation of a convolution's inputs with the signal at its outputs, in the kernel's
    /// shape, written to the buffer.
    fn convolve_correlate(
        input: Tensor<2>,
        signal: Tensor<2>,
        buffer: Tensor<2>,
        geometry: Geometry,
    ) -> Tensor<2>;

    /// One step of AdamW (Loshchilov and Hutter 2019, with the correlation as the negative
    /// gradient), then the weight limit. Returns the weight and both moments, each in place.
    fn adam_step(
        weight: Tensor<2>,
        correlation: Tensor<2>,
        moment_1: Tensor<2>,
        moment_2: Tensor<2>,
        step: AdamStep,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>);

    /// [`adam_step`] with the correlation `presynaptic^T signal`, which is nowhere in memory as a
    /// whole if the device can do without.
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

/// The largest value under every window, written to the first buffer, and which pixel it is,
/// written to the second, in numbers that only [`max_pool_route`] on the same device reads.
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

/// Whether a device has a queue of work, so that reading from it means to wait, and whether
/// operations that change weights there leave those as they are that they are told nothing finite
/// about.
pub fn is_asynchronous(device: &Device) -> bool {
    #[cfg(all(feature = "cube", not(feature = "fusion")))]
    if matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_)) {
        return true;
    }
    let _ = device;
    false
}

/// The values of a tensor, row after row. Reads the device.
///
/// # Errors
/// When the device was lost or has run out of memory.
pub fn read(tensor: Tensor<2>) -> Result<Vec<f32>> {
    let data = tensor.try_into_data().map_err(|error| {
        Error::device(format!(
            "the device does not answer ({error}); if it has run out of memory, a smaller batch needs less"
        ))
    })?;
    Ok(data.iter::<f32>().collect())
}

/// Whether every element is a finite number. Reads the device.
pub fn all_finite(tensor: &Tensor<2>) -> bool {
    Dispatch::all_finite(tensor.clone().into_dispatch())
}

/// [`convolve_correlate`] and [`convolve_adjoint`] at once, which share work. `buffers` are for the
/// correlation and for the signal.
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

/// A convolution of which only the largest output under every window of a pool is kept, written to
/// the first buffer, with which one that is, written to the second, as [`max_pool`] would. What is
/// not kept need not be in memory at any time.
///
/// # Shapes
/// `pool` has the convolution's output map as its input. `[batch, values of an input map]` and a
/// kernel -> `[batch, values of a pooled map]` twice.
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

/// [`convolve_learn`] for signals at the outputs of [`convolve_pooled`], with its winners.
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
