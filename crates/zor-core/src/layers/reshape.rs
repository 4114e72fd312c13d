//! A change of the shape of samples.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};

/// Settings of a [`Reshape`] layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReshapeConfig {
    /// The new shape of a sample; empty to flatten it.
    pub shape: Vec<usize>,
}

impl ReshapeConfig {
    /// Gives samples this shape.
    pub fn new(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec() }
    }

    /// Flattens samples.
    pub fn flatten() -> Self {
        Self { shape: Vec::new() }
    }
}

/// Changes the shape of samples. No value moves in either pass.
#[derive(Clone, Debug)]
pub struct Reshape {
    /// Empty to flatten.
    shape: Vec<usize>,
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let values = input.iter().product::<usize>();
        let shape = if self.shape.is_empty() { vec![values] } else { self.shape.clone() };
        match shape.iter().product::<usize>() {
            found if found == values => Ok(shape),
            found => Err(Error::shape(format!(
                "{input:?} has {values} values, the new shape {shape:?} {found}"
            ))),
        }
    }

    fn forward(&self, input: Tensor<2>, _: &mut Pass<'_>) -> Tensor<2> {
        input
    }

    fn learn(&mut self, signal: Signal, _: &mut LearnPass<'_>) -> Signal {
        signal
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(ReshapeConfig { shape: self.shape.clone() })
            .map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Reshape { shape: &self.shape })
    }
}

impl LayerConfig for ReshapeConfig {
    fn build(&self, input_shape: &[usize], _: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let reshape = Reshape { shape: self.shape.clone() };
        reshape.output_shape(input_shape)?;
        Ok(Box::new(reshape))
    }
}
