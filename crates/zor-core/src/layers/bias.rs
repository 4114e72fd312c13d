//! A trained offset per channel: `y = x + b`.
//!
//! The offset moves along the sum of the signal, or of its gated form where there is one; the
//! signal passes down unchanged.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels, same_channels};
use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::ops;
use crate::parameter::Parameter;

/// Settings of a [`Bias`] layer. It has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasConfig {}

/// Adds a trained offset to each channel, or to each unit of a sample without positions.
#[derive(Clone, Debug)]
pub struct Bias {
    offset: Parameter,
}

impl Layer for Bias {
    fn kind(&self) -> &'static str {
        "bias"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        same_channels(input, &self.offset)
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = input.dims()[0];
        let input = by_channel(pass.workspace.make_unique(input), channels(pass.shape));
        let offset = self.offset.value();
        by_sample(ops::scale_shift(input, offset.ones_like(), offset), rows)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let above = signal.learned_from().clone();
        let correlation = by_channel(above, channels(pass.shape)).sum_dim(0);
        pass.optimizer.step(&mut self.offset, correlation, pass.workspace);
        signal
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.offset);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.offset);
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(BiasConfig {}).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Affine { scale: None, shift: Some(&self.offset) })
    }
}

impl LayerConfig for BiasConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let shape = [1, channels(input_shape)];
        let offset = context.parameter("offset", shape, Initializer::Constant(0.0))?;
        Ok(Box::new(Bias { offset }))
    }
}
