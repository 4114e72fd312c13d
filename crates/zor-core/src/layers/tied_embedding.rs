//! Token embeddings around inner layers, with the transposed embeddings as the output layer (Press
//! and Wolf 2017, arXiv 1608.05859).
//!
//! Forward, with `e_t` the row of token `t`, `m_p` a row for the part of the sequence (0 the
//! prefix, 1 the rest) and `f` the inner layers: `x = sqrt(width) e_t + m_p`, `y = f(x) E^T`. With
//! `skip_prefix`, outputs are computed behind the prefix only.
//!
//! Both places of the weight move it in one step: as an output layer along `s^T f(x)`, and each
//! row of a token along `sqrt(width)` times the signal that arrives there. `s E` passes down to the
//! inner layers. The input has one column, the tokens.
//!
//! Tokens of the prefix may be copied to the outputs behind it (`copying`).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::copying::{Copying, CopyingConfig};
use super::sequential::Chain;
use super::tokens::{
    TOKENS, build_embeddings, check_column, check_tokens, check_values, embedded, scale, tokens_of,
};
use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::memory::Mode;
use crate::ops::{self, Rows, Transposed};
use crate::parameter::Parameter;
use crate::sequences::Sequences;

/// Settings of a [`TiedEmbedding`]: the vocabulary, and the inner layers.
#[derive(Debug)]
pub struct TiedEmbeddingConfig {
    sizes: Sizes,
    layers: Vec<Box<dyn LayerConfig>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    vocabulary: usize,
    width: usize,
    skip_prefix: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copies: Option<CopyingConfig>,
}

impl TiedEmbeddingConfig {
    /// Embeddings of `width` values for tokens below `vocabulary`, without inner layers.
    pub fn new(vocabulary: usize, width: usize) -> Self {
        let sizes = Sizes { vocabulary, width, skip_prefix: false, copies: None };
        Self { sizes, layers: Vec::new() }
    }

    /// Computes outputs behind the prefix of each sequence only.
    #[must_use]
    pub fn skip_prefix(mut self) -> Self {
        self.sizes.skip_prefix = true;
        self
    }

    /// Adds tokens that follow positions of the prefix to the outputs behind it. It implies
    /// [`TiedEmbeddingConfig::skip_prefix`].
    #[must_use]
    pub fn copies(mut self, copies: CopyingConfig) -> Self {
        self.sizes.copies = Some(copies);
        self.skip_prefix()
    }

    /// Adds an inner layer at the end.
    #[must_use]
    pub fn layer(self, config: impl LayerConfig + 'static) -> Self {
        self.boxed_layer(Box::new(config))
    }

    /// Adds boxed settings of an inner layer at the end.
    #[must_use]
    pub fn boxed_layer(mut self, config: Box<dyn LayerConfig>) -> Self {
        self.layers.push(config);
        self
    }
}

/// Embeddings, inner layers, and the transposed embeddings.
#[derive(Clone, Debug)]
pub struct TiedEmbedding {
    embedding: Parameter,
    parts: Parameter,
    layers: Chain,
    copying: Option<Copying>,
    sizes: Sizes,
}

/// Outputs of the inner layers, in the rows that have outputs.
const TOP: &str = "top";

impl TiedEmbedding {
    /// Part of each row.
    fn part_of_rows(sequences: Option<&Sequences>, rows: usize) -> Rows {
        let Some(sequences) = sequences else { return vec![1; rows].into() };
        let parts = |index: usize| {
            let (length, prefix) = (sequences.rows(index).len(), sequences.prefix(index));
            (0..length).map(move |position| u32::from(position >= prefix))
        };
        (0..sequences.len()).flat_map(parts).collect()
    }

    /// Rows that have outputs; `None` if all do.
    fn rows_behind(&self, sequences: Option<&Sequences>) -> Option<Rows> {
        let sequences = sequences.filter(|_| self.sizes.skip_prefix)?;
        let behind = |index: usize| {
            let range = sequences.rows(index);
            (range.start + sequences.prefix(index)..range.end).map(|row| row as u32)
        };
        Some((0..sequences.len()).flat_map(behind).collect())
    }
}

impl Layer for TiedEmbedding {
    fn kind(&self) -> &'static str {
        "tied_embedding"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        check_column(input)?;
        Ok(vec![self.sizes.vocabulary])
    }

    fn output_rows(&self, rows: usize, sequences: Option<&Sequences>) -> usize {
        let Some(sequences) = sequences.filter(|_| self.sizes.skip_prefix) else { return rows };
        let prefixes: usize = (0..sequences.len()).map(|index| sequences.prefix(index)).sum();
        rows.saturating_sub(prefixes)
    }

    fn check_sequences(&self, sequences: &Sequences) -> Result<()> {
        let vocabulary = self.sizes.vocabulary;
        check_tokens(sequences, vocabulary)?;
        let suggested = sequences.largest_suggestion().filter(|_| self.copying.is_some());
        if let Some(token) = suggested.filter(|token| *token as usize >= vocabulary) {
            return Err(Error::setting(format!(
                "token {token} is suggested; the vocabulary has tokens 0 to {}",
                vocabulary - 1
            )));
        }
        match self.output_rows(sequences.tokens().len(), Some(sequences)) {
            0 => Err(Error::shape("no sequence has a position behind its prefix")),
            _ => Ok(()),
        }
    }

    fn check_values(&self, values: &Tensor<2>) -> Result<()> {
        check_values(values, self.sizes.vocabulary)
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let [rows, _] = input.dims();
        let tokens = tokens_of(pass.sequences, &input, &self.embedding);
        let embedded = embedded(&self.embedding, tokens, pass.workspace);
        let parts = Self::part_of_rows(pass.sequences, rows);
        let embedded = ops::add_rows_of(embedded, self.parts.value(), parts, 1.0);
        let shape = [self.sizes.width];
        let mut inner = Pass {
            memory: pass.memory,
            workspace: pass.workspace,
            mode: pass.mode,
            shape: &shape,
            sequences: pass.sequences,
        };
        let all = self.layers.forward(embedded, &mut inner);
        let top = match self.rows_behind(pass.sequences) {
            Some(behind) => {
                let buffer = ops::zeros([behind.len(), self.sizes.width], pass.workspace.device());
                ops::add_rows_of(buffer, all.clone(), behind, 1.0)
            }
            None => all.clone(),
        };
        let buffer = pass.workspace.take([top.dims()[0], self.sizes.vocabulary]);
        let weight = self.embedding.value();
        let output = ops::matmul(top.clone(), weight, buffer, Transposed::Right);
        let output = match (&self.copying, pass.sequences) {
            (Some(copying), Some(sequences)) => copying.forward(output, all, sequences, pass),
            _ => output,
        };
        if pass.mode == Mode::Train {
            pass.memory.keep(TOP, top);
            pass.memory.keep(TOKENS, input);
        }
        output
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let kept = (pass.memory.take(TOP), pass.memory.take(TOKENS));
        let (Some(top), Some(tokens)) = kept else {
            return signal;
        };
        let ([rows, _], width) = (tokens.dims(), self.sizes.width);
        let buffer = pass.workspace.take(self.embedding.shape());
        let learned_from = signal.learned_from().clone();
        let correlation = ops::matmul(learned_from, top.clone(), buffer, Transposed::Left);
        let buffer = pass.workspace.take(top.dims());
        let weight = self.embedding.value();
        let below = ops::matmul(signal.values.clone(), weight, buffer, Transposed::Neither);
        pass.workspace.give(top);
        let of_copies = match (&mut self.copying, pass.sequences) {
            (Some(copying), Some(sequences)) => copying.learn(&signal.values, sequences, pass),
            _ => None,
        };
        pass.workspace.give(signal.values);
        let below = match self.rows_behind(pass.sequences) {
            Some(behind) => {
                let buffer =
                    of_copies.unwrap_or_else(|| ops::zeros([rows, width], pass.workspace.device()));
                ops::add_to_rows(buffer, below, behind, 1.0)
            }
            None => below,
        };
        let shape = [width];
        let mut inner = LearnPass {
            memory: pass.memory,
            workspace: pass.workspace,
            optimizer: pass.optimizer,
            signal_is_wanted: true,
            shape: &shape,
            sequences: pass.sequences,
        };
        let below = self.layers.learn(Signal::new(below), &mut inner).values;
        let own = tokens_of(pass.sequences, &tokens, &self.embedding);
        let correlation = ops::add_to_rows(correlation, below.clone(), own, scale(width));
        let of_parts = ops::zeros(self.parts.shape(), pass.workspace.device());
        let parts = Self::part_of_rows(pass.sequences, rows);
        let of_parts = ops::add_to_rows(of_parts, below, parts, 1.0);
        pass.optimizer.step(&mut self.embedding, correlation, pass.workspace);
        pass.optimizer.step(&mut self.parts, of_parts, pass.workspace);
        // Nothing is below: tokens have no signal.
        Signal::new(tokens)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.embedding);
        visitor.parameter(&self.parts);
        self.copying.iter().for_each(|copying| visitor.parameter(&copying.weight));
        self.layers.visit(visitor);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.embedding);
        visitor.parameter(&mut self.parts);
        self.copying.iter_mut().for_each(|copying| visitor.parameter(&mut copying.weight));
        self.layers.visit_mut(visitor);
    }

    fn multiply_adds(&self, _: &[usize]) -> u64 {
        let Sizes { vocabulary, width, .. } = self.sizes;
        vocabulary as u64 * width as u64 + self.layers.multiply_adds(&[width])
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::TiedEmbedding {
            embedding: &self.embedding,
            parts: &self.parts,
            skips_prefix: self.sizes.skip_prefix,
            copying: self.copying.as_ref().map(Copying::operation),
            layers: self.layers.operations(),
        })
    }

    fn config(&self) -> Result<serde_json::Value> {
        let mut config =
            serde_json::to_value(self.sizes).map_err(|e| Error::setting(e.to_string()))?;
        config["layers"] = self.layers.config()?.into();
        Ok(config)
    }
}

impl LayerConfig for TiedEmbeddingConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let Sizes { vocabulary, width, .. } = self.sizes;
        let embedding = build_embeddings([vocabulary, width], input_shape, context)?;
        let parts = context.parameter("parts", [2, width], Initializer::Normal(0.5))?;
        let parts = parts.with_independent_rows();
        let copying = match self.sizes.copies {
            Some(config) => Some(Copying::build(config, width, context)?),
            None => None,
        };
        let layers = Chain::build(&self.layers, "embedded ", 0, &[width], context)?;
        let output = layers.output_shape(&[width])?;
        if output.iter().product::<usize>() != width {
            return Err(Error::shape(format!(
                "the inner layers end with shape {output:?}; an embedding has {width} values"
            )));
        }
        Ok(Box::new(TiedEmbedding { embedding, parts, layers, copying, sizes: self.sizes }))
    }
}
