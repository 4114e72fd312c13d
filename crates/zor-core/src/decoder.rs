//! Decoding: sequences that grow by a position at a time.
//!
//! Attention keeps the keys and values of earlier positions, so that a step computes new positions
//! only. Hypotheses of a sequence share those of its prefix, and further positions as far as they
//! have them in common.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::input::Input;
use crate::memory::Mode;
use crate::network::Network;
use crate::sequences::{Decoding, Hypothesis, Sequences, Step};
use crate::step::{self, State};

/// Sequences under construction; see [`Network::decode`].
#[derive(Debug)]
pub struct Decoder<'a> {
    network: &'a Network,
    state: State,
    beginning: Sequences,
    hypotheses: Vec<Hypothesis>,
    /// Number of positions that are kept.
    kept: usize,
}

impl Network {
    /// Starts to decode sequences, each of which has a prefix and at least one token behind it.
    /// Returns the decoder and the outputs of the positions behind the prefixes.
    ///
    /// # Shapes
    /// `[positions behind prefixes, outputs]`.
    ///
    /// # Errors
    /// If a layer does not take the sequences, or a sequence ends with its prefix.
    pub fn decode(&self, beginning: &Sequences) -> Result<(Decoder<'_>, Tensor<2>)> {
        let whole = |index: &usize| beginning.rows(*index).len() == beginning.prefix(*index);
        if let Some(index) = (0..beginning.len()).find(whole) {
            return Err(Error::shape(format!(
                "sequence {index} ends with its prefix; decoding needs a token behind it"
            )));
        }
        let sequences = beginning.clone().with_decoding(Decoding::Beginning);
        let (input, _) = self.checked_input(Input::Sequences(sequences.clone()))?;
        let mut state = State::new(self.device());
        state.set_sequences(Some(sequences));
        let shape = self.input_shape();
        let output = step::forward(self.sequential(), input, shape, &mut state, Mode::Evaluate);
        let hypothesis = |sequence: usize| {
            let range = beginning.rows(sequence);
            let behind = range.start + beginning.prefix(sequence)..range.end;
            Hypothesis { sequence, rows: behind.map(|row| row as u32).collect() }
        };
        let hypotheses = (0..beginning.len()).map(hypothesis).collect();
        let (kept, beginning) = (beginning.tokens().len(), beginning.clone());
        Ok((Decoder { network: self, state, beginning, hypotheses, kept }, output))
    }
}

impl Decoder<'_> {
    /// Number of hypotheses, at first one for each sequence.
    pub fn len(&self) -> usize {
        self.hypotheses.len()
    }

    /// True if no hypothesis is left.
    pub fn is_empty(&self) -> bool {
        self.hypotheses.is_empty()
    }

    /// Replaces the hypotheses: each new one continues the hypothesis `parents[i]` with
    /// `tokens[i]`. Parents may repeat, and those that are not named end. Returns the outputs of
    /// the new positions.
    ///
    /// # Shapes
    /// `[parents, outputs]`.
    ///
    /// # Errors
    /// If there is no parent or not one token for each, a parent does not exist, or a layer does
    /// not take a token or the length.
    pub fn step(&mut self, parents: &[usize], tokens: &[u32]) -> Result<Tensor<2>> {
        if parents.is_empty() || parents.len() != tokens.len() {
            return Err(Error::shape(format!(
                "{} tokens are given for {} hypotheses; give one for each, at least one",
                tokens.len(),
                parents.len()
            )));
        }
        if let Some(parent) = parents.iter().find(|parent| **parent >= self.len()) {
            return Err(Error::setting(format!(
                "there is no hypothesis {parent}; there are {}",
                self.len()
            )));
        }
        let grown = |(index, parent): (usize, &usize)| {
            let mut hypothesis = self.hypotheses[*parent].clone();
            hypothesis.rows.push((self.kept + index) as u32);
            hypothesis
        };
        let hypotheses: Vec<Hypothesis> = parents.iter().enumerate().map(grown).collect();
        let sequences = Sequences::new(tokens.to_vec(), &vec![1; tokens.len()])?;
        let (beginning, kept) = (self.beginning.clone(), self.kept);
        let step = Step { beginning, kept, hypotheses: hypotheses.clone() };
        let sequences = sequences.with_decoding(Decoding::Step(Arc::new(step)));
        let (input, sequences) = self.network.checked_input(Input::Sequences(sequences))?;
        self.state.sequences = sequences;
        let shape = self.network.input_shape();
        let layers = self.network.sequential();
        let output = step::forward(layers, input, shape, &mut self.state, Mode::Evaluate);
        self.kept += tokens.len();
        self.hypotheses = hypotheses;
        Ok(output)
    }
}
