//! Translation of lines with a trained network.

use std::borrow::Cow;
use std::ops::ControlFlow;

use zor_core::Network;
use zor_data::Batch;
use zor_data::text::{Lexicon, Vocabulary, normalised};

use super::beam::{Hypothesis, Task, search};
use super::glossary::Glossary;
use super::kept;
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
    /// Whether numbers and addresses of a line must be in its translation. A line whose best
    /// translation lacks one is translated again with the missing ones as required terms.
    pub keeps: bool,
    /// Whether hypotheses are ordered by both directions, together with the line word by word:
    /// how probable the translation of the line is, and the line as a translation back. Without
    /// effect for a beam of one hypothesis.
    pub reranks: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { beam: 4, n_best: 1, keeps: true, reranks: true }
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
    network: Cow<'a, Network>,
    vocabulary: Cow<'a, Vocabulary>,
    /// From the first language of the vocabulary to the second, and back.
    lexicons: Option<Cow<'a, [Lexicon; 2]>>,
    glossary: Glossary,
    /// Tags of the two languages.
    tags: [u32; 2],
}

/// A part of a line.
pub(super) struct Part {
    line: usize,
    pub(super) text: String,
    pub(super) tokens: Vec<u32>,
    /// Tokens of terms that its translation must contain.
    pub(super) terms: Vec<Vec<u32>>,
}

impl Part {
    /// A line of its own, without terms.
    #[cfg(test)]
    pub(super) fn of(text: &str, tokens: Vec<u32>) -> Self {
        Self { line: 0, text: text.to_owned(), tokens, terms: Vec::new() }
    }
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
        let (network, vocabulary) = (Cow::Borrowed(network), Cow::Borrowed(vocabulary));
        Self::of(network, vocabulary, lexicons.map(Cow::Borrowed))
    }

    /// A translator of parts that it borrows or owns; see [`Translator::new`].
    pub(crate) fn of(
        network: Cow<'a, Network>,
        vocabulary: Cow<'a, Vocabulary>,
        lexicons: Option<Cow<'a, [Lexicon; 2]>>,
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
        let tag = |language: usize| vocabulary.tag(&vocabulary.languages()[language]);
        let tags = [tag(0)?, tag(1)?];
        Ok(Self { network, vocabulary, lexicons, glossary: Glossary::default(), tags })
    }

    /// Requires the translations of a glossary.
    #[must_use]
    pub fn with_glossary(self, glossary: Glossary) -> Self {
        Self { glossary, ..self }
    }

    /// The vocabulary, which names the two languages.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
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
        let Search { beam, n_best, keeps, .. } = settings;
        if !(1..=MAX_BEAM).contains(&beam) || !(1..=beam).contains(&n_best) {
            return Err(Error::input(format!(
                "the beam is {beam} and {n_best} translations are asked for; the beam is from 1 to \
                 {MAX_BEAM} and must be at least the number of translations"
            )));
        }
        let mut parts: Vec<Part> = Vec::new();
        for (line, text) in lines.iter().enumerate() {
            for (text, tokens) in self.divide(&normalised(text.as_ref())) {
                let terms = self.glossary.translations_in(&text);
                let terms = terms.into_iter().map(|term| self.vocabulary.encode(term)).collect();
                parts.push(Part { line, text, tokens, terms });
            }
        }
        let mut found: Vec<Vec<Hypothesis>> = parts.iter().map(|_| Vec::new()).collect();
        self.fill(&mut found, &parts, (0..parts.len()).collect(), tag, settings, watch)?;
        if keeps {
            let mut again = Vec::new();
            for (index, part) in parts.iter_mut().enumerate() {
                let Some(best) = found[index].first() else { continue };
                let missing = kept::missing(&part.text, &self.vocabulary.decode(&best.tokens));
                if !missing.is_empty() {
                    part.terms.extend(missing.iter().map(|term| self.vocabulary.encode(term)));
                    again.push(index);
                }
            }
            self.fill(&mut found, &parts, again, tag, settings, watch)?;
        }
        let mut by_line: Vec<Vec<Vec<Hypothesis>>> = lines.iter().map(|_| Vec::new()).collect();
        for (part, hypotheses) in parts.iter().zip(found) {
            by_line[part.line].push(hypotheses);
        }
        Ok(by_line.into_iter().map(|parts| self.join(&parts, n_best)).collect())
    }

    /// Searches the translations of some parts, those of similar lengths together.
    fn fill(
        &self,
        found: &mut [Vec<Hypothesis>],
        parts: &[Part],
        mut some: Vec<usize>,
        tag: u32,
        settings: Search,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        some.sort_by_key(|index| parts[*index].tokens.len());
        let mut rest = &some[..];
        while !rest.is_empty() && watch().is_continue() {
            // The longest sentences of a batch are its last ones.
            let width = 2 * settings.beam;
            let fits = |n: &usize| n * (parts[rest[n - 1]].tokens.len() + width) <= TOGETHER;
            let n = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
            let (batch, later) = rest.split_at(n);
            rest = later;
            let some: Vec<&Part> = batch.iter().map(|index| &parts[*index]).collect();
            for (index, hypotheses) in batch.iter().zip(self.search(&some, tag, settings, watch)?) {
                found[*index] = hypotheses;
            }
        }
        Ok(())
    }

    /// Texts and tokens of the parts of a line; none for an empty line.
    fn divide(&self, text: &str) -> Vec<(String, Vec<u32>)> {
        let whole = self.vocabulary.encode(text);
        if whole.len() <= MAX_TOKENS {
            return if whole.is_empty() { Vec::new() } else { vec![(text.to_owned(), whole)] };
        }
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let mut parts: Vec<(String, Vec<u32>)> = Vec::new();
        let (mut text, mut length) = (String::new(), 0);
        let mut push = |text: &mut String| {
            let tokens = self.vocabulary.encode(text.trim_end());
            // A word alone may be longer than a part.
            for tokens in tokens.chunks(MAX_TOKENS) {
                parts.push((std::mem::take(text), tokens.to_vec()));
            }
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
        parts
    }

    fn search(
        &self,
        parts: &[&Part],
        tag: u32,
        settings: Search,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let mut batch = Batch::default();
        batch.clear_sequences();
        for part in parts {
            batch.push_sequence(tag, &part.tokens, &[], self.lexicon(tag));
        }
        let task =
            |part: &&Part| Task { most: 2 * part.tokens.len() + 20, terms: part.terms.clone() };
        let tasks = parts.iter().map(task).collect();
        let mut found = search(&self.network, &sequences(&batch)?, settings.beam, tasks, watch)?;
        if settings.reranks && settings.beam > 1 && watch().is_continue() {
            self.rerank(parts, &mut found, tag)?;
        }
        Ok(found)
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// The lexicon into the language of a tag.
    pub(super) fn lexicon(&self, tag: u32) -> Option<&Lexicon> {
        self.lexicons.as_ref().map(|lexicons| &lexicons[usize::from(tag == self.tags[0])])
    }

    /// The tag of the other language.
    pub(super) fn other(&self, tag: u32) -> u32 {
        self.tags[usize::from(tag == self.tags[0])]
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
                // A translation is a line, whatever bytes the network has spelled.
                let text = self.vocabulary.decode(&hypothesis.tokens);
                texts.push(text.replace(|c: char| c.is_control(), " "));
                sum += hypothesis.log_probability;
                tokens += hypothesis.tokens.len() + 1;
            }
            Translation { text: texts.join(" "), score: sum / tokens.max(1) as f64 }
        };
        (0..number).map(joined).collect()
    }
}
