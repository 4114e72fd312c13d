//! Options of translation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Sentence pairs to learn from, and the network that learns from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TranslationSettings {
    /// The two languages of the pairs, such as `en,pcm`, in the order of their columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<String>,
    /// Named corpus, used instead of the user's own pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<String>,
    /// Pairs to evaluate on; by default every 20th pair of the data, at most 500, is held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<PathBuf>,
    /// Number of tokens of the vocabulary; 0 chooses it by the number of pairs.
    pub vocabulary: usize,
    /// Number of blocks of the network.
    pub blocks: usize,
    /// Number of heads of each attention layer.
    pub heads: usize,
    /// Score above which a pair of positions fires in attention.
    pub attention_threshold: f32,
    /// Dropout: probability that a value becomes zero in training.
    pub dropout: f32,
    /// Probability that a merge of subwords is skipped in training.
    pub subword_dropout: f32,
    /// Share of the examples in which a sentence is restored from a copy with hidden tokens.
    pub restored: f32,
    /// Whether a lexicon learned from the pairs suggests translations of words.
    pub lexicon: bool,
    /// Beam size of translations in the evaluation.
    pub beam: usize,
}

impl Default for TranslationSettings {
    fn default() -> Self {
        Self {
            languages: None,
            corpus: None,
            dev: None,
            vocabulary: 0,
            blocks: 4,
            heads: 4,
            attention_threshold: 0.0,
            dropout: 0.2,
            subword_dropout: 0.1,
            restored: 0.3,
            lexicon: true,
            beam: 4,
        }
    }
}

/// Largest beam.
pub(crate) const MAX_BEAM: usize = 64;
/// Largest number of blocks, and of heads.
const MAX_BLOCKS: usize = 256;

impl TranslationSettings {
    /// Checks the values.
    ///
    /// # Errors
    /// When a value is out of range. The message names the key.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::input(format!("translation.{message}")));
        if let Some(languages) = &self.languages {
            languages_of(languages)?;
        }
        let shares = [
            ("dropout", self.dropout, 0.95),
            ("subword_dropout", self.subword_dropout, 1.0),
            ("restored", self.restored, 1.0),
        ];
        for (name, value, most) in shares {
            if !(0.0..=most).contains(&value) {
                return wrong(format!("{name} is {value}; it must be from 0 to {most}"));
            }
        }
        for (name, value, most) in [
            ("blocks", self.blocks, MAX_BLOCKS),
            ("heads", self.heads, MAX_BLOCKS),
            ("beam", self.beam, MAX_BEAM),
        ] {
            if !(1..=most).contains(&value) {
                return wrong(format!("{name} is {value}; it must be from 1 to {most}"));
            }
        }
        match self.attention_threshold.is_finite() {
            true => Ok(()),
            false => wrong("attention_threshold is not a finite number".to_owned()),
        }
    }
}

/// Returns the two languages of a list such as `en,pcm`.
///
/// # Errors
/// When they are not two different languages.
pub fn languages_of(text: &str) -> Result<[String; 2]> {
    let languages: Vec<String> = text.split(',').map(|code| code.trim().to_owned()).collect();
    match <[String; 2]>::try_from(languages) {
        Ok([a, b]) if a != b && !a.is_empty() && !b.is_empty() => Ok([a, b]),
        _ => Err(Error::input(format!(
            "the languages are '{text}'; give two different codes with a comma, such as en,pcm"
        ))),
    }
}
