//! Sentence pairs as examples for a network that reads the source and writes the target.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use zor_random::Random;

use crate::error::{Error, Result};
use crate::examples::{Batch, Draw, Examples};
use crate::hexadecimal::hexadecimal;
use crate::text::dictionary::Dictionary;
use crate::text::lexicon::Lexicon;
use crate::text::parallel::Pair;
use crate::text::subwords::Vocabulary;

/// Maximum number of tokens of a side in a batch. Longer sides are cut, which only dropout of
/// merges brings about.
const MAX_TOKENS: usize = 500;
/// Number of translations that are suggested for a token.
const SUGGESTED: usize = 5;
/// Least probability of a suggested translation.
const LEAST: f32 = 0.03;
/// Share of the source tokens that are hidden when a sentence is restored.
const HIDDEN: f32 = 0.15;

/// Changes of the sentences of a training, drawn anew in each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Variation {
    /// Probability that a merge of subwords is skipped
    /// ([`Vocabulary::encode_with_dropout`]).
    pub subword_dropout: f32,
    /// Share of the examples in which a sentence is restored from a copy with hidden tokens. The
    /// others are translated.
    pub restored: f32,
}

/// Suggestions of translations for the tokens of source sentences, in both directions.
///
/// Suggestions for pairs of the training come from lexicons that were learned without them.
/// Otherwise the rare words of a pair would name its translation, which they cannot do for other
/// sentences.
#[derive(Clone, Debug, PartialEq)]
pub struct Lexicons {
    /// Lexicons of all pairs: from source to target, and back.
    pub all: [Lexicon; 2],
    /// Lexicons without every n-th pair, starting with the pair of the same number.
    without: Vec<[Lexicon; 2]>,
}

/// Number of rounds in which a lexicon is learned.
const ROUNDS: usize = 5;

impl Lexicons {
    /// Learns from pairs, with `parts` further lexicons, each of which leaves out its part of them.
    ///
    /// # Errors
    /// Those of [`Lexicon::learn`].
    pub fn learn(pairs: &[Pair], vocabulary: &Vocabulary, parts: usize) -> Result<Self> {
        let encode =
            |pair: &Pair| (vocabulary.encode(&pair.source), vocabulary.encode(&pair.target));
        let forward: Vec<_> = pairs.iter().map(encode).collect();
        let backward: Vec<_> = forward.iter().map(|(a, b)| (b.clone(), a.clone())).collect();
        let learn = |left_out: Option<usize>| -> Result<[Lexicon; 2]> {
            let one = |pairs: &[(Vec<u32>, Vec<u32>)]| {
                let is_kept = |(index, _): &(usize, &_)| left_out != Some(index % parts.max(1));
                let kept: Vec<_> = pairs
                    .iter()
                    .enumerate()
                    .filter(is_kept)
                    .map(|(_, pair)| pair.clone())
                    .collect();
                Lexicon::learn(&kept, vocabulary.len(), vocabulary.len(), ROUNDS)
            };
            let lexicons = [one(&forward)?, one(&backward)?];
            Ok(lexicons.map(|lexicon| lexicon.pruned(SUGGESTED, LEAST)))
        };
        let without = (0..parts).map(|part| learn(Some(part))).collect::<Result<_>>()?;
        Ok(Self { all: learn(None)?, without })
    }

    /// Adds translations of words, from source to target and back.
    #[must_use]
    pub fn with_words(self, words: [Dictionary; 2]) -> Self {
        let ([there, back], [words_there, words_back]) = (self.all, words);
        Self { all: [there.with_words(words_there), back.with_words(words_back)], ..self }
    }

    /// Lexicons of all pairs, such as those of a trained model.
    pub fn of(all: [Lexicon; 2]) -> Self {
        Self { all, without: Vec::new() }
    }

    fn of_pair(&self, pair: usize, is_training: bool) -> &[Lexicon; 2] {
        match self.without.len() {
            0 => &self.all,
            parts if is_training => &self.without[pair % parts],
            _ => &self.all,
        }
    }
}

/// Sentence pairs in both directions: example `2 i` is pair `i` from source to target, example
/// `2 i + 1` from target to source.
///
/// The sequence of an example is `tag source end target`, where the tag names the language of the
/// target. Its prefix is `tag source`. The targets of a batch are the tokens of the target and its
/// end, one for each position behind the prefix.
#[derive(Clone, Debug)]
pub struct Translations {
    name: String,
    vocabulary: Arc<Vocabulary>,
    pairs: Arc<[Pair]>,
    /// Tags of the languages of sources and targets.
    tags: [u32; 2],
    lexicons: Option<Arc<Lexicons>>,
    /// Changes in a training; `None` for an evaluation.
    variation: Option<Variation>,
    /// Numbers of the examples, if not all are there.
    chosen: Option<Arc<[usize]>>,
}

impl Translations {
    /// Pairs of sentences in two languages of the vocabulary, for an evaluation.
    ///
    /// # Errors
    /// When the vocabulary has no tag of a language.
    pub fn new(
        name: &str,
        pairs: Vec<Pair>,
        languages: [&str; 2],
        vocabulary: Arc<Vocabulary>,
        lexicons: Option<Arc<Lexicons>>,
    ) -> Result<Self> {
        let tags = [vocabulary.tag(languages[0])?, vocabulary.tag(languages[1])?];
        let (name, pairs) = (name.to_owned(), pairs.into());
        Ok(Self { name, vocabulary, pairs, tags, lexicons, variation: None, chosen: None })
    }

    /// Varies the sentences, for a training.
    #[must_use]
    pub fn varied(self, variation: Variation) -> Self {
        Self { variation: Some(variation), ..self }
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The lexicons that suggest translations.
    pub fn lexicons(&self) -> Option<&Arc<Lexicons>> {
        self.lexicons.as_ref()
    }

    /// The pairs of all examples.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Pair and direction of an example: 0 from source to target, 1 back.
    fn place(&self, index: usize) -> (usize, usize) {
        let index = self.chosen.as_ref().map_or(index, |chosen| chosen[index]);
        (index / 2, index % 2)
    }

    fn push(&self, index: usize, random: &mut Random, batch: &mut Batch, targets: &mut Vec<u32>) {
        let (number, direction) = self.place(index);
        let pair = &self.pairs[number];
        let texts = [&pair.source, &pair.target];
        let (source, target) = (texts[direction], texts[1 - direction]);
        let tag = self.tags[1 - direction];
        let encode = |text: &str, random: &mut Random| {
            let mut tokens = match self.variation {
                Some(Variation { subword_dropout, .. }) if subword_dropout > 0.0 => {
                    self.vocabulary.encode_with_dropout(text, subword_dropout, random)
                }
                _ => self.vocabulary.encode(text),
            };
            tokens.truncate(MAX_TOKENS);
            tokens
        };
        let is_restored = self.variation.is_some_and(|variation| random.chance(variation.restored));
        let mut prefix = encode(if is_restored { target } else { source }, random);
        let behind = encode(target, random);
        if is_restored {
            for token in &mut prefix {
                if random.chance(HIDDEN) {
                    *token = tag;
                }
            }
        }
        let lexicons = self.lexicons.as_ref().filter(|_| !is_restored);
        let lexicon = lexicons.map(|all| &all.of_pair(number, self.variation.is_some())[direction]);
        batch.push_sequence(tag, &prefix, &behind, lexicon);
        targets.extend(behind.iter().copied().chain([Vocabulary::END]));
    }
}

impl Batch {
    /// Removes all sequences.
    pub fn clear_sequences(&mut self) {
        self.rows = 0;
        self.inputs.set_integers([]);
        self.lengths.clear();
        self.prefixes.clear();
        self.suggestions.starts.clear();
        self.suggestions.starts.push(0);
        self.suggestions.tokens.clear();
        self.suggestions.weights.clear();
    }

    /// Adds the sequence `tag source end target`. Each position before a token of the source has
    /// suggestions for the token.
    pub fn push_sequence(
        &mut self,
        tag: u32,
        source: &[u32],
        target: &[u32],
        lexicon: Option<&Lexicon>,
    ) {
        let tokens = [tag].into_iter().chain(source.iter().copied()).chain([Vocabulary::END]);
        self.inputs.extend_integers(tokens.chain(target.iter().copied()));
        self.rows += 1;
        self.prefixes.push(1 + source.len());
        self.lengths.push(2 + source.len() + target.len());
        let suggestions = &mut self.suggestions;
        let end = |suggestions: &Suggestions| suggestions.tokens.len();
        for token in source {
            for (token, weight) in lexicon.into_iter().flat_map(|all| all.translations(*token)) {
                suggestions.tokens.push(token);
                suggestions.weights.push(weight);
            }
            suggestions.starts.push(end(suggestions));
        }
        suggestions.starts.resize(suggestions.starts.len() + 2 + target.len(), end(suggestions));
    }
}

impl Examples for Translations {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.chosen.as_ref().map_or(2 * self.pairs.len(), |chosen| chosen.len())
    }

    fn input_shape(&self) -> Vec<usize> {
        vec![1]
    }

    fn fill(&self, draw: &Draw<'_>, batch: &mut Batch) {
        batch.clear_sequences();
        let mut targets = Vec::new();
        for (row, index) in draw.indices.iter().enumerate() {
            self.push(*index, &mut draw.random(row), batch, &mut targets);
        }
        batch.targets.set_integers(targets);
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for index in 0..self.len() {
            let (pair, direction) = self.place(index);
            let Pair { source, target } = &self.pairs[pair];
            hasher.update([direction as u8]);
            for text in [source, target] {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hexadecimal(&hasher.finalize())
    }

    fn lengths(&self) -> Option<Vec<usize>> {
        let of_pair = |pair: &Pair| {
            let length = |text: &str| self.vocabulary.encode(text).len().min(MAX_TOKENS);
            2 + length(&pair.source) + length(&pair.target)
        };
        let lengths: Vec<usize> = self.pairs.iter().map(of_pair).collect();
        Some((0..self.len()).map(|index| lengths[self.place(index).0]).collect())
    }

    fn subset(&self, indices: &[usize]) -> Result<Arc<dyn Examples>> {
        if let Some(index) = indices.iter().find(|index| **index >= self.len()) {
            return Err(Error::input(format!(
                "{}: there is no example {index}; there are {}",
                self.name,
                self.len()
            )));
        }
        let number = |index: &usize| self.chosen.as_ref().map_or(*index, |chosen| chosen[*index]);
        let chosen = Some(indices.iter().map(number).collect());
        Ok(Arc::new(Self { chosen, ..self.clone() }))
    }
}

/// Tokens that are suggested at the positions of a batch, as a sparse matrix of compressed rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suggestions {
    /// Start of each position, and the end of the last one.
    pub starts: Vec<usize>,
    /// Suggested tokens.
    pub tokens: Vec<u32>,
    /// Weight of each of the tokens.
    pub weights: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::{Batches, Order};

    fn pairs(n: usize) -> Vec<Pair> {
        let pair = |number: usize| Pair {
            source: format!("the river {number} flows home"),
            target: format!("di water {number} dey go house{}", ".".repeat(number % 3)),
        };
        (0..n).map(pair).collect()
    }

    fn examples(n: usize, variation: Option<Variation>) -> Translations {
        let pairs = pairs(n);
        let texts = pairs.iter().flat_map(|pair| [pair.source.clone(), pair.target.clone()]);
        let vocabulary = Vocabulary::train(texts, 340, &["en", "pcm"]).unwrap();
        let lexicons = Lexicons::learn(&pairs, &vocabulary, 2).unwrap();
        let (vocabulary, lexicons) = (Arc::new(vocabulary), Some(Arc::new(lexicons)));
        let all = Translations::new("t", pairs, ["en", "pcm"], vocabulary, lexicons).unwrap();
        match variation {
            Some(variation) => all.varied(variation),
            None => all,
        }
    }

    fn batch(set: &dyn Examples, indices: &[usize]) -> Batch {
        let mut batch = Batch::default();
        set.fill(&Draw { indices, first: 0, seed: 7 }, &mut batch);
        batch
    }

    #[test]
    fn a_sequence_is_tag_source_end_target_and_its_targets_are_one_ahead() {
        let set = examples(30, None);
        let vocabulary = set.vocabulary().clone();
        for (index, to) in [(8, "pcm"), (9, "en")] {
            let batch = batch(&set, &[index]);
            let pair = &set.pairs()[4];
            let (source, target) = match to {
                "pcm" => (&pair.source, &pair.target),
                _ => (&pair.target, &pair.source),
            };
            let tag = vocabulary.tag(to).unwrap();
            let tokens = batch.inputs.integers();
            let prefix = batch.prefixes[0];
            assert_eq!((tokens[0], tokens[prefix]), (tag, Vocabulary::END));
            assert_eq!(vocabulary.decode(&tokens[1..prefix]), *source);
            assert_eq!(vocabulary.decode(&tokens[prefix + 1..]), *target);
            let targets = batch.targets.integers();
            assert_eq!(targets[..targets.len() - 1], tokens[prefix + 1..]);
            assert_eq!(targets.last(), Some(&Vocabulary::END));
            assert_eq!(batch.lengths, [tokens.len()]);
            assert_eq!(batch.suggestions.starts.len(), tokens.len() + 1);
            assert!(!batch.suggestions.tokens.is_empty());
        }
    }

    #[test]
    fn batches_depend_on_seed_and_step_alone_and_show_every_pair_both_ways() {
        let variation = Variation { subword_dropout: 0.2, restored: 0.3 };
        let set: Arc<dyn Examples> = Arc::new(examples(30, Some(variation)));
        let batches = Batches::new(set.clone(), 200, Order::Shuffled, 3).unwrap();
        let fill = |step| {
            let mut batch = Batch::default();
            batches.fill(step, &mut batch);
            batch
        };
        let (mut rows, mut step) = (0, 0);
        while rows < set.len() {
            let batch = fill(step);
            assert_eq!(batch, fill(step));
            let tokens: usize = batch.lengths.iter().sum();
            assert_eq!(tokens, batch.inputs.integers().len());
            rows += batch.rows;
            step += 1;
        }
        assert_eq!(rows, set.len());
        assert_ne!(fill(0), fill(step), "the next epoch varies");
    }

    #[test]
    fn restored_sentences_hide_tokens_and_have_no_suggestions() {
        let variation = Variation { subword_dropout: 0.0, restored: 1.0 };
        let set = examples(30, Some(variation));
        let indices: Vec<usize> = (0..60).collect();
        let batch = batch(&set, &indices);
        assert!(batch.suggestions.tokens.is_empty());
        let is_tag = |token: &&u32| set.tags.contains(token);
        let hidden = batch.inputs.integers().iter().filter(is_tag).count() - indices.len();
        assert!(hidden > 20);
    }

    #[test]
    fn suggestions_of_a_pair_in_training_do_not_come_from_the_pair() {
        let mut pairs = pairs(10);
        pairs[3] = Pair { source: "zebra".to_owned(), target: "quagga".to_owned() };
        let texts = pairs.iter().flat_map(|pair| [pair.source.clone(), pair.target.clone()]);
        let vocabulary = Vocabulary::train(texts, 320, &["en", "pcm"]).unwrap();
        let lexicons = Lexicons::learn(&pairs, &vocabulary, 2).unwrap();
        let token = vocabulary.encode("zebra")[1];
        let number = |lexicons: &[Lexicon; 2]| lexicons[0].translations(token).count();
        let only = number(lexicons.of_pair(3, false));
        assert!(number(lexicons.of_pair(3, true)) < only);
    }

    #[test]
    fn a_subset_keeps_its_examples_and_an_unknown_index_is_refused() {
        let set = examples(6, None);
        let part = set.subset(&[3, 11]).unwrap();
        assert_eq!(part.len(), 2);
        assert_eq!(batch(&*part, &[1]), batch(&set, &[11]));
        assert_eq!(part.subset(&[1]).unwrap().lengths().unwrap(), [set.lengths().unwrap()[11]]);
        assert_ne!(part.digest(), set.digest());
        assert!(set.subset(&[12]).unwrap_err().to_string().contains("no example 12"));
    }
}
