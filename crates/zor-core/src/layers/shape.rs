//! Another view of the same values.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, Learning, Mode, Signal};
use crate::workspace::{Memory, Workspace};

/// Settings of a [`Reshape`] layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReshapeConfig {
    /// The new shape of a sample; empty for one row of all values.
    pub shape: Vec<usize>,
}

impl ReshapeConfig {
    /// This shape.
    pub fn new(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec() }
    }

    /// All values in a row.
    pub fn flatten() -> Self {
        Self { shape: Vec::new() }
    }
}

/// Takes a sample's values for another shape. Nothing is moved, neither up nor down.
#[derive(Clone, Debug)]
pub struct Reshape {
    shape: Vec<usize>,
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn output_shape(&self) -> &[usize] {
        &self.shape
    }

    fn input_size(&self) -> Option<usize> {
        Some(self.shape.iter().product())
    }

    fn forward(
        &self,
        input: Tensor<2>,
        _memory: &mut Memory,
        _workspace: &mut Workspace,
        _mode: Mode,
    ) -> Tensor<2> {
        input
    }

    fn learn(
        &mut self,
        signal: Signal,
        _memory: &mut Memory,
        _learning: &mut Learning<'_>,
    ) -> Signal {
        signal
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(ReshapeConfig { shape: self.shape.clone() })
            .map_err(|e| Error::setting(e.to_string()))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl LayerConfig for ReshapeConfig {
    fn build(
        &self,
        input_shape: &[usize],
        _context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let values = input_shape.iter().product::<usize>();
        let shape = if self.shape.is_empty() { vec![values] } else { self.shape.clone() };
        if shape.iter().product::<usize>() != values {
            return Err(Error::shape(format!(
                "{input_shape:?} has {values} values, the new shape {shape:?} {}",
                shape.iter().product::<usize>()
            )));
        }
        Ok(Box::new(Reshape { shape }))
    }
}
