//! Group normalisation (Wu and He 2018). With one group it is layer normalisation (Ba et al. 2016).
//!
//! Works like [`super::BatchNorm`], with mean and standard deviation of each sample over the
//! positions and channels of a group. The signal is re-centred within the group, which is the
//! gradient. Training and prediction are identical.

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

/// Settings of a [`GroupNorm`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNormConfig {
    /// Number of channel groups.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

impl GroupNormConfig {
    /// Normalisation within this number of groups.
    pub fn new(groups: usize) -> Self {
        Self { groups, epsilon: 1e-5 }
    }

    /// Layer normalisation: a single group.
    pub fn layer() -> Self {
        Self::new(1)
    }
}

/// Normalises each sample within groups of channels.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    scale: Parameter,
    shift: Parameter,
    config: GroupNormConfig,
}

/// `x'`, kept for learning.
const NORMALIZED: &str = "normalized";
/// Standard deviation of each sample's groups, `[batch, groups]`.
const DEVIATION: &str = "deviation";

impl GroupNorm {
    fn channels(&self) -> usize {
        self.scale.shape()[1]
    }

    /// Views a batch as `[batch, positions, groups, channels of a group]`.
    fn grouped(&self, tensor: Tensor<2>) -> Tensor<4> {
        let [rows, values] = tensor.dims();
        let channels = self.channels();
        let groups = self.config.groups;
        tensor.reshape([rows, values / channels, groups, channels / groups])
    }

    /// Returns the mean of each sample's groups, `[batch, 1, groups, 1]`.
    fn means(tensor: Tensor<4>) -> Tensor<4> {
        tensor.mean_dim(1).mean_dim(3)
    }
}

impl Layer for GroupNorm {
    fn kind(&self) -> &'static str {
        "group_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        same_channels(input, &self.scale)
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let shape = input.dims();
        let grouped = self.grouped(input);
        let centred = grouped.clone() - Self::means(grouped);
        let variance = Self::means(centred.clone() * centred.clone());
        let deviation = (variance + self.config.epsilon).sqrt();
        let normalized = (centred / deviation.clone()).reshape(shape);
        if pass.mode == Mode::Train {
            pass.memory.keep(NORMALIZED, normalized.clone());
            pass.memory.keep(DEVIATION, deviation.reshape([shape[0], self.config.groups]));
        }
        let normalized = by_channel(pass.workspace.make_unique(normalized), self.channels());
        by_sample(ops::scale_shift(normalized, self.scale.value(), self.shift.value()), shape[0])
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let kept = (pass.memory.take(NORMALIZED), pass.memory.take(DEVIATION));
        let (Some(normalized), Some(deviation)) = kept else {
            return signal;
        };
        let shape = normalized.dims();
        let channels = self.channels();
        let deviation: Tensor<4> = deviation.reshape([shape[0], 1, self.config.groups, 1]);
        let grouped = self.grouped(normalized.clone());
        let scale = self.scale.value();
        let learned_from = by_channel(signal.learned_from().clone(), channels);
        let along = learned_from.clone() * by_channel(normalized, channels);
        let (of_scale, of_shift) = (along.sum_dim(0), learned_from.sum_dim(0));
        let signal = signal.map(|values| {
            let values = by_channel(values, channels) * scale.clone();
            let values = self.grouped(by_sample(values, shape[0]));
            let along = grouped.clone() * Self::means(values.clone() * grouped.clone());
            let below = (values.clone() - Self::means(values) - along) / deviation.clone();
            below.reshape(shape)
        });
        drop(scale);
        pass.optimizer.step(&mut self.scale, of_scale, pass.workspace);
        pass.optimizer.step(&mut self.shift, of_shift, pass.workspace);
        signal
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.scale);
        visitor.parameter(&self.shift);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.scale);
        visitor.parameter(&mut self.shift);
    }

    fn config(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::GroupNorm {
            groups: self.config.groups,
            scale: &self.scale,
            shift: &self.shift,
            epsilon: self.config.epsilon,
        })
    }
}

impl LayerConfig for GroupNormConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let channels = channels(input_shape);
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            return Err(Error::setting(format!(
                "{} groups do not divide {channels} channels",
                self.groups
            )));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(Error::setting(format!(
                "epsilon is {}; it must be above zero",
                self.epsilon
            )));
        }
        Ok(Box::new(GroupNorm {
            scale: context.parameter("scale", [1, channels], Initializer::Constant(1.0))?,
            shift: context.parameter("shift", [1, channels], Initializer::Constant(0.0))?,
            config: *self,
        }))
    }
}
