//! chrF (Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"): the F-score
//! of n-grams of characters, in which recall counts twice as much as precision.

use super::{is_space, ngrams};

/// Settings of chrF: one reference, case kept, orders with n-grams on both sides only, characters
/// up to order 6, no words, no white space.
pub const CHRF_SIGNATURE: &str = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no";

/// Highest order of n-grams.
const ORDERS: usize = 6;
/// Weight of recall in relation to precision.
const BETA: f64 = 2.0;

/// Counts from which chrF follows. The counts of a corpus are the sum of those of its sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChrfCounts {
    /// For orders 1 to 6: n-grams of the hypothesis, if the reference has any.
    hypothesis: [u64; ORDERS],
    /// For orders 1 to 6: n-grams of the reference.
    reference: [u64; ORDERS],
    /// For orders 1 to 6: n-grams in both.
    matches: [u64; ORDERS],
}

impl ChrfCounts {
    /// Counts the n-grams of a sentence.
    pub fn of(hypothesis: &str, reference: &str) -> Self {
        let [hypothesis, reference] = [hypothesis, reference]
            .map(|text| text.chars().filter(|character| !is_space(*character)).collect::<Vec<_>>());
        let mut counts = Self::default();
        for n in 1..=ORDERS {
            let of_reference = ngrams::number(reference.len(), n);
            if of_reference > 0 {
                counts.hypothesis[n - 1] = ngrams::number(hypothesis.len(), n);
            }
            counts.reference[n - 1] = of_reference;
            counts.matches[n - 1] = ngrams::shared(&hypothesis, &reference, n);
        }
        counts
    }

    /// Adds the counts of another sentence.
    pub fn add(&mut self, other: &Self) {
        for order in 0..ORDERS {
            self.hypothesis[order] += other.hypothesis[order];
            self.reference[order] += other.reference[order];
            self.matches[order] += other.matches[order];
        }
    }

    /// Returns chrF in [0, 1]: the F-score of precision and recall, each the mean over the orders
    /// that both sides have n-grams of.
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for order in 0..ORDERS {
            let [hypothesis, reference, matches] =
                [&self.hypothesis, &self.reference, &self.matches]
                    .map(|counts| counts[order] as f64);
            if hypothesis > 0.0 && reference > 0.0 {
                precision += matches / hypothesis;
                recall += matches / reference;
                orders += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let factor = BETA * BETA;
        (1.0 + factor) * precision * recall / (factor * precision + recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_more_than_precision() {
        let more = ChrfCounts::of("a cat sat here", "a cat sat").score();
        let less = ChrfCounts::of("a cat sat", "a cat sat here").score();
        assert!(more > less && less > 0.0, "{more} {less}");
    }

    #[test]
    fn white_space_and_orders_of_one_side_do_not_count() {
        assert_eq!(ChrfCounts::of("ab c", "a\u{a0}bc").score(), 1.0);
        assert_eq!(ChrfCounts::of("abcdefgh", "abc").hypothesis, [8, 7, 6, 0, 0, 0]);
        assert_eq!(ChrfCounts::of("", "abc").score(), 0.0);
        assert_eq!(ChrfCounts::of("abc", "").score(), 0.0);
    }
}
