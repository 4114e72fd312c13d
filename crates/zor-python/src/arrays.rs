//! NumPy arrays as tensors, and tensors as NumPy arrays.

use bytes::Bytes as SharedBytes;
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyMemoryError;
use pyo3::intern;
use pyo3::prelude::*;
use zor::core::Target;
use zor::core::burn::tensor::{AllocationProperty, Bytes, DType, Device, Tensor, TensorData};

use zor::training::memory;

use crate::error::{input, of_kind};

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

/// Number of values whose memory is always asked for: asking the system takes time.
const ALWAYS: u64 = 1 << 26;

/// Checks that values fit into the free memory.
pub(crate) fn check_free(values: u64) -> PyResult<()> {
    let bytes = values.saturating_mul(4);
    match (values > ALWAYS).then(memory::available).flatten() {
        Some(free) if bytes > free => Err(PyMemoryError::new_err(format!(
            "the batch needs {:.1} GB, and {:.1} GB are free; pass fewer rows at once",
            bytes as f64 / 1e9,
            free as f64 / 1e9
        ))),
        _ => Ok(()),
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
        _ => {
            check_free((shape[0] as u64).saturating_mul(shape[1] as u64))?;
            TensorData::new(array.as_array().iter().copied().collect::<Vec<f32>>(), shape)
        }
    };
    Ok(Tensor::from_data(data, device))
}

/// Returns the values of a tensor as an array.
pub(crate) fn array<'py>(
    py: Python<'py>,
    tensor: Tensor<2>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    Values::of(tensor)?.into_array(py)
}

/// Values of a matrix that were read from a tensor.
pub(crate) struct Values {
    bytes: Bytes,
    shape: [usize; 2],
}

impl Values {
    /// Reads a tensor. Its memory is taken over if nothing else refers to it.
    pub(crate) fn of(tensor: Tensor<2>) -> PyResult<Self> {
        let shape = tensor.dims();
        let data = tensor
            .try_into_data()
            .map_err(|error| of_kind("device", format!("the results cannot be read: {error}")))?;
        Ok(Self { bytes: data.into_bytes(), shape })
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.shape[1]
    }

    /// The values, row by row.
    pub(crate) fn into_vec(self) -> Vec<f32> {
        match self.bytes.try_into_vec::<f32>() {
            Ok(values) => values,
            Err(bytes) => bytes.chunks_exact(4).map(read).collect(),
        }
    }

    /// Returns an array, which takes over the memory.
    pub(crate) fn into_array(self, py: Python<'_>) -> PyResult<Bound<'_, PyArray2<f32>>> {
        let shape = self.shape;
        let bytes = match self.bytes.try_into_vec::<f32>() {
            Ok(values) => return array_of(py, values, shape),
            Err(bytes) => bytes,
        };
        match bytes.try_into_vec::<u8>() {
            // Memory from the allocator is aligned for floats.
            Ok(bytes) if bytes.as_ptr().align_offset(align_of::<f32>()) == 0 => {
                let bytes = PyArray1::from_vec(py, bytes).into_any();
                let values = bytes.call_method1(intern!(py, "view"), (intern!(py, "float32"),))?;
                Ok(values.call_method1(intern!(py, "reshape"), (shape,))?.cast_into()?)
            }
            Ok(bytes) => array_of(py, bytes.chunks_exact(4).map(read).collect(), shape),
            Err(bytes) => array_of(py, bytes.chunks_exact(4).map(read).collect(), shape),
        }
    }
}

/// Reads a number from its bytes in memory.
fn read(bytes: &[u8]) -> f32 {
    bytes.try_into().map_or(f32::NAN, f32::from_ne_bytes)
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
