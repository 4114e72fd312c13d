//! Batch normalisation (Ioffe and Szegedy 2015) of every channel over batch and positions.
//!
//! Forward `x' = (x - mean) / deviation; y = scale x' + shift`. With the signal `s` at the output, `scale` moves along
//! `sum(s x')`, `shift` along `sum(s)`, and `scale / deviation * (s - mean(s) - x' mean(s x'))` goes on down: the signal
//! times scale, re-centred, without its part along the layer's own normalised activity. These local quantities are batch
//! normalisation's own gradient; no derivative of an activation function is in it.
//!
//! A prediction uses running means of `mean` and variance.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels};
use crate::build::{BuildContext, Fill};
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, Learning, Mode, Signal};
use crate::ops;
use crate::parameter::Parameter;
use crate::workspace::{Memory, Workspace};

/// Settings of a [`BatchNorm`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub epsilon: f32,
    /// Weight of a batch in the running means; larger at first, so that they are those of the batches so far.
    pub momentum: f32,
    /// Whether the scale is trained; else it stays 1.
    pub trains_scale: bool,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1, trains_scale: true }
    }
}

/// Normalises channels by the batch.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    scale: Parameter,
    shift: Parameter,
    mean: Parameter,
    variance: Parameter,
    shape: Vec<usize>,
    config: BatchNormConfig,
}

/// The forward pass's input.
const INPUT: &str = "input";
/// Mean and deviation of every channel of the batch.
const STATISTICS: &str = "statistics";

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
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
        memory: &mut Memory,
        workspace: &mut Workspace,
        mode: Mode,
    ) -> Tensor<2> {
        let rows = input.dims()[0];
        let channels = channels(&self.shape);
        let (scale, shift) = (self.scale.value(), self.shift.value());
        if mode == Mode::Evaluate {
            let scale = scale / (self.variance.value() + self.config.epsilon).sqrt();
            let shift = shift - self.mean.value() * scale.clone();
            let input = by_channel(ops::exclusive(input, workspace), channels);
            return by_sample(ops::scale_shift(input, scale, shift), rows);
        }
        let buffer = by_channel(workspace.take(input.dims()), channels);
        let view = by_channel(input.clone(), channels);
        let (output, statistics) =
            ops::batch_normalize(view, scale, shift, buffer, self.config.epsilon);
        memory.keep(STATISTICS, statistics);
        if let Some(unused) = memory.keep(INPUT, input) {
            workspace.give(unused);
        }
        by_sample(output, rows)
    }

    fn learn(
        &mut self,
        signal: Signal,
        memory: &mut Memory,
        learning: &mut Learning<'_>,
    ) -> Signal {
        let (Some(input), Some(statistics)) = (memory.take(INPUT), memory.take(STATISTICS)) else {
            return signal;
        };
        let rows = input.dims()[0];
        let channels = channels(&self.shape);
        let view = by_channel(input.clone(), channels);
        let scale = self.scale.value();
        let mut correlations = None;
        // Where there is a gated signal, it comes last, and the parameters learn from it.
        let signal = signal.map(|values| {
            let values = by_channel(values, channels);
            let (below, found) = ops::batch_normalize_signal(
                values,
                view.clone(),
                statistics.clone(),
                scale.clone(),
            );
            correlations = Some(found);
            by_sample(below, rows)
        });
        drop((view, scale));
        self.follow(statistics, (rows * self.shape.iter().product::<usize>() / channels) as f32);
        learning.workspace.give(input);
        if let Some(correlations) = correlations {
            let row = |r: usize| correlations.clone().narrow(0, r, 1);
            learning.optimizer.step(&mut self.scale, row(0), learning.workspace);
            learning.optimizer.step(&mut self.shift, row(1), learning.workspace);
        }
        signal
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.scale, &self.shift]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.scale, &mut self.shift]
    }

    fn buffers(&self) -> Vec<&Parameter> {
        vec![&self.mean, &self.variance]
    }

    fn buffers_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.mean, &mut self.variance]
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl BatchNorm {
    /// Moves the running means towards those of a batch with `count` values in every channel.
    fn follow(&mut self, statistics: Tensor<2>, count: f32) {
        let mean = statistics.clone().narrow(0, 0, 1);
        let deviation = statistics.narrow(0, 1, 1);
        let variance = deviation.clone() * deviation - self.config.epsilon;
        let unbiased = variance * (count / (count - 1.0).max(1.0));
        let momentum = self.config.momentum;
        for (running, batch) in [(&mut self.mean, mean), (&mut self.variance, unbiased)] {
            running.update(|value, _, step| {
                let weight = momentum.max(1.0 / step as f32);
                ops::move_weight(value, batch, 1.0 - weight, weight, f32::INFINITY)
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
        let mut scale = context.parameter("scale", shape, Fill::Constant(1.0))?;
        scale.set_frozen(!self.trains_scale);
        Ok(Box::new(BatchNorm {
            scale,
            shift: context.parameter("shift", shape, Fill::Constant(0.0))?,
            mean: context.parameter("mean", shape, Fill::Constant(0.0))?,
            variance: context.parameter("variance", shape, Fill::Constant(1.0))?,
            shape: input_shape.to_vec(),
            config: *self,
        }))
    }
}
