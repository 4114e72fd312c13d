//! Activation functions that are written in Python.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use zor::core::Activation;
use zor::core::burn::tensor::{Tensor, TensorData};

use crate::arrays::{Matrix, array};
use crate::error::input;

/// The first exception that an activation function of a network has raised since the last
/// computation.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    fn set(&self, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Takes the exception.
    pub(crate) fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Creates an activation function that calls `function` with an array `[batch, units]`. Where it
/// raises an exception, the outputs are NaN, so that no weight learns from them.
pub(crate) fn activation(name: &str, function: Py<PyAny>, raised: Raised) -> Activation {
    Activation::custom(name, move |x: Tensor<2>| {
        let (dims, device) = (x.dims(), x.device());
        let values = Python::attach(|py| call(py, &function, x));
        let values = values.unwrap_or_else(|error| {
            raised.set(error);
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
