//! Normalisation by the root mean square (Zhang and Sennrich 2019): each row of a batch, a position
//! of a sequence for instance, is divided by the root mean square of its values.
//!
//! Forward `y = scale x'` with `x' = x / r` and `r = sqrt(mean(x^2) + epsilon)`. The signal below
//! is `(scale s - x' mean(scale s x')) / r`, which is the gradient, and the scale moves along
//! `sum(s x')`. Training and prediction are identical.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::ops;
use crate::parameter::Parameter;

/// Settings of an [`RmsNorm`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsNormConfig {
    /// Added to the mean square.
    pub epsilon: f32,
}

impl Default for RmsNormConfig {
    fn default() -> Self {
        Self { epsilon: 1e-6 }
    }
}

/// Divides each row by the root mean square of its values.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    scale: Parameter,
    epsilon: f32,
}

/// The input, kept for learning.
const INPUT: &str = "input";
/// Root mean square of each row, `[rows, 1]`.
const ROOTS: &str = "roots";

impl Layer for RmsNorm {
    fn kind(&self) -> &'static str {
        "rms_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let ([_, taken], given) = (self.scale.shape(), input.iter().product::<usize>());
        match taken == given {
            true => Ok(input.to_vec()),
            false => Err(Error::shape(format!(
                "it takes {taken} values of a sample; {input:?} has {given}"
            ))),
        }
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let buffer = pass.workspace.take(input.dims());
        let scale = self.scale.value();
        let (output, roots) = ops::rms_normalize(input.clone(), scale, buffer, self.epsilon);
        pass.keep_to_learn(INPUT, input);
        pass.keep_to_learn(ROOTS, roots);
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let kept = (pass.memory.take(INPUT), pass.memory.take(ROOTS));
        let (Some(input), Some(roots)) = kept else {
            return signal;
        };
        let scale = self.scale.value();
        let Signal { values, gated } = signal;
        let through = |values: Tensor<2>| {
            ops::rms_normalize_signal(values, input.clone(), roots.clone(), scale.clone())
        };
        let (values, mut of_scale) = through(pass.workspace.make_unique(values));
        let gated = gated.map(|gated| {
            let (gated, correlation) = through(pass.workspace.make_unique(gated));
            of_scale = correlation;
            gated
        });
        drop(scale);
        pass.optimizer.step(&mut self.scale, of_scale, pass.workspace);
        pass.workspace.give(input);
        Signal { values, gated }
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.scale);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.scale);
    }

    fn config(&self) -> Result<serde_json::Value> {
        let config = RmsNormConfig { epsilon: self.epsilon };
        serde_json::to_value(config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::RmsNorm { scale: &self.scale, epsilon: self.epsilon })
    }
}

impl LayerConfig for RmsNormConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Error::setting(format!(
                "epsilon is {}; it must be above zero",
                self.epsilon
            )));
        }
        let shape = [1, input_shape.iter().product()];
        let scale = context.parameter("scale", shape, Initializer::Constant(1.0))?;
        Ok(Box::new(RmsNorm { scale, epsilon: self.epsilon }))
    }
}
