//! Branches with a shortcut: residual blocks (He et al. 2016), and the concatenated skip
//! connections of U-Nets (Ronneberger et al. 2015).
//!
//! Added: `y = p(x) + f(x)`; both paths receive the signal at `y`, and their signals at `x` add up.
//! Concatenated: `y = [p(x), f(x)]` along channels; each path receives its part. The shortcut `p`
//! is the identity if it has no layers.
//!
//! Gates inside keep the norm of the signal ([`Rule::keep_signal_norm`]). If the norm of each unit
//! were one, every block would add a signal of that size to the one on its shortcut, and after many
//! blocks little of the latter would be left (`cargo xtask bench --suite depth` measures it).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::sequential::Chain;
use super::{by_channel, by_sample, channels};
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::ops;
use crate::rule::Rule;
use crate::workspace::Workspace;

/// How two paths are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Sum of two outputs of equal shape.
    Add,
    /// Concatenation along channels, the shortcut first, with equal heights and widths.
    Concatenate,
}

/// Settings of a [`Branch`]: the layers of both paths.
#[derive(Debug)]
pub struct BranchConfig {
    join: Join,
    layers: Vec<Box<dyn LayerConfig>>,
    shortcut: Vec<Box<dyn LayerConfig>>,
}

impl BranchConfig {
    /// Two empty paths.
    pub fn new(join: Join) -> Self {
        Self { join, layers: Vec::new(), shortcut: Vec::new() }
    }

    /// A residual block: the sum of its input and the output of its layers.
    pub fn residual() -> Self {
        Self::new(Join::Add)
    }

    /// A skip connection: its input and the output of its layers, concatenated.
    pub fn concatenate() -> Self {
        Self::new(Join::Concatenate)
    }

    /// Adds a layer at the end of the branch.
    #[must_use]
    pub fn layer(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_layer(Box::new(config))
    }

    /// Adds boxed layer settings at the end of the branch.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }

    /// Adds a layer at the end of the shortcut.
    #[must_use]
    pub fn shortcut(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_shortcut(Box::new(config))
    }

    /// Adds boxed layer settings at the end of the shortcut.
    #[must_use]
    pub fn boxed_shortcut(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.shortcut.push(config);
        self
    }
}

/// Two paths from the same input, added or concatenated.
#[derive(Clone, Debug)]
pub struct Branch {
    join: Join,
    layers: Chain,
    shortcut: Chain,
    /// Output channels of the branch and of the shortcut.
    channels: [usize; 2],
}

impl Branch {
    /// Returns how the paths are joined.
    pub fn join(&self) -> Join {
        self.join
    }

    /// Splits the signal at the output into those of the branch and of the shortcut.
    fn split(&self, signal: Signal, workspace: &mut Workspace) -> (Signal, Signal) {
        let Signal { values, gated } = signal;
        if self.join == Join::Add {
            // The branch changes its copy in place; the shortcut takes the original.
            let copy = workspace.make_unique(values.clone());
            let gated_copy = gated.as_ref().map(|gated| workspace.make_unique(gated.clone()));
            return (Signal { values: copy, gated: gated_copy }, Signal { values, gated });
        }
        let [beside, width] = self.channels;
        let rows = values.dims()[0];
        let total = beside + width;
        let part = |tensor: &Tensor<2>, from: usize, width: usize| {
            let part = by_channel(tensor.clone(), total).narrow(1, from, width);
            // The multiplication makes the view contiguous.
            by_sample(part * 1.0, rows)
        };
        let side = |from: usize, width: usize| Signal {
            values: part(&values, from, width),
            gated: gated.as_ref().map(|gated| part(gated, from, width)),
        };
        (side(width, total - width), side(0, width))
    }
}

impl Layer for Branch {
    fn kind(&self) -> &'static str {
        match self.join {
            Join::Add => "residual",
            Join::Concatenate => "concatenate",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        joined(self.join, self.layers.output_shape(input)?, self.shortcut.output_shape(input)?)
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = input.dims()[0];
        let beside = self.layers.forward(input.clone(), pass);
        let past = self.shortcut.forward(input, pass);
        match self.join {
            Join::Add => {
                let sum = pass.workspace.make_unique(beside);
                ops::scaled_sum(sum, past, 1.0, 1.0, f32::INFINITY)
            }
            Join::Concatenate => {
                let past = by_channel(past, self.channels[1]);
                let beside = by_channel(beside, self.channels[0]);
                by_sample(Tensor::cat(vec![past, beside], 1), rows)
            }
        }
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let (beside, past) = self.split(signal, pass.workspace);
        let below = self.layers.learn(beside, pass).values;
        let past = self.shortcut.learn(past, pass).values;
        if !pass.signal_is_wanted {
            return Signal::new(below);
        }
        let below = pass.workspace.make_unique(below);
        let sum = ops::scaled_sum(below, past.clone(), 1.0, 1.0, f32::INFINITY);
        pass.workspace.give(past);
        Signal::new(sum)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        self.layers.visit(visitor);
        self.shortcut.visit(visitor);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        self.layers.visit_mut(visitor);
        self.shortcut.visit_mut(visitor);
    }

    fn path_lengths(&self) -> Vec<usize> {
        vec![self.layers.layers.len(), self.shortcut.layers.len()]
    }

    fn multiply_adds(&self, input: &[usize]) -> u64 {
        self.layers.multiply_adds(input) + self.shortcut.multiply_adds(input)
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({
            "layers": self.layers.config()?,
            "shortcut": self.shortcut.config()?,
        }))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        let (layers, shortcut) = (self.layers.operations(), self.shortcut.operations());
        Ok(match self.join {
            Join::Add => Operation::Residual { layers, shortcut },
            Join::Concatenate => Operation::Concatenate { layers, shortcut },
        })
    }
}

impl LayerConfig for BranchConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        if self.layers.is_empty() {
            return Err(Error::setting("a branch needs at least one layer"));
        }
        // The signals of both paths add up at the input, so their norms have to be comparable.
        let rule = Rule { keep_signal_norm: true, ..context.rule().clone() };
        let (layers, shortcut) = context.with_rule(rule, |context| {
            let layers = Chain::build(&self.layers, "branch ", 0, input_shape, context)?;
            let first = layers.layers.len();
            let shortcut = Chain::build(&self.shortcut, "shortcut ", first, input_shape, context)?;
            Ok::<_, Error>((layers, shortcut))
        })?;
        let (beside, past) =
            (layers.output_shape(input_shape)?, shortcut.output_shape(input_shape)?);
        let ends = [channels(&beside), channels(&past)];
        joined(self.join, beside, past)?;
        Ok(Box::new(Branch { join: self.join, layers, shortcut, channels: ends }))
    }
}

/// Returns the shape of the joined outputs.
fn joined(join: Join, beside: Vec<usize>, mut past: Vec<usize>) -> Result<Vec<usize>> {
    let fits = match join {
        Join::Add => beside == past,
        Join::Concatenate => beside.split_last().map(|x| x.1) == past.split_last().map(|x| x.1),
    };
    if !fits {
        return Err(Error::shape(format!(
            "the branch ends with shape {beside:?} and its shortcut with {past:?}, which cannot be {}",
            match join {
                Join::Add => "added",
                Join::Concatenate => "concatenated along channels",
            }
        )));
    }
    if let (Join::Concatenate, Some(last)) = (join, past.last_mut()) {
        *last += channels(&beside);
    }
    Ok(past)
}
