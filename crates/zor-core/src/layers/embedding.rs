//! Embeddings of tokens: each token has a row of a matrix.
//!
//! Forward `x = sqrt(width) e_t`, with `e_t` the row of token `t`; its values have a variance of
//! about one at first. The row of a token moves along `sqrt(width)` times the sum of the signals at
//! its positions, and no other row has a correlation
//! ([`Optimizer::step_rows`](crate::Optimizer::step_rows)). The input has one column, the tokens;
//! the signal below is zero.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::tokens::{
    TOKENS, build_embeddings, check_column, check_tokens, check_values, embedded, scale, tokens_of,
};
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal, Visitor, VisitorMut};
use crate::parameter::Parameter;
use crate::sequences::Sequences;

/// Settings of an [`Embedding`] layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Number of tokens.
    pub vocabulary: usize,
    /// Number of values of an embedding.
    pub width: usize,
}

impl EmbeddingConfig {
    /// Embeddings of `width` values for tokens below `vocabulary`.
    pub fn new(vocabulary: usize, width: usize) -> Self {
        Self { vocabulary, width }
    }
}

/// An embedding for each token.
#[derive(Clone, Debug)]
pub struct Embedding {
    embedding: Parameter,
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        check_column(input)?;
        Ok(vec![self.embedding.shape()[1]])
    }

    fn check_sequences(&self, sequences: &Sequences) -> Result<()> {
        check_tokens(sequences, self.embedding.shape()[0])
    }

    fn check_values(&self, values: &Tensor<2>) -> Result<()> {
        check_values(values, self.embedding.shape()[0])
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        // Batches differ in their number of distinct tokens.
        pass.workspace.vary();
        let tokens = tokens_of(pass.sequences, &input, &self.embedding);
        pass.keep_to_learn(TOKENS, input);
        embedded(&self.embedding, tokens, pass.workspace)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Some(input) = pass.memory.take(TOKENS) else {
            return signal;
        };
        let (above, unused) = match signal {
            Signal { values, gated: Some(gated) } => (gated, Some(values)),
            Signal { values, gated: None } => (values, None),
        };
        unused.into_iter().for_each(|unused| pass.workspace.give(unused));
        let tokens = tokens_of(pass.sequences, &input, &self.embedding);
        let correlation = pass.workspace.make_unique(above) * scale(self.embedding.shape()[1]);
        pass.optimizer.step_rows(&mut self.embedding, tokens, correlation, pass.workspace);
        let below = pass.workspace.take_zeros(input.dims());
        pass.workspace.give(input);
        Signal::new(below)
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.embedding);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.embedding);
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Embedding { embedding: &self.embedding })
    }

    fn config(&self) -> Result<serde_json::Value> {
        let [vocabulary, width] = self.embedding.shape();
        serde_json::to_value(EmbeddingConfig { vocabulary, width })
            .map_err(|e| Error::setting(e.to_string()))
    }
}

impl LayerConfig for EmbeddingConfig {
    fn build(
        &self,
        input_shape: &[usize],
        context: &mut BuildContext<'_>,
    ) -> Result<Box<dyn Layer>> {
        let shape = [self.vocabulary, self.width];
        Ok(Box::new(Embedding { embedding: build_embeddings(shape, input_shape, context)? }))
    }
}
