//! A fully connected layer without a bias.
//!
//! Forward `y = x W`. Let `s` be the signal at the output, `s'` its gated form, and `p = x`, with
//! each column divided by its norm over the batch if the rule normalises presynaptic activity. The
//! weight moves along `p^T s'`, and `s W^T` passes down, with `W` from before the step.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::ops::{self, Transposed};
use crate::parameter::Parameter;

/// Settings of a [`Dense`] layer. Unset values come from the network's [`Rule`](crate::Rule).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseConfig {
    /// Number of output units.
    pub units: usize,
    /// Overrides [`Rule::normalize_presynaptic`](crate::Rule::normalize_presynaptic).
    #[serde(default)]
    pub normalize_presynaptic: Option<bool>,
    /// Overrides [`Rule::weight_limit`](crate::Rule::weight_limit).
    #[serde(default)]
    pub weight_limit: Option<f32>,
    /// Overrides [`Rule::initial_scale`](crate::Rule::initial_scale).
    #[serde(default)]
    pub initial_scale: Option<f32>,
}

impl DenseConfig {
    /// A layer with this number of output units and all other settings from the rule.
    pub fn new(units: usize) -> Self {
        Self { units, normalize_presynaptic: None, weight_limit: None, initial_scale: None }
    }
}

/// A fully connected layer.
#[derive(Clone, Debug)]
pub struct Dense {
    weight: Parameter,
    normalize_presynaptic: bool,
    initial_scale: f32,
}

/// The input of the forward pass, kept for the correlation.
const PRESYNAPTIC: &str = "presynaptic";

impl Dense {
    /// The weight matrix, `[inputs, units]`.
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let [inputs, units] = self.weight.shape();
        match input.iter().product::<usize>() {
            given if given == inputs => Ok(vec![units]),
            given => Err(Error::shape(format!(
                "it takes {inputs} values of a sample; {input:?} has {given}"
            ))),
        }
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let [rows, _] = input.dims();
        let buffer = pass.workspace.take([rows, self.weight.shape()[1]]);
        let output = ops::matmul(input.clone(), self.weight.value(), buffer, Transposed::Neither);
        pass.keep_to_learn(PRESYNAPTIC, input);
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Some(presynaptic) = pass.memory.take(PRESYNAPTIC) else {
            return signal;
        };
        let Signal { values, gated } = signal;
        let presynaptic = if self.normalize_presynaptic {
            let own = pass.workspace.make_unique(presynaptic);
            ops::unit_normalize(own, ops::NORM_EPSILON)
        } else {
            presynaptic
        };
        let workspace = &mut *pass.workspace;
        let below = pass.signal_is_wanted.then(|| {
            let buffer = workspace.take(presynaptic.dims());
            ops::matmul(values.clone(), self.weight.value(), buffer, Transposed::Right)
        });
        let above = gated.as_ref().unwrap_or(&values);
        pass.optimizer.step_in_factors(&mut self.weight, &presynaptic, above, workspace);
        workspace.give(presynaptic);
        gated.into_iter().for_each(|gated| workspace.give(gated));
        match below {
            Some(below) => {
                workspace.give(values);
                Signal::new(below)
            }
            None => Signal::new(values),
        }
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.weight);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.weight);
    }

    fn multiply_adds(&self, _: &[usize]) -> u64 {
        let [inputs, units] = self.weight.shape();
        inputs as u64 * units as u64
    }

    fn config(&self) -> Result<serde_json::Value> {
        let config = DenseConfig {
            units: self.weight.shape()[1],
            normalize_presynaptic: Some(self.normalize_presynaptic),
            // JSON has no infinity; the largest f32 is no limit either.
            weight_limit: Some(self.weight.limit().min(f32::MAX)),
            initial_scale: Some(self.initial_scale),
        };
        serde_json::to_value(config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::MatrixProduct { weight: &self.weight })
    }
}

impl LayerConfig for DenseConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let inputs: usize = input_shape.iter().product();
        if self.units == 0 {
            return Err(Error::setting("a dense layer needs at least one unit"));
        }
        let limit = self.weight_limit.or(context.rule().weight_limit).unwrap_or(f32::INFINITY);
        if limit.is_nan() || limit <= 0.0 {
            return Err(Error::setting(format!("weight_limit is {limit}; it must be above zero")));
        }
        let scale = self.initial_scale.unwrap_or(context.rule().initial_scale);
        let deviation = scale * (2.0 / (inputs + self.units) as f32).sqrt();
        let shape = [inputs, self.units];
        Ok(Box::new(Dense {
            weight: context
                .parameter("weight", shape, Initializer::Normal(deviation))?
                .with_limit(limit),
            normalize_presynaptic: self
                .normalize_presynaptic
                .unwrap_or(context.rule().normalize_presynaptic),
            initial_scale: scale,
        }))
    }
}
