//! N-grams: runs of `n` neighbours in a sequence of tokens or characters.

/// Counts the n-grams that two sequences share. An n-gram counts as often as it is in both.
pub(super) fn shared<T: Ord>(first: &[T], second: &[T], n: usize) -> u64 {
    let [first, second] = [first, second].map(|sequence| sorted(sequence, n));
    let (mut count, mut at) = (0, 0);
    for ngram in first {
        while second.get(at).is_some_and(|other| *other < ngram) {
            at += 1;
        }
        if second.get(at) == Some(&ngram) {
            count += 1;
            at += 1;
        }
    }
    count
}

/// Number of n-grams in a sequence of this length.
pub(super) fn number(len: usize, n: usize) -> u64 {
    (len + 1).saturating_sub(n) as u64
}

fn sorted<T: Ord>(sequence: &[T], n: usize) -> Vec<&[T]> {
    let mut ngrams: Vec<&[T]> = sequence.windows(n).collect();
    ngrams.sort_unstable();
    ngrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_ngram_counts_as_often_as_it_is_in_both() {
        let (first, second) = (b"abababc", b"ababd");
        assert_eq!(shared(first, second, 1), 4);
        assert_eq!(shared(first, second, 2), 3);
        assert_eq!(shared(first, second, 4), 1);
        assert_eq!(shared(first, second, 5), 0);
        assert_eq!(shared(first, b"", 1), 0);
    }

    #[test]
    fn a_short_sequence_has_no_long_ngrams() {
        assert_eq!([number(0, 1), number(3, 1), number(3, 3), number(3, 4)], [0, 3, 1, 0]);
    }
}
