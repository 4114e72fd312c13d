//! Batch normalisation (Ioffe and Szegedy 2015) of each channel over batch and positions.
//!
//! Forward `x' = (x - mean) / deviation; y = scale x' + shift`. With the signal `s` at the output,
//! `scale` moves along `sum(s x')`, `shift` along `sum(s)`, and
//! `scale / deviation * (s - mean(s) - x' mean(s x'))` passes down: the scaled signal, re-centred,
//! without its component along the normalised activity. These local quantities are the gradient of
//! batch normalisation; they contain no derivative of an activation function.
//!
//! Predictions use running means of the mean and the variance.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels, same_channels};
use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::memory::Mode;
use crate::ops;
use crate::parameter::Parameter;

/// Settings of a [`BatchNorm`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub epsilon: f32,
    /// Weight of a batch in the running means. The n-th batch weighs at least 1/n, so that early
    /// running means are plain means.
    pub momentum: f32,
    /// True if the scale is trained; otherwise it stays 1.
    pub trains_scale: bool,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1, trains_scale: true }
    }
}

/// Normalises channels by the statistics of the batch.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    scale: Parameter,
    shift: Parameter,
    mean: Parameter,
    variance: Parameter,
    config: BatchNormConfig,
}

/// The input of the forward pass.
const INPUT: &str = "input";
/// Mean and standard deviation of each channel over the batch.
const STATISTICS: &str = "statistics";

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        same_channels(input, &self.scale)
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = input.dims()[0];
        let channels = channels(pass.shape);
        let (scale, shift) = (self.scale.value(), self.shift.value());
        if pass.mode == Mode::Evaluate {
            let scale = scale / (self.variance.value() + self.config.epsilon).sqrt();
            let shift = shift - self.mean.value() * scale.clone();
            let input = by_channel(pass.workspace.make_unique(input), channels);
            return by_sample(ops::scale_shift(input, scale, shift), rows);
        }
        let buffer = by_channel(pass.workspace.take(input.dims()), channels);
        let view = by_channel(input.clone(), channels);
        let (output, statistics) =
            ops::batch_normalize(view, scale, shift, buffer, self.config.epsilon);
        pass.memory.keep(STATISTICS, statistics);
        pass.keep_to_learn(INPUT, input);
        by_sample(output, rows)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let kept = (pass.memory.take(INPUT), pass.memory.take(STATISTICS));
        let (Some(input), Some(statistics)) = kept else {
            return signal;
        };
        let rows = input.dims()[0];
        let channels = channels(pass.shape);
        let view = by_channel(input.clone(), channels);
        let scale = self.scale.value();
        let down = |values: Tensor<2>| {
            let (below, correlations) = ops::batch_normalize_signal(
                by_channel(values, channels),
                view.clone(),
                statistics.clone(),
                scale.clone(),
            );
            (by_sample(below, rows), correlations)
        };
        let Signal { values, gated } = signal;
        let (values, of_values) = down(values);
        // Parameters learn from the gated signal where there is one.
        let (gated, correlations) = match gated.map(down) {
            Some((gated, of_gated)) => (Some(gated), of_gated),
            None => (None, of_values),
        };
        drop((view, scale));
        self.follow(statistics, (rows * pass.shape.iter().product::<usize>() / channels) as f32);
        pass.workspace.give(input);
        let row = |r: usize| correlations.clone().narrow(0, r, 1);
        pass.optimizer.step(&mut self.scale, row(0), pass.workspace);
        pass.optimizer.step(&mut self.shift, row(1), pass.workspace);
        Signal { values, gated }
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.scale);
        visitor.parameter(&self.shift);
        visitor.buffer(&self.mean);
        visitor.buffer(&self.variance);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.scale);
        visitor.parameter(&mut self.shift);
        visitor.buffer(&mut self.mean);
        visitor.buffer(&mut self.variance);
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::BatchNorm {
            scale: &self.scale,
            shift: &self.shift,
            mean: &self.mean,
            variance: &self.variance,
            epsilon: self.config.epsilon,
            momentum: self.config.momentum,
        })
    }
}

impl BatchNorm {
    /// Moves the running means towards the statistics of a batch with `count` values per channel.
    fn follow(&mut self, statistics: Tensor<2>, count: f32) {
        let mean = statistics.clone().narrow(0, 0, 1);
        let deviation = statistics.narrow(0, 1, 1);
        let variance = deviation.clone() * deviation - self.config.epsilon;
        let unbiased = variance * (count / (count - 1.0).max(1.0));
        let momentum = self.config.momentum;
        for (running, batch) in [(&mut self.mean, mean), (&mut self.variance, unbiased)] {
            running.update(|value, _, step| {
                let weight = momentum.max(1.0 / step as f32);
                ops::scaled_sum(value, batch, 1.0 - weight, weight, f32::INFINITY)
            });
        }
    }
}

impl LayerConfig for BatchNormConfig {
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
        if !(self.momentum > 0.0 && self.momentum <= 1.0) {
            return Err(Error::setting(format!(
                "momentum is {}; it must be above 0 and at most 1",
                self.momentum
            )));
        }
        let shape = [1, channels(input_shape)];
        let mut scale = context.parameter("scale", shape, Initializer::Constant(1.0))?;
        scale.set_frozen(!self.trains_scale);
        Ok(Box::new(BatchNorm {
            scale,
            shift: context.parameter("shift", shape, Initializer::Constant(0.0))?,
            mean: context.parameter("mean", shape, Initializer::Constant(0.0))?,
            variance: context.parameter("variance", shape, Initializer::Constant(1.0))?,
            config: *self,
        }))
    }
}
