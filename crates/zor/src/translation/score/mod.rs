//! Scores of translations against one reference each: BLEU and chrF over a whole corpus.
//!
//! The scores equal those of sacreBLEU 2.6.0 with its default settings (Post 2018, "A Call for
//! Clarity in Reporting BLEU Scores"). A signature names these settings.

mod bleu;
mod bootstrap;
mod chrf;
#[cfg(test)]
mod golden;
mod ngrams;
mod tokenize_13a;

pub use bleu::{BLEU_SIGNATURE, BleuCounts};
pub use bootstrap::{Comparison, PairedBootstrap, paired_bootstrap};
pub use chrf::{CHRF_SIGNATURE, ChrfCounts};
pub use tokenize_13a::tokenize_13a;

use crate::{Error, Result};

/// Scores of the translations of a corpus.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TranslationScore {
    /// BLEU, in [0, 1]. Papers print 100 times this number.
    pub bleu: f64,
    /// chrF, in [0, 1]. Papers print 100 times this number.
    pub chrf: f64,
    /// Number of sentences.
    pub sentences: usize,
}

/// Scores the translations of a corpus, the hypotheses, against a reference for each.
///
/// # Errors
/// When the corpus is empty, or the numbers of hypotheses and references differ.
///
/// ```
/// let score = zor::translation::score::score(&["The cat sat."], &["The cat sat."])?;
/// assert_eq!((score.bleu, score.chrf, score.sentences), (1.0, 1.0, 1));
/// # Ok::<(), zor::Error>(())
/// ```
pub fn score(
    hypotheses: &[impl AsRef<str>],
    references: &[impl AsRef<str>],
) -> Result<TranslationScore> {
    check(hypotheses.len(), references.len())?;
    let (mut bleu, mut chrf) = (BleuCounts::default(), ChrfCounts::default());
    for (hypothesis, reference) in hypotheses.iter().zip(references) {
        bleu.add(&BleuCounts::of(hypothesis.as_ref(), reference.as_ref()));
        chrf.add(&ChrfCounts::of(hypothesis.as_ref(), reference.as_ref()));
    }
    Ok(TranslationScore { bleu: bleu.score(), chrf: chrf.score(), sentences: hypotheses.len() })
}

/// Refuses an empty corpus, and hypotheses without reference.
fn check(hypotheses: usize, references: usize) -> Result<()> {
    if hypotheses != references {
        return Err(Error::input(format!(
            "there are {hypotheses} hypotheses and {references} references; give one reference per hypothesis"
        )));
    }
    if hypotheses == 0 {
        return Err(Error::input("there are no hypotheses to score; give at least one"));
    }
    Ok(())
}

/// Returns whether a character separates words: white space of Unicode, and the four separators of
/// ASCII, which Python counts as white space too.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::golden::CORPORA;
    use super::*;

    #[test]
    fn scores_equal_those_of_sacrebleu() {
        for corpus in CORPORA {
            let found = score(corpus.hypotheses, corpus.references).unwrap();
            let name = corpus.name;
            assert!((100.0 * found.bleu - corpus.bleu).abs() < 1e-9, "{name}: {}", found.bleu);
            assert!((100.0 * found.chrf - corpus.chrf).abs() < 1e-9, "{name}: {}", found.chrf);
            assert_eq!(found.sentences, corpus.references.len());
        }
    }

    #[test]
    fn a_corpus_without_a_reference_for_each_hypothesis_is_refused() {
        let error = score(&["a", "b"], &["a"]).unwrap_err().to_string();
        assert!(error.contains("2 hypotheses and 1 references"), "{error}");
        let none: [&str; 0] = [];
        assert!(score(&none, &none).unwrap_err().to_string().contains("no hypotheses"));
    }
}
