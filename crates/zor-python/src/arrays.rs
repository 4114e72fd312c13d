//! NumPy arrays as tensors, and tensors as NumPy arrays.

use bytes::Bytes as SharedBytes;
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use zor::core::Target;
use zor::core::burn::tensor::{AllocationProperty, Bytes, DType, Device, Tensor, TensorData};

use crate::error::{exception, input};

/// A NumPy array of 32-bit floats, `[rows, columns]`.
pub(crate) type Matrix<'py> = PyReadonlyArray2<'py, f32>;

/// Memory of an array that Python keeps alive.
struct Lent {
    _array: Py<PyArray2<f32>>,
    start: *const u8,
    length: usize,
}

// SAFETY: the memory belongs to the array, which lives as long as this value and has no thread.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` and `length` are those of the array's memory, which lives as long as
        // `self`, was initialised by NumPy, and is contiguous.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// Lends an array to a tensor: its memory is not copied. An array that is not contiguous is.
pub(crate) fn lend(array: &Matrix<'_>, device: &Device) -> PyResult<Tensor<2>> {
    let shape = [array.shape()[0], array.shape()[1]];
    let data = match array.as_slice() {
        // NumPy calls Fortran's order contiguous too.
        Ok(values) if array.is_c_contiguous() && !values.is_empty() => {
            let lent = Lent {
                _array: (**array).clone().unbind(),
                start: values.as_ptr().cast(),
                length: std::mem::size_of_val(values),
            };
            let shared = SharedBytes::from_owner(lent);
            let bytes = Bytes::from_shared(shared, AllocationProperty::Native).shared();
            TensorData::try_from_bytes(bytes, shape, DType::F32)
                .map_err(|error| input(format!("the array cannot be read: {error:?}")))?
        }
        _ => TensorData::new(array.as_array().iter().copied().collect::<Vec<f32>>(), shape),
    };
    Ok(Tensor::from_data(data, device))
}

/// Returns the values of a tensor as an array.
pub(crate) fn array<'py>(
    py: Python<'py>,
    tensor: Tensor<2>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let shape = tensor.dims();
    array_of(py, values(tensor)?, shape)
}

/// Returns the values of a tensor.
pub(crate) fn values(tensor: Tensor<2>) -> PyResult<Vec<f32>> {
    zor::core::ops::read(tensor).map_err(exception)
}

/// Returns values as an array of a shape, without a copy.
pub(crate) fn array_of(
    py: Python<'_>,
    values: Vec<f32>,
    shape: [usize; 2],
) -> PyResult<Bound<'_, PyArray2<f32>>> {
    PyArray1::from_vec(py, values).reshape(shape)
}

/// A target as it comes from Python.
#[derive(FromPyObject)]
pub(crate) enum Targets<'py> {
    /// Target values, `[rows, outputs]`.
    Values(PyReadonlyArray2<'py, f32>),
    /// Class of each row.
    Classes(PyReadonlyArray1<'py, i64>),
}

/// What belongs to a target besides its values.
pub(crate) struct Weighting<'py> {
    /// 1 where a target value is known and 0 where it is missing, `[rows, outputs]`.
    pub(crate) known: Option<Matrix<'py>>,
    /// Weight of each row.
    pub(crate) weights: Option<PyReadonlyArray1<'py, f32>>,
    /// Share of the target that is spread evenly over all classes.
    pub(crate) smoothing: f32,
}

/// Converts a target.
pub(crate) fn target(
    targets: &Targets<'_>,
    more: &Weighting<'_>,
    device: &Device,
) -> PyResult<Target> {
    match targets {
        Targets::Values(values) => {
            if more.weights.is_some() || more.smoothing != 0.0 {
                return Err(input(
                    "weights and label_smoothing are for classes; this target has values",
                ));
            }
            let values = lend(values, device)?;
            let Some(known) = &more.known else { return Ok(Target::Values(values)) };
            Ok(Target::PartialValues { values, known: lend(known, device)? })
        }
        Targets::Classes(classes) => {
            if more.known.is_some() {
                return Err(input("known is for target values; this target has classes"));
            }
            let classes = classes.as_array();
            let class = |(row, class): (usize, &i64)| {
                usize::try_from(*class).map_err(|_| {
                    input(format!("row {row} has class {class}; classes count from 0"))
                })
            };
            let classes: Vec<usize> =
                classes.iter().enumerate().map(class).collect::<PyResult<_>>()?;
            let smoothing = more.smoothing;
            let weights = more.weights.as_ref().map(|weights| weights.as_array().to_vec());
            Ok(match weights {
                Some(weights) => Target::WeightedClasses { classes, smoothing, weights },
                None => Target::SmoothedClasses { classes, smoothing },
            })
        }
    }
}
