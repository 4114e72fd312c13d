//! IBM model 1 (Brown et al. 1993, "The Mathematics of Statistical Machine Translation"): the
//! probabilities of word translations, learned from sentence pairs by expectation maximization.
//!
//! Each target token comes from one source token of its sentence, or from the empty word, which is
//! part of every source sentence. All origins are equally likely before the probabilities count.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::dictionary::Dictionary;

/// Lowest probability of a translation that is kept.
pub const MIN_PROBABILITY: f32 = 1e-3;

/// The likely translations of each source token, as a sparse matrix of compressed rows.
///
/// A row has the translations of a source token, the most probable first, and by token if
/// probabilities are equal. Translations below [`MIN_PROBABILITY`] are left out, so that a row adds
/// up to at most 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Lexicon {
    /// Start of each row, and the end of the last one.
    offsets: Vec<usize>,
    tokens: Vec<u32>,
    probabilities: Vec<f32>,
    /// Translations of words.
    words: Option<Dictionary>,
}

impl Lexicon {
    /// Adds translations of words.
    #[must_use]
    pub fn with_words(self, words: Dictionary) -> Self {
        Self { words: Some(words), ..self }
    }

    /// Translations of words, if there are any.
    pub fn words(&self) -> Option<&Dictionary> {
        self.words.as_ref()
    }

    /// Learns from pairs of source and target sentences with this number of rounds; five are usual.
    /// Source tokens are below `source_size`, target tokens below `target_size`. A pair with an
    /// empty side is skipped.
    ///
    /// The result depends on the pairs and sizes alone: the work runs on one thread. It takes about
    /// `pairs * source length * target length * rounds` steps.
    ///
    /// # Errors
    /// When there are no rounds, or a token is not below the size of its side.
    pub fn learn(
        pairs: &[(Vec<u32>, Vec<u32>)],
        source_size: usize,
        target_size: usize,
        rounds: usize,
    ) -> Result<Self> {
        if rounds == 0 {
            return Err(Error::input("the number of rounds is 0; give at least 1, such as 5"));
        }
        for (number, (source, target)) in pairs.iter().enumerate() {
            check(number, "source", source, source_size)?;
            check(number, "target", target, target_size)?;
        }
        let corpus = Corpus::new(pairs, source_size);
        let mut rows = corpus.first_round(target_size);
        for _ in 1..rounds {
            corpus.round(&mut rows, target_size);
        }
        // The row of the empty word comes last and is left out.
        rows.truncate(source_size);
        Ok(Self::of_likely(rows))
    }

    fn of_likely(rows: Vec<Row>) -> Self {
        let (mut offsets, mut tokens, mut probabilities) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            let mut likely: Vec<(u32, f32)> = row
                .tokens
                .into_iter()
                .zip(row.probabilities)
                .filter(|(_, probability)| *probability >= MIN_PROBABILITY)
                .collect();
            likely.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            tokens.extend(likely.iter().map(|(token, _)| token));
            probabilities.extend(likely.iter().map(|(_, probability)| probability));
            offsets.push(tokens.len());
        }
        Self { offsets, tokens, probabilities, words: None }
    }

    /// Returns the lexicon with at most `most` translations of a token, each with at least this
    /// probability, rounded to thousandths as in files.
    #[must_use]
    pub fn pruned(&self, most: usize, least: f32) -> Self {
        let (mut offsets, mut tokens, mut probabilities) = (vec![0], Vec::new(), Vec::new());
        for source in 0..self.source_size() as u32 {
            let kept = self.translations(source).filter(|(_, probability)| *probability >= least);
            for (token, probability) in kept.take(most) {
                tokens.push(token);
                probabilities.push((1000.0 * probability).round() / 1000.0);
            }
            offsets.push(tokens.len());
        }
        Self { offsets, tokens, probabilities, words: None }
    }

    /// Number of source tokens.
    pub fn source_size(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Start of the translations of each source token, and the end of the last ones: one more
    /// number than there are source tokens.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Target tokens of all rows.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Probabilities of all rows, one for each of the [`tokens`](Self::tokens).
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// Translations of a source token with their probabilities, the most probable first; none for a
    /// token that was not in the pairs.
    pub fn translations(&self, source: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let source = source as usize;
        let row = match (self.offsets.get(source), self.offsets.get(source + 1)) {
            (Some(&start), Some(&end)) => start..end,
            _ => 0..0,
        };
        let (tokens, probabilities) = (&self.tokens[row.clone()], &self.probabilities[row]);
        tokens.iter().copied().zip(probabilities.iter().copied())
    }
}

/// Stored form of a lexicon: the number of translations of each source token, and per translation
/// its token and its probability in thousandths.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    counts: Vec<u32>,
    tokens: Vec<u32>,
    thousandths: Vec<u16>,
    #[serde(default)]
    words: Option<Dictionary>,
}

impl From<Lexicon> for Stored {
    fn from(lexicon: Lexicon) -> Self {
        let rounded = |probability: &f32| (1000.0 * probability).round() as u16;
        Self {
            counts: lexicon.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect(),
            thousandths: lexicon.probabilities.iter().map(rounded).collect(),
            tokens: lexicon.tokens,
            words: lexicon.words,
        }
    }
}

impl TryFrom<Stored> for Lexicon {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        let Stored { counts, tokens, thousandths, words } = stored;
        let total = counts.iter().try_fold(0usize, |sum, count| sum.checked_add(*count as usize));
        if total != Some(tokens.len()) || thousandths.len() != tokens.len() {
            return Err("the numbers of translations and of their tokens differ".to_owned());
        }
        let mut offsets = vec![0];
        for count in counts {
            offsets.push(offsets[offsets.len() - 1] + count as usize);
        }
        let probabilities = thousandths.iter().map(|part| f32::from(*part) / 1000.0).collect();
        Ok(Self { offsets, tokens, probabilities, words })
    }
}

/// Refuses tokens that are not below the size of their side.
fn check(pair: usize, side: &str, tokens: &[u32], size: usize) -> Result<()> {
    match tokens.iter().find(|token| **token as usize >= size) {
        Some(token) => Err(Error::input(format!(
            "pair {pair} has the {side} token {token}, and there are {size} {side} tokens; tokens count from 0"
        ))),
        None => Ok(()),
    }
}

/// Translations of a source token by increasing target token.
struct Row {
    tokens: Vec<u32>,
    probabilities: Vec<f32>,
}

/// Sentence pairs, sorted by source token.
///
/// A round visits one source token after the other. The probabilities of a single token lie in an
/// array of the size of the target vocabulary, so that no table of all word pairs is searched.
struct Corpus<'a> {
    /// Target tokens of each pair with two sides.
    targets: Vec<&'a [u32]>,
    /// Position of the first target token of each pair among those of all pairs.
    starts: Vec<usize>,
    /// Number of target tokens of all pairs.
    positions: usize,
    /// Number of origins of each target token: the source tokens, and the empty word.
    origins: Vec<usize>,
    /// Pairs in which each source token is, as often as it is there; the empty word comes last.
    pairs_of: Vec<Vec<u32>>,
}

impl<'a> Corpus<'a> {
    fn new(pairs: &'a [(Vec<u32>, Vec<u32>)], source_size: usize) -> Self {
        let mut corpus = Self {
            targets: Vec::new(),
            starts: Vec::new(),
            positions: 0,
            origins: Vec::new(),
            pairs_of: vec![Vec::new(); source_size + 1],
        };
        for (source, target) in pairs {
            if source.is_empty() || target.is_empty() {
                continue;
            }
            let pair = corpus.targets.len() as u32;
            for token in source {
                corpus.pairs_of[*token as usize].push(pair);
            }
            corpus.pairs_of[source_size].push(pair);
            corpus.targets.push(target);
            corpus.starts.push(corpus.positions);
            corpus.positions += target.len();
            corpus.origins.push(source.len() + 1);
        }
        corpus
    }

    /// The round in which all translations are equally likely: it finds the word pairs.
    fn first_round(&self, target_size: usize) -> Vec<Row> {
        let mut expected = vec![0f64; target_size];
        let row = |pairs: &Vec<u32>| {
            let mut tokens = Vec::new();
            for &pair in pairs {
                let share = 1.0 / self.origins[pair as usize] as f64;
                for &token in self.targets[pair as usize] {
                    let expected = &mut expected[token as usize];
                    if *expected == 0.0 {
                        tokens.push(token);
                    }
                    *expected += share;
                }
            }
            tokens.sort_unstable();
            let probabilities = take_normalized(&tokens, &mut expected);
            Row { tokens, probabilities }
        };
        self.pairs_of.iter().map(row).collect()
    }

    /// One round of expectation maximization.
    fn round(&self, rows: &mut [Row], target_size: usize) {
        let mut probability = vec![0f64; target_size];
        // The sum of the probabilities of all origins of each target token.
        let mut sums = vec![0f64; self.positions];
        for (row, pairs) in rows.iter().zip(&self.pairs_of) {
            row.spread(&mut probability);
            for &pair in pairs {
                let pair = pair as usize;
                for (sum, token) in sums[self.starts[pair]..].iter_mut().zip(self.targets[pair]) {
                    *sum += probability[*token as usize];
                }
            }
        }
        // A token that all its origins have stopped to explain counts nowhere.
        sums.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { 1.0 / *sum } else { 0.0 });
        let mut expected = vec![0f64; target_size];
        for (row, pairs) in rows.iter_mut().zip(&self.pairs_of) {
            row.spread(&mut probability);
            for &pair in pairs {
                let pair = pair as usize;
                for (inverse, token) in sums[self.starts[pair]..].iter().zip(self.targets[pair]) {
                    expected[*token as usize] += probability[*token as usize] * inverse;
                }
            }
            row.probabilities = take_normalized(&row.tokens, &mut expected);
        }
    }
}

impl Row {
    /// Writes the probabilities to the places of their tokens. Other places keep old values: a
    /// source token never meets a target token that is not in its row.
    fn spread(&self, probability: &mut [f64]) {
        for (token, value) in self.tokens.iter().zip(&self.probabilities) {
            probability[*token as usize] = f64::from(*value);
        }
    }
}

/// Divides the expected counts of these tokens by their sum, and sets the counts to zero.
fn take_normalized(tokens: &[u32], expected: &mut [f64]) -> Vec<f32> {
    let sum: f64 = tokens.iter().map(|token| expected[*token as usize]).sum();
    let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
    let take = |token: &u32| (std::mem::take(&mut expected[*token as usize]) * scale) as f32;
    tokens.iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use zor_random::Random;

    /// Sentence pairs of random words, in which target word `n + 1` translates source word `n` and
    /// word 0 is anywhere.
    fn pairs(n: usize, words: usize, length: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        let mut random = Random::seeded(1);
        let mut pair = || {
            let source: Vec<u32> = (0..length).map(|_| random.below(words) as u32).collect();
            let mut target: Vec<u32> = source.iter().map(|word| word + 1).collect();
            target.push(0);
            random.shuffle(&mut target);
            (source, target)
        };
        (0..n).map(|_| pair()).collect()
    }

    /// The definition word by word, with a table of all word pairs.
    fn by_definition(
        pairs: &[(Vec<u32>, Vec<u32>)],
        source_size: u32,
        rounds: usize,
    ) -> BTreeMap<(u32, u32), f64> {
        let mut table: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for round in 0..rounds {
            let (mut counts, mut totals) = (BTreeMap::new(), BTreeMap::new());
            for (source, target) in pairs {
                let origins: Vec<u32> = source.iter().copied().chain([source_size]).collect();
                for token in target {
                    let of =
                        |origin: &u32| if round == 0 { 1.0 } else { table[&(*origin, *token)] };
                    let sum: f64 = origins.iter().map(of).sum();
                    for origin in &origins {
                        *counts.entry((*origin, *token)).or_insert(0.0) += of(origin) / sum;
                        *totals.entry(*origin).or_insert(0.0) += of(origin) / sum;
                    }
                }
            }
            table = counts.into_iter().map(|(key, count)| (key, count / totals[&key.0])).collect();
        }
        table
    }

    #[test]
    fn probabilities_equal_those_of_the_definition() {
        let pairs = pairs(40, 12, 5);
        for rounds in [1, 2, 5] {
            let lexicon = Lexicon::learn(&pairs, 12, 13, rounds).unwrap();
            let expected = by_definition(&pairs, 12, rounds);
            let mut kept = 0;
            for ((source, target), probability) in expected {
                let found = lexicon.translations(source).find(|(token, _)| *token == target);
                if let Some((_, found)) = found {
                    assert!((f64::from(found) - probability).abs() < 1e-5, "{found} {probability}");
                    kept += 1;
                } else {
                    assert!(source == 12 || probability < 1.01e-3, "{source} {target}");
                }
            }
            assert_eq!(kept, lexicon.tokens().len());
        }
    }

    #[test]
    fn translations_are_found_and_sorted_by_probability() {
        let lexicon = Lexicon::learn(&pairs(2000, 50, 8), 51, 51, 5).unwrap();
        assert_eq!((lexicon.source_size(), lexicon.offsets().len()), (51, 52));
        for word in 0..50 {
            let row: Vec<(u32, f32)> = lexicon.translations(word).collect();
            assert!(row[0].0 == word + 1 && row[0].1 > 0.5, "{word}: {row:?}");
            assert!(row.is_sorted_by(|a, b| a.1 >= b.1) && row.iter().all(|(_, p)| *p >= 1e-3));
            assert!(row.iter().map(|(_, probability)| probability).sum::<f32>() < 1.0001);
        }
        // A word that was never seen, and one that does not exist.
        assert_eq!(lexicon.translations(50).count(), 0);
        assert_eq!(lexicon.translations(51).count() + lexicon.translations(u32::MAX).count(), 0);
    }

    #[test]
    fn equal_pairs_give_equal_bits() {
        let pairs = pairs(200, 50, 8);
        let learn = || Lexicon::learn(&pairs, 50, 51, 3).unwrap();
        assert_eq!(learn(), learn());
    }

    #[test]
    fn a_pair_with_an_empty_side_changes_nothing() {
        let mut pairs = pairs(20, 6, 4);
        let before = Lexicon::learn(&pairs, 6, 7, 3).unwrap();
        pairs.insert(3, (vec![1, 2], Vec::new()));
        pairs.insert(9, (Vec::new(), vec![1, 2]));
        assert_eq!(Lexicon::learn(&pairs, 6, 7, 3).unwrap(), before);
        let none = Lexicon::learn(&[], 6, 7, 3).unwrap();
        assert_eq!((none.source_size(), none.tokens().len()), (6, 0));
    }

    #[test]
    fn unknown_tokens_and_no_rounds_are_refused() {
        let refused = |rounds, pair| {
            Lexicon::learn(&[(vec![0], vec![0]), pair], 3, 4, rounds).unwrap_err().to_string()
        };
        let message = refused(1, (vec![0, 3], vec![0]));
        assert!(message.contains("pair 1 has the source token 3"), "{message}");
        let message = refused(1, (vec![0], vec![4]));
        assert!(message.contains("the target token 4, and there are 4"), "{message}");
        assert!(refused(0, (vec![0], vec![0])).contains("the number of rounds is 0"));
    }
}
