//! Paired bootstrap resampling (Koehn 2004, "Statistical Significance Tests for Machine Translation
//! Evaluation"): whether one system translates better than another, or only these sentences do.

use zor_core::Random;

use super::{BleuCounts, ChrfCounts, check};
use crate::{Error, Result};

/// Comparison of two systems, a and b, by both scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedBootstrap {
    /// Comparison by BLEU.
    pub bleu: Comparison,
    /// Comparison by chrF.
    pub chrf: Comparison,
}

/// Comparison of two systems, a and b, by one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Score of a over all sentences, in [0, 1].
    pub score_a: f64,
    /// Score of b over all sentences, in [0, 1].
    pub score_b: f64,
    /// Share of rounds in which a is better, in [0, 1]. An equal score is not better.
    pub a_better: f64,
    /// One-sided p-value of the claim that a is better: `(n + 1) / (rounds + 1)`, where `n` is the
    /// number of rounds in which a is not better. At 0.05 or less, a is significantly better.
    pub p_value: f64,
}

/// Compares the translations of two systems. Each round draws as many sentences as there are, with
/// replacement, and scores both systems on them. An equal seed gives equal results.
///
/// # Errors
/// When the corpus is empty, a number of sentences differs, or there are no rounds.
pub fn paired_bootstrap(
    hypotheses_a: &[impl AsRef<str>],
    hypotheses_b: &[impl AsRef<str>],
    references: &[impl AsRef<str>],
    rounds: usize,
    seed: u64,
) -> Result<PairedBootstrap> {
    check(hypotheses_a.len(), references.len())?;
    check(hypotheses_b.len(), references.len())?;
    if rounds == 0 {
        return Err(Error::input("the number of rounds is 0; give at least 1, such as 1000"));
    }
    let [a, b] = [counts(hypotheses_a, references), counts(hypotheses_b, references)];
    let all = |counts: &[Counts]| scores(counts, 0..counts.len());
    let (scores_a, scores_b) = (all(&a), all(&b));
    let mut a_better = [0; 2];
    for round in 0..rounds {
        let mut random = Random::stream(seed, round as u64);
        let drawn: Vec<usize> = references.iter().map(|_| random.below(references.len())).collect();
        let of_a = scores(&a, drawn.iter().copied());
        let of_b = scores(&b, drawn.iter().copied());
        for (metric, better) in a_better.iter_mut().enumerate() {
            *better += usize::from(of_a[metric] > of_b[metric]);
        }
    }
    let comparison = |metric: usize| Comparison {
        score_a: scores_a[metric],
        score_b: scores_b[metric],
        a_better: a_better[metric] as f64 / rounds as f64,
        p_value: (rounds - a_better[metric] + 1) as f64 / (rounds + 1) as f64,
    };
    Ok(PairedBootstrap { bleu: comparison(0), chrf: comparison(1) })
}

/// Counts of a sentence.
type Counts = (BleuCounts, ChrfCounts);

fn counts(hypotheses: &[impl AsRef<str>], references: &[impl AsRef<str>]) -> Vec<Counts> {
    let sentences = hypotheses.iter().zip(references);
    let pairs = sentences.map(|(hypothesis, reference)| (hypothesis.as_ref(), reference.as_ref()));
    pairs.map(|(a, b)| (BleuCounts::of(a, b), ChrfCounts::of(a, b))).collect()
}

/// BLEU and chrF of the sentences with these numbers.
fn scores(counts: &[Counts], sentences: impl Iterator<Item = usize>) -> [f64; 2] {
    let (mut bleu, mut chrf) = Counts::default();
    for sentence in sentences {
        bleu.add(&counts[sentence].0);
        chrf.add(&counts[sentence].1);
    }
    [bleu.score(), chrf.score()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// References, and translations in which every sentence of a number below `wrong` has lost its
    /// last words.
    fn corpus(wrong: usize) -> (Vec<String>, Vec<String>) {
        let references: Vec<String> =
            (0..60).map(|n| format!("the {n} boats of {} sail to {}", n * 7 % 60, n / 3)).collect();
        let shorten = |(n, text): (usize, &String)| {
            if n < wrong { text[..text.len() / 2].to_owned() } else { text.clone() }
        };
        (references.iter().enumerate().map(shorten).collect(), references)
    }

    #[test]
    fn a_system_that_is_better_on_many_sentences_is_significantly_better() {
        let ((a, references), (b, _)) = (corpus(5), corpus(25));
        let found = paired_bootstrap(&a, &b, &references, 200, 1).unwrap();
        for comparison in [found.bleu, found.chrf] {
            assert!(comparison.score_a > comparison.score_b);
            assert!(comparison.a_better > 0.98 && comparison.p_value < 0.03, "{comparison:?}");
        }
        let found = paired_bootstrap(&b, &a, &references, 200, 1).unwrap();
        assert!(found.bleu.a_better < 0.02 && found.bleu.p_value > 0.97, "{found:?}");
    }

    #[test]
    fn a_difference_in_one_sentence_is_not_significant() {
        let ((a, references), (b, _)) = (corpus(5), corpus(6));
        let found = paired_bootstrap(&a, &b, &references, 200, 1).unwrap();
        assert!(found.bleu.score_a > found.bleu.score_b && found.bleu.p_value > 0.05, "{found:?}");
        // One sentence is in a draw of 60 with probability 1 - 1/e.
        assert!((found.bleu.a_better - 0.63).abs() < 0.1, "{found:?}");
        let found = paired_bootstrap(&a, &a, &references, 200, 1).unwrap();
        assert_eq!((found.bleu.a_better, found.bleu.p_value), (0.0, 1.0));
    }

    #[test]
    fn an_equal_seed_gives_equal_results() {
        let ((a, references), (b, _)) = (corpus(5), corpus(6));
        let of = |seed| paired_bootstrap(&a, &b, &references, 100, seed).unwrap();
        assert_eq!(of(3), of(3));
        assert!((0..5).any(|seed| of(seed) != of(3)));
    }

    #[test]
    fn missing_sentences_and_rounds_are_refused() {
        let (a, references) = corpus(5);
        let refused = |b: &[String], rounds| {
            paired_bootstrap(&a, b, &references, rounds, 1).unwrap_err().to_string()
        };
        assert!(refused(&a[1..], 10).contains("59 hypotheses and 60 references"));
        assert!(refused(&a, 0).contains("the number of rounds is 0"));
    }
}
