//! Tokens as the input of a layer, and their embeddings.

use burn::tensor::Tensor;

use crate::build::{BuildContext, Initializer};
use crate::error::{Error, Result};
use crate::ops::{self, Rows};
use crate::parameter::Parameter;
use crate::sequences::Sequences;
use crate::workspace::Workspace;

/// Tokens of all rows, `[rows, 1]`.
pub(super) const TOKENS: &str = "tokens";

/// Factor of an embedding of this many values, whose values then have a variance of about one.
pub(super) fn scale(width: usize) -> f32 {
    (width as f32).sqrt()
}

/// Builds the embeddings of a vocabulary, a row each, for inputs of this shape.
pub(super) fn build_embeddings(
    [vocabulary, width]: [usize; 2],
    input_shape: &[usize],
    context: &mut BuildContext<'_>,
) -> Result<Parameter> {
    if vocabulary == 0 || width == 0 {
        return Err(Error::setting("the vocabulary and the width must be at least 1"));
    }
    check_column(input_shape)?;
    let fill = Initializer::Normal(1.0 / scale(width));
    let embedding = context.parameter("embedding", [vocabulary, width], fill)?;
    Ok(embedding.with_independent_rows())
}

/// Checks that an input has one column, the tokens.
pub(super) fn check_column(input: &[usize]) -> Result<()> {
    match input.iter().product::<usize>() {
        1 => Ok(()),
        given => {
            Err(Error::shape(format!("it takes one token a row; {input:?} has {given} values")))
        }
    }
}

/// Checks that the vocabulary has all tokens of sequences.
pub(super) fn check_tokens(sequences: &Sequences, vocabulary: usize) -> Result<()> {
    check_each(sequences.tokens().iter().map(|token| *token as f32), vocabulary)
}

/// Checks that the values of a column are tokens of the vocabulary. Reads from the device.
pub(super) fn check_values(values: &Tensor<2>, vocabulary: usize) -> Result<()> {
    check_each(ops::read(values.clone())?.into_iter(), vocabulary)
}

fn check_each(tokens: impl Iterator<Item = f32>, vocabulary: usize) -> Result<()> {
    let known = |token: f32| token >= 0.0 && token.fract() == 0.0 && (token as usize) < vocabulary;
    match tokens.enumerate().find(|(_, token)| !known(*token)) {
        None => Ok(()),
        Some((position, token)) => Err(Error::setting(format!(
            "position {position} has token {token}; the vocabulary has tokens 0 to {}",
            vocabulary - 1
        ))),
    }
}

/// Tokens of all rows. Values beyond the vocabulary, which a network refuses, become its last one.
pub(super) fn tokens_of(
    sequences: Option<&Sequences>,
    input: &Tensor<2>,
    embedding: &Parameter,
) -> Rows {
    let last = (embedding.shape()[0] - 1) as u32;
    match sequences {
        Some(sequences) => sequences.shared_tokens(),
        // A device that is lost fails again, with an error, where the outputs are read.
        None => match ops::read(input.clone()) {
            Ok(tokens) => tokens.into_iter().map(|token| (token as u32).min(last)).collect(),
            Err(_) => vec![0; input.dims()[0]].into(),
        },
    }
}

/// Scaled embeddings of tokens, `[tokens, width]`.
pub(super) fn embedded(
    embedding: &Parameter,
    tokens: Rows,
    workspace: &mut Workspace,
) -> Tensor<2> {
    let [_, width] = embedding.shape();
    let buffer = workspace.take_zeros([tokens.len(), width]);
    ops::add_rows_of(buffer, embedding.value(), tokens, scale(width))
}
