//! Translation of lines with a trained network.

use std::ops::ControlFlow;

use zor_core::Network;
use zor_data::Batch;
use zor_data::text::{Lexicon, Vocabulary, normalised};

use super::beam::{Hypothesis, search};
use crate::error::{Error, Result};
use crate::settings::MAX_BEAM;
use crate::task::sequences;

/// Largest number of tokens that are translated at once. Longer lines are divided at the ends of
/// sentences or between words.
const MAX_TOKENS: usize = 160;
/// Largest number of hypotheses and source tokens that are computed together.
const TOGETHER: usize = 4096;

/// Settings of [`Translator::translate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Number of hypotheses that are kept of each sentence.
    pub beam: usize,
    /// Number of translations that are returned of each line.
    pub n_best: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self { beam: 4, n_best: 1 }
    }
}

/// A translation of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// Text in the target language.
    pub text: String,
    /// Mean logarithm of the probability of a token: 0 is certain, below -1 is a guess.
    pub score: f64,
}

/// A network with the vocabulary and the lexicons that it was trained with.
#[derive(Debug)]
pub struct Translator<'a> {
    network: &'a Network,
    vocabulary: &'a Vocabulary,
    /// From the first language of the vocabulary to the second, and back.
    lexicons: Option<&'a [Lexicon; 2]>,
}

/// A part of a line.
struct Part {
    line: usize,
    tokens: Vec<u32>,
}

impl<'a> Translator<'a> {
    /// A translator between the two languages of the vocabulary.
    ///
    /// # Errors
    /// When the network has not one output for each token of the vocabulary, or the vocabulary has
    /// not two languages.
    pub fn new(
        network: &'a Network,
        vocabulary: &'a Vocabulary,
        lexicons: Option<&'a [Lexicon; 2]>,
    ) -> Result<Self> {
        let outputs: usize = network.output_shape().iter().product();
        if outputs != vocabulary.len() || vocabulary.languages().len() != 2 {
            return Err(Error::input(format!(
                "the network has {outputs} outputs and its vocabulary {} tokens of {} languages; \
                 train the model again",
                vocabulary.len(),
                vocabulary.languages().len()
            )));
        }
        Ok(Self { network, vocabulary, lexicons })
    }

    /// Translates lines into a language. Returns the best translations of each line, the best one
    /// first; an empty line has an empty translation. The work ends early, with no translations for
    /// the remaining lines, if `watch` breaks.
    ///
    /// # Errors
    /// When the language is not one of the network's, a setting is out of range, or the device
    /// fails.
    pub fn translate(
        &self,
        lines: &[impl AsRef<str>],
        to: &str,
        settings: Search,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Translation>>> {
        let tag = self.vocabulary.tag(to)?;
        let Search { beam, n_best } = settings;
        if !(1..=MAX_BEAM).contains(&beam) || !(1..=beam).contains(&n_best) {
            return Err(Error::input(format!(
                "the beam is {beam} and {n_best} translations are asked for; the beam is from 1 to \
                 {MAX_BEAM} and must be at least the number of translations"
            )));
        }
        let mut parts: Vec<Part> = Vec::new();
        for (line, text) in lines.iter().enumerate() {
            let divided = self.divide(&normalised(text.as_ref()));
            parts.extend(divided.into_iter().map(|tokens| Part { line, tokens }));
        }
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|index| parts[*index].tokens.len());
        let mut found: Vec<Vec<Hypothesis>> = parts.iter().map(|_| Vec::new()).collect();
        let mut rest = &order[..];
        while !rest.is_empty() && watch().is_continue() {
            // The longest sentences of a batch are its last ones.
            let fits = |n: &usize| n * (parts[rest[n - 1]].tokens.len() + 2 * beam) <= TOGETHER;
            let n = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let (batch, later) = rest.split_at(n);
            rest = later;
            let tokens: Vec<&[u32]> = batch.iter().map(|index| &*parts[*index].tokens).collect();
            for (index, hypotheses) in batch.iter().zip(self.search(&tokens, tag, beam, watch)?) {
                found[*index] = hypotheses;
            }
        }
        let mut by_line: Vec<Vec<Vec<Hypothesis>>> = lines.iter().map(|_| Vec::new()).collect();
        for (part, hypotheses) in parts.iter().zip(found) {
            by_line[part.line].push(hypotheses);
        }
        Ok(by_line.into_iter().map(|parts| self.join(&parts, n_best)).collect())
    }

    /// Tokens of the parts of a line; none for an empty line.
    fn divide(&self, text: &str) -> Vec<Vec<u32>> {
        let whole = self.vocabulary.encode(text);
        if whole.len() <= MAX_TOKENS {
            return if whole.is_empty() { Vec::new() } else { vec![whole] };
        }
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let mut parts: Vec<Vec<u32>> = Vec::new();
        let (mut text, mut length) = (String::new(), 0);
        let mut push = |text: &mut String| {
            let tokens = self.vocabulary.encode(text.trim_end());
            // A word alone may be longer than a part.
            parts.extend(tokens.chunks(MAX_TOKENS).map(<[u32]>::to_vec));
            text.clear();
        };
        for word in words {
            let n = self.vocabulary.encode(word).len();
            let ends = text.trim_end().ends_with(['.', '!', '?', ';', ':', '\u{61f}', '\u{964}']);
            if length + n > MAX_TOKENS || (ends && 2 * length > MAX_TOKENS) {
                push(&mut text);
                length = 0;
            }
            text.push_str(word);
            length += n;
        }
        push(&mut text);
        parts.retain(|tokens| !tokens.is_empty());
        parts
    }

    fn search(
        &self,
        sources: &[&[u32]],
        tag: u32,
        beam: usize,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        // The first language has tag 1.
        let lexicon = self.lexicons.map(|lexicons| &lexicons[usize::from(tag == 1)]);
        let mut batch = Batch::default();
        batch.clear_sequences();
        for source in sources {
            batch.push_sequence(tag, source, &[], lexicon);
        }
        let most: Vec<usize> = sources.iter().map(|source| 2 * source.len() + 20).collect();
        search(self.network, &sequences(&batch)?, beam, &most, watch)
    }

    /// Translations of a line from those of its parts.
    fn join(&self, parts: &[Vec<Hypothesis>], n_best: usize) -> Vec<Translation> {
        if parts.is_empty() {
            return vec![Translation { text: String::new(), score: 0.0 }];
        }
        let number = parts.iter().map(Vec::len).max().unwrap_or(0).min(n_best);
        let joined = |rank: usize| {
            // A part with fewer translations takes part with its last one.
            let chosen = parts.iter().filter_map(|all| all.get(rank.min(all.len().max(1) - 1)));
            let (mut texts, mut sum, mut tokens) = (Vec::new(), 0.0, 0);
            for hypothesis in chosen {
                texts.push(self.vocabulary.decode(&hypothesis.tokens));
                sum += hypothesis.log_probability;
                tokens += hypothesis.tokens.len() + 1;
            }
            Translation { text: texts.join(" "), score: sum / tokens.max(1) as f64 }
        };
        (0..number).map(joined).collect()
    }
}
