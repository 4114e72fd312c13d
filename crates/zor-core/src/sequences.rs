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
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    tokens: Arc<[u32]>,
    parts: Arc<[Part]>,
    suggestions: Option<Suggestions>,
    decoding: Decoding,
}

/// Tokens that are suggested at each position, as a sparse matrix of compressed rows.
#[derive(Clone, Debug, PartialEq)]
struct Suggestions {
    /// Start of each row, and the end of the last one.
    starts: Arc<[usize]>,
    tokens: Arc<[u32]>,
    weights: Arc<[f32]>,
}

/// The part of a pass in the decoding of sequences; see [`crate::Decoder`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Decoding {
    /// None: the pass is complete.
    #[default]
    None,
    /// The beginning of sequences, whose positions layers keep.
    Beginning,
    /// One further position for each hypothesis.
    Step(Arc<Step>),
}

/// Hypotheses that grow by a position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Sequences at the beginning, whose prefixes the hypotheses share.
    pub beginning: Sequences,
    /// Number of positions that are kept from earlier passes.
    pub kept: usize,
    /// The hypotheses, one for each row.
    pub hypotheses: Vec<Hypothesis>,
}

/// A sequence under construction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hypothesis {
    /// Sequence of the beginning that it continues.
    pub sequence: usize,
    /// Kept rows of its positions behind the prefix, the newest last.
    pub rows: Vec<u32>,
}

impl Step {
    /// Kept rows of the prefix of a hypothesis.
    pub(crate) fn prefix(&self, hypothesis: usize) -> Range<usize> {
        let sequence = self.hypotheses[hypothesis].sequence;
        let start = self.beginning.rows(sequence).start;
        start..start + self.beginning.prefix(sequence)
    }
}

/// The rows of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: usize,
    length: usize,
    prefix: usize,
    /// Number of pairs in the sequences before.
    pairs_before: usize,
    /// Number of positions behind prefixes in the sequences before.
    behind_before: usize,
    /// Number of pairs of a position behind a prefix and one in it, in the sequences before.
    copies_before: usize,
}

impl Part {
    fn behind(self) -> usize {
        self.length - self.prefix
    }
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
        Ok(Self::of(tokens, lengths))
    }

    /// Sequences of these lengths without prefixes.
    fn of(tokens: Vec<u32>, lengths: &[usize]) -> Self {
        let (mut start, mut pairs_before) = (0, 0);
        let part = |length: &usize| {
            let (prefix, copies_before) = (0, 0);
            let behind_before = start;
            let length = *length;
            let part = Part { start, length, prefix, pairs_before, behind_before, copies_before };
            start += length;
            pairs_before += length * length;
            part
        };
        let parts = lengths.iter().map(part).collect();
        Self { parts, tokens: tokens.into(), suggestions: None, decoding: Decoding::None }
    }

    /// One sequence of this many positions, whose tokens are zero.
    pub(crate) fn single(positions: usize) -> Self {
        Self::of(vec![0; positions], &[positions])
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
        let (mut behind_before, mut copies_before) = (0, 0);
        let with = |(part, prefix): (&Part, &usize)| {
            let part = Part { prefix: *prefix, behind_before, copies_before, ..*part };
            behind_before += part.behind();
            copies_before += part.behind() * part.prefix;
            part
        };
        Ok(Self { parts: self.parts.iter().zip(prefixes).map(with).collect(), ..self })
    }

    /// Suggests tokens at positions of prefixes, such as the translations of a word. Position `i`
    /// of the batch has those from `starts[i]` to `starts[i + 1]`, each with a weight. A
    /// [`crate::TiedEmbeddingConfig::copies`] output reads them.
    ///
    /// # Errors
    /// If the starts are not increasing numbers up to the number of tokens, one more than there are
    /// positions, or there is not one finite weight for each token.
    pub fn with_suggestions(
        self,
        starts: Vec<usize>,
        tokens: Vec<u32>,
        weights: Vec<f32>,
    ) -> Result<Self> {
        let is_complete = starts.first() == Some(&0) && starts.last() == Some(&tokens.len());
        if !is_complete || starts.len() != self.tokens.len() + 1 || !starts.is_sorted() {
            return Err(Error::shape(format!(
                "the starts of suggestions must rise from 0 to their number, {}, one for each of \
                 the {} positions and the end",
                tokens.len(),
                self.tokens.len()
            )));
        }
        if weights.len() != tokens.len() || !weights.iter().all(|weight| weight.is_finite()) {
            return Err(Error::setting(format!(
                "{} suggestions need as many finite weights; {} are given",
                tokens.len(),
                weights.len()
            )));
        }
        let suggestions =
            Suggestions { starts: starts.into(), tokens: tokens.into(), weights: weights.into() };
        Ok(Self { suggestions: Some(suggestions), ..self })
    }

    /// Suggested tokens at a position of the batch, and their weights.
    pub fn suggestions(&self, row: usize) -> (&[u32], &[f32]) {
        match &self.suggestions {
            Some(Suggestions { starts, tokens, weights }) => {
                let range = starts[row]..starts[row + 1];
                (&tokens[range.clone()], &weights[range])
            }
            None => (&[], &[]),
        }
    }

    /// Largest token that is suggested.
    pub(crate) fn largest_suggestion(&self) -> Option<u32> {
        self.suggestions.as_ref().and_then(|found| found.tokens.iter().copied().max())
    }

    pub(crate) fn with_decoding(self, decoding: Decoding) -> Self {
        Self { decoding, ..self }
    }

    pub(crate) fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    /// The step of decoding that these positions are.
    pub(crate) fn step(&self) -> Option<&Arc<Step>> {
        match &self.decoding {
            Decoding::Step(step) => Some(step),
            _ => None,
        }
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
        if let Some(step) = self.step() {
            return step.hypotheses[sequence].rows.len() - 1;
        }
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

    /// Number of pairs of a position behind a prefix and one in it.
    pub fn copies(&self) -> usize {
        self.parts.last().map_or(0, |part| part.copies_before + part.behind() * part.prefix)
    }

    /// Number of pairs of a position behind a prefix and one in it, in the sequences before one.
    pub(crate) fn copies_before(&self, sequence: usize) -> usize {
        self.parts[sequence].copies_before
    }

    /// Number of positions behind prefixes in the sequences before one.
    pub(crate) fn behind_before(&self, sequence: usize) -> usize {
        self.parts[sequence].behind_before
    }

    /// Number of pairs of positions that see each other.
    pub fn seen(&self) -> usize {
        let seen = |part: &Part| {
            let behind = part.behind();
            part.prefix * part.length + behind * (behind + 1) / 2
        };
        self.parts.iter().map(seen).sum()
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
