//! The input of a network.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::sequences::Sequences;

/// The input of a network for one batch.
#[derive(Clone, Debug)]
pub enum Input {
    /// Values of samples, `[batch, inputs]`.
    Values(Tensor<2>),
    /// Tokens of sequences. Their positions are the rows of the batch, and the input shape of the
    /// network is `[1]`: the token of a position.
    Sequences(Sequences),
}

impl Input {
    /// Returns the values of samples.
    ///
    /// # Errors
    /// If the input is sequences.
    pub fn into_values(self) -> Result<Tensor<2>> {
        match self {
            Self::Values(values) => Ok(values),
            Self::Sequences(_) => {
                Err(Error::shape("this takes samples of values; the input is sequences"))
            }
        }
    }
}

impl From<Tensor<2>> for Input {
    fn from(values: Tensor<2>) -> Self {
        Self::Values(values)
    }
}

impl From<Sequences> for Input {
    fn from(sequences: Sequences) -> Self {
        Self::Sequences(sequences)
    }
}

impl From<&Sequences> for Input {
    fn from(sequences: &Sequences) -> Self {
        Self::Sequences(sequences.clone())
    }
}
