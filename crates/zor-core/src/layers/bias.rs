//! A trained offset for every channel: `y = x + b`. The offset moves along the sum of the signal (its gated form, where there is one),
//! which goes on down as it is.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels};
use crate::build::{BuildContext, Fill};
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, Learning, Mode, Signal};
use crate::ops;
use crate::parameter::Parameter;
use crate::workspace::{Memory, Workspace};

/// Settings of a [`Bias`] layer: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasConfig {}

/// Adds an offset to every channel; of a sample without positions, to every unit.
#[derive(Clone, Debug)]
pub struct Bias {
    offset: Parameter,
    shape: Vec<usize>,
}

impl Layer for Bias {
    fn kind(&self) -> &'static str {
        "bias"
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
        workspace: &mut Workspace,
        _mode: Mode,
    ) -> Tensor<2> {
        let rows = input.dims()[0];
        let input = by_channel(ops::exclusive(input, workspace), channels(&self.shape));
        let offset = self.offset.value();
        by_sample(ops::scale_shift(input, offset.ones_like(), offset), rows)
    }

    fn learn(
        &mut self,
        signal: Signal,
        _memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        let above = signal.gated.as_ref().unwrap_or(&signal.values).clone();
        let correlation = by_channel(above, channels(&self.shape)).sum_dim(0);
        learning.optimizer.step(&mut self.offset, correlation, learning.workspace);
        signal
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.offset]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.offset]
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(BiasConfig {}).map_err(|e| Error::setting(e.to_string()))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl LayerConfig for BiasConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let shape = [1, channels(input_shape)];
        let offset = context.parameter("offset", shape, Fill::Constant(0.0))?;
        Ok(Box::new(Bias { offset, shape: input_shape.to_vec() }))
    }
}
