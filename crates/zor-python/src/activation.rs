//! Activation functions that are written in Python.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use zor::core::Activation;
use zor::core::burn::tensor::{Tensor, TensorData};

use crate::arrays::{Matrix, array};
use crate::error::input;
use crate::{calls, exit};

/// Creates an activation function that calls `function` with an array `[batch, units]`. Where it
/// raises an exception, the outputs are NaN, so that no weight learns from them.
pub(crate) fn activation(name: &str, function: Py<PyAny>) -> Activation {
    Activation::custom(name, move |x: Tensor<2>| {
        let (dims, device) = (x.dims(), x.device());
        let values = exit::attach(|py| call(py, &function, x));
        let values = values.unwrap_or_else(|error| {
            calls::raise(error);
            vec![f32::NAN; dims[0] * dims[1]]
        });
        Tensor::from_data(TensorData::new(values, dims), &device)
    })
}

fn call(py: Python<'_>, function: &Py<PyAny>, x: Tensor<2>) -> PyResult<Vec<f32>> {
    let [rows, units] = x.dims();
    let output = function.bind(py).call1((array(py, x)?,))?;
    let output: Matrix<'_> = output.extract()?;
    match output.shape() {
        &[r, u] if (r, u) == (rows, units) => Ok(output.as_array().iter().copied().collect()),
        found => Err(input(format!(
            "an activation function returned an array of shape {found:?} for one of shape [{rows}, {units}]; it must keep the shape"
        ))),
    }
}
