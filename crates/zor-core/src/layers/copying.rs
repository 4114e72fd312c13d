//! An output that copies: tokens of the prefix of a sequence are added to the outputs behind it, by
//! rectified attention (compare See, Liu and Manning 2017, whose weights are a softmax).
//!
//! With `t_i` the top of the inner layers at position `i` behind the prefix and `t_j` at position
//! `j` in it, and queries and keys rotated by their places:
//!
//! ```text
//! up:    q_i = t_i Q    k_j = t_j K    weight = relu(q_i k_j^T / sqrt(size))
//!        output_i[token_(j+1)] += weight
//! down:  g = s_i[token_(j+1)] / sqrt(size) where the weight is not zero, else 0
//!        at q_i: sum_j g k_j    at k_j: sum_i g q_i
//! ```
//!
//! `Q` and `K` are equal at first. A position then finds those of the prefix that resemble it,
//! above all those with its own token, and copies the token that follows there: a network copies
//! text in order before it has learned anything, as induction heads do (Olsson et al. 2022, arXiv
//! 2209.11895).
//!
//! A second head copies the tokens that are suggested at `j`, such as translations of the token
//! behind `j` from a lexicon (compare Nguyen and Chiang 2018), each times its weight. The signal
//! down is the gradient, and one weight `[Q, K]` learns along `t^T (signal at q, k)`.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::attention::{Kept, longest, rotation_base, rotations};
use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::CopyOperation;
use crate::layer::{LearnPass, Pass};
use crate::memory::Mode;
use crate::ops::{self, CopySettings, RotationSettings, Transposed, Turns};
use crate::parameter::Parameter;
use crate::sequences::Sequences;

/// Settings of an output that copies tokens of prefixes; see
/// [`crate::TiedEmbeddingConfig::copies`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyingConfig {
    /// Columns of a query, an even number.
    pub size: usize,
    /// Whether suggestions are copied too.
    pub suggestions: bool,
    /// Base of the rotations; `None` leaves queries and keys without places.
    #[serde(default = "rotation_base")]
    pub rotation_base: Option<f32>,
    /// Maximum length of a sequence.
    #[serde(default = "longest")]
    pub longest: usize,
}

impl CopyingConfig {
    /// Copying with queries of this size, without suggestions.
    pub fn new(size: usize) -> Self {
        Self { size, suggestions: false, rotation_base: rotation_base(), longest: longest() }
    }

    /// Copies suggestions too.
    #[must_use]
    pub fn with_suggestions(self) -> Self {
        Self { suggestions: true, ..self }
    }
}

/// Queries and keys of the copying output.
#[derive(Clone, Debug)]
pub(super) struct Copying {
    pub(super) weight: Parameter,
    config: CopyingConfig,
    turns: Option<Turns>,
}

/// Top of the inner layers at all positions.
const TOP: &str = "top of all";
/// Rotated queries and keys.
const PROJECTED: &str = "projected";
/// Weights of all pairs.
const WEIGHTS: &str = "copied";

impl Copying {
    pub(super) fn build(
        config: CopyingConfig,
        width: usize,
        context: &mut BuildContext<'_>,
    ) -> Result<Self> {
        if config.size == 0 {
            return Err(Error::setting("the size of copying queries is 0; it must be at least 1"));
        }
        let turns = rotations(config.rotation_base, config.size, config.longest)?;
        let half = config.size * (1 + usize::from(config.suggestions));
        let fill = Initializer::NormalTwice(1.0 / (width as f32).sqrt());
        Ok(Self { weight: context.parameter("copying", [width, 2 * half], fill)?, config, turns })
    }

    pub(super) fn operation(&self) -> CopyOperation<'_> {
        CopyOperation {
            weight: &self.weight,
            size: self.config.size,
            has_suggestions: self.config.suggestions,
            turns: self.turns.as_ref(),
        }
    }

    fn settings(&self, sequences: &Sequences) -> CopySettings {
        let has_suggestions = self.config.suggestions;
        CopySettings { sequences: sequences.clone(), has_suggestions }
    }

    fn rotate(&self, tensor: Tensor<2>, sequences: &Sequences, is_inverse: bool) -> Tensor<2> {
        let Some(turns) = self.turns.clone() else { return tensor };
        let (sequences, columns) = (sequences.clone(), tensor.dims()[1]);
        let size = self.config.size;
        ops::rotate(tensor, RotationSettings { sequences, columns, size, turns, is_inverse })
    }

    /// Adds copied tokens to the outputs.
    pub(super) fn forward(
        &self,
        output: Tensor<2>,
        top: Tensor<2>,
        sequences: &Sequences,
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let buffer = pass.workspace.take([top.dims()[0], self.weight.shape()[1]]);
        let weight = self.weight.value();
        let projected = ops::matmul(top.clone(), weight, buffer, Transposed::Neither);
        let projected = self.rotate(projected, sequences, false);
        let settings = self.settings(sequences);
        let half = projected.dims()[1] / 2;
        let kept = Kept::of(sequences).map(|kept| kept.keep(projected.clone(), half, pass));
        if let (Some(kept), Some(_)) = (kept, sequences.step()) {
            let output = ops::add_copies_kept(output, projected.clone(), kept, settings);
            pass.workspace.give(projected);
            return output;
        }
        let weights = pass.workspace.take([1, settings.weights()]);
        let (output, weights) = ops::add_copies(output, projected.clone(), weights, settings);
        pass.keep_to_learn(PROJECTED, projected);
        pass.keep_to_learn(WEIGHTS, weights);
        if pass.mode == Mode::Train {
            pass.memory.keep(TOP, top);
        }
        output
    }

    /// Learns from the signal at the outputs. Returns the signal at the top of all positions.
    pub(super) fn learn(
        &mut self,
        signal: &Tensor<2>,
        sequences: &Sequences,
        pass: &mut LearnPass<'_>,
    ) -> Option<Tensor<2>> {
        let top = pass.memory.take(TOP)?;
        let projected = pass.memory.take(PROJECTED)?;
        let weights = pass.memory.take(WEIGHTS)?;
        let buffer = pass.workspace.take(projected.dims());
        let (signal, settings) = (signal.clone(), self.settings(sequences));
        let below =
            ops::copies_signal(signal, projected.clone(), weights.clone(), buffer, settings);
        let below = self.rotate(below, sequences, true);
        pass.workspace.give(projected);
        pass.workspace.give(weights);
        let (weight, buffer) = (self.weight.value(), pass.workspace.take(top.dims()));
        let at_top = ops::matmul(below.clone(), weight, buffer, Transposed::Right);
        let optimizer = pass.optimizer;
        optimizer.step_in_factors(&mut self.weight, &top, &below, pass.workspace);
        pass.workspace.give(below);
        Some(at_top)
    }
}
