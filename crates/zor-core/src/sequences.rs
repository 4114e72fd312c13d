//! Sequences of different lengths in one batch.
//!
//! The rows of a batch are positions: those of the first sequence, then those of the second, and so
//! on. Nothing is padded, so that norms, errors and spike rates count real positions alone.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Largest token that a number of 32 bits holds exactly.
const MAX_TOKEN: u32 = 1 << 24;

/// The tokens and lengths of the sequences of a batch. Copies share their memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    tokens: Arc<[u32]>,
    parts: Arc<[Part]>,
}

/// The rows of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: usize,
    length: usize,
    prefix: usize,
    /// Number of pairs in the sequences before.
    pairs_before: usize,
}

impl Sequences {
    /// Sequences of these lengths, whose tokens follow one another. Each position sees itself and
    /// the earlier positions of its sequence.
    ///
    /// # Errors
    /// If there is no sequence, a length is zero, the lengths do not add up to the number of
    /// tokens, or a token is too large.
    pub fn new(tokens: Vec<u32>, lengths: &[usize]) -> Result<Self> {
        if let Some(empty) = lengths.iter().position(|length| *length == 0) {
            return Err(Error::shape(format!("sequence {empty} has no tokens; leave it out")));
        }
        let total = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length));
        if total != Some(tokens.len()) || tokens.is_empty() {
            return Err(Error::shape(format!(
                "the lengths of {} sequences do not add up to the {} tokens",
                lengths.len(),
                tokens.len()
            )));
        }
        if let Some(position) = tokens.iter().position(|token| *token > MAX_TOKEN) {
            return Err(Error::setting(format!(
                "token {} at position {position} is too large; the maximum is {MAX_TOKEN}",
                tokens[position]
            )));
        }
        let (mut start, mut pairs_before) = (0, 0);
        let part = |length: &usize| {
            let part = Part { start, length: *length, prefix: 0, pairs_before };
            start += length;
            pairs_before += length * length;
            part
        };
        Ok(Self { parts: lengths.iter().map(part).collect(), tokens: tokens.into() })
    }

    /// One sequence of this many positions, whose tokens are zero.
    pub(crate) fn single(positions: usize) -> Self {
        let part = Part { start: 0, length: positions, prefix: 0, pairs_before: 0 };
        Self { tokens: vec![0; positions].into(), parts: [part].into() }
    }

    /// Gives each sequence a prefix, whose positions all see one another (Raffel et al. 2020,
    /// section 3.2.1): the source of a translation, for instance. Later positions see the prefix,
    /// themselves and the positions between.
    ///
    /// # Errors
    /// If there is not one prefix for each sequence, or a prefix is longer than its sequence.
    pub fn with_prefixes(self, prefixes: &[usize]) -> Result<Self> {
        if prefixes.len() != self.len() {
            return Err(Error::shape(format!(
                "{} prefixes are given for {} sequences",
                prefixes.len(),
                self.len()
            )));
        }
        let longer = |(part, prefix): (&Part, &usize)| *prefix > part.length;
        if let Some(index) = self.parts.iter().zip(prefixes).position(longer) {
            return Err(Error::shape(format!(
                "the prefix of sequence {index} has {} positions, the sequence {}",
                prefixes[index], self.parts[index].length
            )));
        }
        let with = |(part, prefix): (&Part, &usize)| Part { prefix: *prefix, ..*part };
        Ok(Self { parts: self.parts.iter().zip(prefixes).map(with).collect(), ..self })
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// False: there is at least one sequence.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Tokens of all positions.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of all positions, which share their memory.
    pub(crate) fn shared_tokens(&self) -> Arc<[u32]> {
        self.tokens.clone()
    }

    /// Rows of a sequence in the batch.
    pub fn rows(&self, sequence: usize) -> Range<usize> {
        let part = self.parts[sequence];
        part.start..part.start + part.length
    }

    /// Number of positions in the prefix of a sequence.
    pub fn prefix(&self, sequence: usize) -> usize {
        self.parts[sequence].prefix
    }

    /// Number of positions, counted from the start of the sequence, that a position sees.
    pub fn visible(&self, sequence: usize, position: usize) -> usize {
        self.parts[sequence].prefix.max(position + 1)
    }

    /// Place of a position of a sequence: counted from the start of the prefix, or from its end.
    pub fn place(&self, sequence: usize, position: usize) -> usize {
        match position.checked_sub(self.parts[sequence].prefix) {
            Some(place) => place,
            None => position,
        }
    }

    /// Length of the longest sequence.
    pub fn longest(&self) -> usize {
        self.parts.iter().map(|part| part.length).max().unwrap_or(0)
    }

    /// Number of pairs of positions within the sequences.
    pub fn pairs(&self) -> usize {
        self.parts.last().map_or(0, |part| part.pairs_before + part.length * part.length)
    }

    /// Number of pairs of positions in the sequences before one.
    pub(crate) fn pairs_before(&self, sequence: usize) -> usize {
        self.parts[sequence].pairs_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_see_the_prefix_and_those_before() {
        let sequences = Sequences::new((0..7).collect(), &[4, 3]).unwrap();
        let causal: Vec<usize> = (0..4).map(|at| sequences.visible(0, at)).collect();
        assert_eq!(causal, [1, 2, 3, 4]);
        let sequences = sequences.with_prefixes(&[2, 0]).unwrap();
        let seen: Vec<usize> = (0..4).map(|at| sequences.visible(0, at)).collect();
        assert_eq!(seen, [2, 2, 3, 4]);
        let places: Vec<usize> = (0..4).map(|at| sequences.place(0, at)).collect();
        assert_eq!(places, [0, 1, 0, 1]);
        assert_eq!((sequences.rows(1), sequences.pairs(), sequences.longest()), (4..7, 25, 4));
    }

    #[test]
    fn sequences_that_do_not_fit_are_errors() {
        assert!(Sequences::new(vec![], &[]).is_err());
        assert!(Sequences::new(vec![1], &[]).is_err());
        assert!(Sequences::new(vec![1, 2], &[1]).is_err());
        assert!(Sequences::new(vec![1, 2], &[2, 0]).is_err());
        assert!(Sequences::new(vec![u32::MAX], &[1]).is_err());
        assert!(Sequences::new(vec![1, 2], &[usize::MAX, 3]).is_err());
        let two = Sequences::new(vec![1, 2, 3], &[1, 2]).unwrap();
        assert!(two.clone().with_prefixes(&[1]).is_err());
        assert!(two.with_prefixes(&[2, 0]).is_err());
    }
}
