//! Multiplication by a constant: `y = f x` forward, `f s` on the way down.
//!
//! After the last weights it sets how far outputs move in a step of an optimizer that uses only the
//! direction of updates, such as Muon.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};

/// Settings of a [`Scale`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleConfig {
    /// The constant factor, finite and not zero.
    pub factor: f32,
}

impl ScaleConfig {
    /// A layer with this factor.
    pub fn new(factor: f32) -> Self {
        Self { factor }
    }
}

/// Multiplies by a constant.
#[derive(Clone, Debug)]
pub struct Scale {
    config: ScaleConfig,
}

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "scale"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        pass.workspace.make_unique(input) * self.config.factor
    }

    fn learn(&mut self, signal: Signal, _: &mut LearnPass<'_>) -> Signal {
        signal.map(|values| values * self.config.factor)
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Scale { factor: self.config.factor })
    }
}

impl LayerConfig for ScaleConfig {
    fn build(&self, _: &[usize], _: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        if !self.factor.is_finite() || self.factor == 0.0 {
            return Err(Error::setting(format!(
                "factor is {}; it must be a finite number other than 0",
                self.factor
            )));
        }
        Ok(Box::new(Scale { config: *self }))
    }
}
