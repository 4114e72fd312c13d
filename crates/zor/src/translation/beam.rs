//! Beam search: the likeliest translations of sentences, several hypotheses of each at once.

use std::ops::ControlFlow;

use zor_core::{Network, Sequences, ops};
use zor_data::text::Vocabulary;

use crate::error::Result;

/// Largest period of a repetition that ends a hypothesis, in tokens.
const PERIOD: usize = 12;
/// Number of repetitions that end a hypothesis.
const REPETITIONS: usize = 3;
/// Number of repetitions of a single token that end a hypothesis.
const OF_ONE: usize = 6;

/// Tokens of a translation and its probability.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hypothesis {
    /// Tokens without tag and end.
    pub tokens: Vec<u32>,
    /// Sum of the logarithms of the probabilities of the tokens and the end.
    pub log_probability: f64,
    /// False if the search has ended at the largest length.
    pub is_complete: bool,
}

impl Hypothesis {
    /// Logarithm of the probability for each token, by which hypotheses of all lengths compare.
    pub(super) fn score(&self) -> f64 {
        self.log_probability / (self.tokens.len() + 1) as f64
    }
}

/// The search of one sentence.
struct Search {
    /// Hypotheses under construction, with their place in the decoder.
    live: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
    /// Number of tokens at which the search ends.
    most: usize,
    /// Tokens of terms that the translation must contain.
    terms: Vec<Vec<u32>>,
}

/// A sentence to translate.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    /// Largest number of tokens of the translation.
    pub most: usize,
    /// Tokens of terms that the translation must contain.
    pub terms: Vec<Vec<u32>>,
}

/// Finds translations of the sequences, each `tag source end`, with up to `beam` hypotheses. The
/// best one of each is first. There is one task for each sequence. The search ends early if `watch`
/// breaks.
pub(super) fn search(
    network: &Network,
    sequences: &Sequences,
    beam: usize,
    tasks: Vec<Task>,
    watch: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Vec<Hypothesis>>> {
    let (mut decoder, outputs) = network.decode(sequences)?;
    let vocabulary = outputs.dims()[1];
    let mut logits = ops::read(outputs)?;
    let empty = Hypothesis { tokens: Vec::new(), log_probability: 0.0, is_complete: false };
    let search = |Task { most, terms }| {
        let most = most + terms.iter().map(Vec::len).sum::<usize>();
        Search { live: vec![empty.clone()], finished: Vec::new(), most, terms }
    };
    let mut searches: Vec<Search> = tasks.into_iter().map(search).collect();
    loop {
        let (mut parents, mut tokens) = (Vec::new(), Vec::new());
        let mut row = 0;
        for search in &mut searches {
            let live = std::mem::take(&mut search.live);
            let rows = &logits[row * vocabulary..(row + live.len()) * vocabulary];
            for (parent, token) in search.grow(live, rows, vocabulary, beam) {
                parents.push(row + parent);
                tokens.push(token);
            }
            row += rows.len() / vocabulary;
        }
        if parents.is_empty() || watch().is_break() {
            break;
        }
        logits = ops::read(decoder.step(&parents, &tokens)?)?;
    }
    Ok(searches.into_iter().map(Search::result).collect())
}

impl Search {
    /// Continues hypotheses by one token. Returns parent and token of each new one.
    fn grow(
        &mut self,
        live: Vec<Hypothesis>,
        logits: &[f32],
        vocabulary: usize,
        beam: usize,
    ) -> Vec<(usize, u32)> {
        let mut candidates: Vec<(usize, u32, f64)> = Vec::new();
        for (parent, (hypothesis, row)) in
            live.iter().zip(logits.chunks_exact(vocabulary)).enumerate()
        {
            let total = log_sum(row);
            let mut likely = largest(row, beam + 1);
            let wanted = next_of_terms(&hypothesis.tokens, &self.terms);
            for token in &wanted {
                if likely.iter().all(|(other, _)| other != token) {
                    likely.push((*token, row[*token as usize]));
                }
            }
            for (token, logit) in likely {
                // A line of words has no empty translation.
                let is_early = hypothesis.tokens.is_empty() || !wanted.is_empty();
                if token == Vocabulary::END && is_early {
                    continue;
                }
                let log_probability = hypothesis.log_probability + f64::from(logit) - total;
                candidates.push((parent, token, log_probability));
            }
        }
        candidates.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        if !self.terms.is_empty() {
            candidates = self.in_turns(&live, candidates);
        }
        let mut grown = Vec::new();
        for (parent, token, log_probability) in candidates {
            if self.live.len() == beam {
                break;
            }
            let mut tokens = live[parent].tokens.clone();
            if token == Vocabulary::END {
                self.finished.push(Hypothesis { tokens, log_probability, is_complete: true });
                continue;
            }
            tokens.push(token);
            if repeats(&tokens) {
                continue;
            }
            self.live.push(Hypothesis { tokens, log_probability, is_complete: false });
            grown.push((parent, token));
        }
        let is_full = self.live.first().is_none_or(|live| live.tokens.len() >= self.most);
        if is_full || self.is_decided(beam) {
            if self.finished.is_empty() {
                self.finished.append(&mut self.live);
                for hypothesis in &mut self.finished {
                    complete(&mut hypothesis.tokens, &self.terms);
                }
            }
            if self.finished.is_empty() {
                self.finished.extend(live);
            }
            self.live.clear();
            grown.clear();
        }
        grown
    }

    /// Orders candidates such that those with most tokens of terms and those with fewer take turns
    /// (Post and Vilar 2018, dynamic beam allocation).
    fn in_turns(
        &self,
        live: &[Hypothesis],
        candidates: Vec<(usize, u32, f64)>,
    ) -> Vec<(usize, u32, f64)> {
        let met = |(parent, token, _): &(usize, u32, f64)| {
            let tokens: Vec<u32> = live[*parent].tokens.iter().copied().chain([*token]).collect();
            n_met(&tokens, &self.terms)
        };
        let mut ranked: Vec<(usize, usize, (usize, u32, f64))> = Vec::new();
        let mut counts = std::collections::BTreeMap::new();
        for candidate in candidates {
            let met = met(&candidate);
            let rank: &mut usize = counts.entry(met).or_default();
            ranked.push((*rank, met, candidate));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, met, _)| (*rank, std::cmp::Reverse(*met)));
        ranked.into_iter().map(|(.., candidate)| candidate).collect()
    }

    /// True if no hypothesis under construction can become better than the finished ones.
    fn is_decided(&self, beam: usize) -> bool {
        let best = self.finished.iter().map(Hypothesis::score).fold(f64::NEG_INFINITY, f64::max);
        let reachable =
            |live: &Hypothesis| live.log_probability / (live.tokens.len() + 2) as f64 > best;
        self.finished.len() >= beam && !self.live.iter().any(reachable)
    }

    fn result(self) -> Vec<Hypothesis> {
        let Self { mut finished, live, .. } = self;
        if finished.is_empty() {
            finished = live;
        }
        finished.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.tokens.cmp(&b.tokens)));
        finished
    }
}

/// Number of tokens at the end of `tokens` that a term begins with, less than all of them.
fn begun(tokens: &[u32], term: &[u32]) -> usize {
    let most = tokens.len().min(term.len().saturating_sub(1));
    (1..=most).rev().find(|n| tokens.ends_with(&term[..*n])).unwrap_or(0)
}

pub(super) fn contains(tokens: &[u32], term: &[u32]) -> bool {
    tokens.windows(term.len().max(1)).any(|part| part == term)
}

/// Number of tokens of terms that are there, the longest term that is begun included.
fn n_met(tokens: &[u32], terms: &[Vec<u32>]) -> usize {
    let (there, missing): (Vec<&Vec<u32>>, Vec<&Vec<u32>>) =
        terms.iter().partition(|term| contains(tokens, term));
    let begun = missing.iter().map(|term| begun(tokens, term)).max().unwrap_or(0);
    there.iter().map(|term| term.len()).sum::<usize>() + begun
}

/// Next tokens of terms that are not there yet; none if all are.
fn next_of_terms(tokens: &[u32], terms: &[Vec<u32>]) -> Vec<u32> {
    let missing = terms.iter().filter(|term| !contains(tokens, term));
    missing.map(|term| term[begun(tokens, term)]).collect()
}

/// Adds the terms that are not there at the end.
fn complete(tokens: &mut Vec<u32>, terms: &[Vec<u32>]) {
    for term in terms {
        if !contains(tokens, term) {
            tokens.extend_from_slice(&term[begun(tokens, term)..]);
        }
    }
}

/// Logarithm of the sum of exponentials.
pub(crate) fn log_sum(row: &[f32]) -> f64 {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|logit| (logit - peak).exp()).sum();
    f64::from(peak) + f64::from(sum).ln()
}

/// The `n` largest values with their places, the largest first.
fn largest(row: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut found: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    for (place, &value) in row.iter().enumerate() {
        if found.len() == n && found.last().is_some_and(|(_, least)| value <= *least) {
            continue;
        }
        let at = found.partition_point(|(_, other)| *other >= value);
        found.insert(at, (place as u32, value));
        found.truncate(n);
    }
    found
}

/// True if the tokens end with repetitions of a few tokens.
fn repeats(tokens: &[u32]) -> bool {
    (1..=PERIOD).any(|period| {
        let repetitions = if period == 1 { OF_ONE } else { REPETITIONS };
        let n = period * repetitions;
        tokens.len() >= n && {
            let end = &tokens[tokens.len() - n..];
            end[period..].iter().zip(end).all(|(a, b)| a == b)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_values_are_in_order() {
        assert_eq!(largest(&[1.0, 5.0, 3.0, 5.0], 3), [(1, 5.0), (3, 5.0), (2, 3.0)]);
        assert_eq!(largest(&[1.0], 3), [(0, 1.0)]);
    }

    #[test]
    fn repetitions_are_found() {
        assert!(repeats(&[9, 1, 2, 1, 2, 1, 2]) && !repeats(&[1, 2, 1, 2]));
        assert!(repeats(&[7; 6]) && !repeats(&[7; 5]));
        assert!(!repeats(&[1, 2, 3, 4, 5, 6]) && !repeats(&[]));
    }

    #[test]
    fn terms_are_followed_token_by_token() {
        let terms = [vec![1, 2, 3], vec![7]];
        assert_eq!(next_of_terms(&[5, 1, 2], &terms), [3, 7]);
        assert_eq!((n_met(&[5, 1, 2], &terms), n_met(&[7, 1, 2, 3], &terms)), (2, 4));
        assert!(next_of_terms(&[7, 1, 2, 3], &terms).is_empty());
        let mut tokens = vec![5, 1];
        complete(&mut tokens, &terms);
        assert_eq!(tokens, [5, 1, 2, 3, 7]);
    }

    #[test]
    fn the_logarithm_of_the_sum_is_stable() {
        assert!((log_sum(&[1000.0, 1000.0]) - 1000.0 - 2f64.ln()).abs() < 1e-4);
    }
}
