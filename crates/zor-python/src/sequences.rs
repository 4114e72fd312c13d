//! Sequences of tokens, and the inputs of networks.

use numpy::{PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use zor::core::burn::tensor::Device;
use zor::core::{self, Input};

use crate::arrays::{Matrix, lend};
use crate::error::{exception, input};

/// Sequences of tokens. The class `zor.Sequences` creates it.
#[pyclass(frozen, module = "zor._zor")]
pub(crate) struct Sequences(core::Sequences);

#[pymethods]
impl Sequences {
    /// Creates sequences from their tokens, one sequence after another, their lengths, and the
    /// numbers of positions in their prefixes.
    #[new]
    fn new(
        tokens: PyReadonlyArray1<'_, i64>,
        lengths: Vec<usize>,
        prefixes: Option<Vec<usize>>,
    ) -> PyResult<Self> {
        let token = |(position, token): (usize, &i64)| {
            u32::try_from(*token).map_err(|_| {
                input(format!("position {position} has token {token}; tokens count from 0"))
            })
        };
        let tokens = tokens.as_array().iter().enumerate().map(token).collect::<PyResult<_>>()?;
        let found = core::Sequences::new(tokens, &lengths).map_err(exception)?;
        let found = match prefixes {
            Some(prefixes) => found.with_prefixes(&prefixes).map_err(exception)?,
            None => found,
        };
        Ok(Self(found))
    }
}

/// The input of a network as it comes from Python.
#[derive(FromPyObject)]
pub(crate) enum Inputs<'py> {
    /// Values of samples, `[rows, inputs]`.
    Values(Matrix<'py>),
    /// Sequences, whose positions are rows.
    Sequences(Bound<'py, Sequences>),
}

impl Inputs<'_> {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Values(values) => values.shape()[0],
            Self::Sequences(sequences) => sequences.get().0.tokens().len(),
        }
    }

    /// The input for a network, in the memory of an array.
    pub(crate) fn lend(&self, device: &Device) -> PyResult<Input> {
        match self {
            Self::Values(values) => Ok(lend(values, device)?.into()),
            Self::Sequences(sequences) => Ok((&sequences.get().0).into()),
        }
    }
}
