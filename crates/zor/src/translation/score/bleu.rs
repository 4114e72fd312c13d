//! BLEU (Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"):
//! the share of n-grams of tokens that the reference has too, reduced for short translations.

use super::ngrams;
use super::tokenize_13a::tokenize_13a;

/// Settings of BLEU: one reference, case kept, all orders, the tokenizer 13a, exponential
/// smoothing.
pub const BLEU_SIGNATURE: &str = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp";

/// Highest order of n-grams.
const ORDERS: usize = 4;

/// Counts from which BLEU follows. The counts of a corpus are the sum of those of its sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuCounts {
    hypothesis_tokens: u64,
    reference_tokens: u64,
    /// For orders 1 to 4: n-grams of the hypothesis that the reference has too.
    matches: [u64; ORDERS],
    /// For orders 1 to 4: n-grams of the hypothesis.
    totals: [u64; ORDERS],
}

impl BleuCounts {
    /// Counts the n-grams of a sentence.
    pub fn of(hypothesis: &str, reference: &str) -> Self {
        let [hypothesis, reference] = [hypothesis, reference].map(tokenize_13a);
        let [hypothesis, reference] =
            [&hypothesis, &reference].map(|text| text.split_whitespace().collect::<Vec<_>>());
        let mut counts = Self {
            hypothesis_tokens: hypothesis.len() as u64,
            reference_tokens: reference.len() as u64,
            ..Self::default()
        };
        for n in 1..=ORDERS {
            counts.matches[n - 1] = ngrams::shared(&hypothesis, &reference, n);
            counts.totals[n - 1] = ngrams::number(hypothesis.len(), n);
        }
        counts
    }

    /// Adds the counts of another sentence.
    pub fn add(&mut self, other: &Self) {
        self.hypothesis_tokens += other.hypothesis_tokens;
        self.reference_tokens += other.reference_tokens;
        for order in 0..ORDERS {
            self.matches[order] += other.matches[order];
            self.totals[order] += other.totals[order];
        }
    }

    /// Returns BLEU in [0, 1]: the brevity penalty times the geometric mean of the precisions.
    pub fn score(&self) -> f64 {
        let precisions = self.precisions();
        if precisions.contains(&0.0) {
            return 0.0;
        }
        let mean = precisions.iter().map(|precision| precision.ln()).sum::<f64>() / ORDERS as f64;
        self.brevity_penalty() * mean.exp()
    }

    /// Returns the precisions of orders 1 to 4 in [0, 1]: the shares of n-grams of the hypothesis
    /// that the reference has too.
    ///
    /// Orders without a match count a half, a quarter and so on of a match, if any order has one.
    /// An order without n-grams has precision 0.
    pub fn precisions(&self) -> [f64; ORDERS] {
        let mut precisions = [0.0; ORDERS];
        if self.matches == [0; ORDERS] {
            return precisions;
        }
        let mut smoothed = 1.0;
        for (order, precision) in precisions.iter_mut().enumerate() {
            let (matches, total) = (self.matches[order] as f64, self.totals[order] as f64);
            if total == 0.0 {
                break;
            }
            *precision = if matches > 0.0 {
                matches / total
            } else {
                smoothed /= 2.0;
                smoothed / total
            };
        }
        precisions
    }

    /// Returns the factor in [0, 1] for translations with fewer tokens than the references.
    pub fn brevity_penalty(&self) -> f64 {
        let (hypothesis, reference) = (self.hypothesis_tokens as f64, self.reference_tokens as f64);
        if hypothesis >= reference {
            1.0
        } else if hypothesis == 0.0 {
            0.0
        } else {
            (1.0 - reference / hypothesis).exp()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_and_brevity_follow_the_definition() {
        let counts = BleuCounts::of("the the the cat", "the cat sat on the mat");
        assert_eq!(counts.matches, [3, 1, 0, 0]);
        assert_eq!(counts.precisions(), [0.75, 1.0 / 3.0, 0.5 / 2.0, 0.25 / 1.0]);
        assert_eq!(counts.brevity_penalty(), (-0.5f64).exp());
    }

    #[test]
    fn a_corpus_without_a_match_or_without_four_tokens_has_no_score() {
        assert_eq!(BleuCounts::of("a b c d", "e f g h").score(), 0.0);
        assert_eq!(BleuCounts::of("a b c", "a b c").score(), 0.0);
        assert_eq!(BleuCounts::of("", "a").score(), 0.0);
        assert_eq!(BleuCounts::default().score(), 0.0);
    }
}
