//! Learning of byte-pair merges: the most frequent pair of neighbours becomes a new piece, again
//! and again.
//!
//! Source: Sennrich, Haddow and Birch 2016, "Neural machine translation of rare words with subword
//! units".

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Two neighbouring pieces.
pub(super) type Pair = (u32, u32);

/// Minimum number of occurrences of a pair that becomes a piece. A piece that occurs once teaches
/// nothing that its parts do not.
const MIN_COUNT: u64 = 2;

/// Words as sequences of pieces, with the numbers of all pairs in them.
///
/// The numbers are kept up to date from merge to merge: a merge visits only the words that have the
/// pair.
#[derive(Debug)]
pub(super) struct Merges {
    /// Pieces of each word, and how often the word occurs.
    words: Vec<(Vec<u32>, u64)>,
    pairs: HashMap<Pair, Occurrences>,
    /// Pairs by their number of occurrences, then by the pair itself. The number may be too large:
    /// it is compared with `pairs` when it is at the top.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

/// Occurrences of a pair.
#[derive(Debug, Default)]
struct Occurrences {
    count: u64,
    /// Words that have the pair, or had it; some more than once.
    words: Vec<u32>,
}

impl Merges {
    /// Counts the pairs of words. Each word has its number of occurrences.
    pub(super) fn new(words: Vec<(Vec<u32>, u64)>) -> Self {
        let mut pairs: HashMap<Pair, Occurrences> = HashMap::new();
        for (index, (pieces, count)) in (0..).zip(&words) {
            for pair in neighbours(pieces) {
                let occurrences = pairs.entry(pair).or_default();
                occurrences.count += count;
                occurrences.words.push(index);
            }
        }
        let queue = pairs.iter().map(|(pair, found)| (found.count, Reverse(*pair))).collect();
        Self { words, pairs, queue }
    }

    /// Returns the most frequent pair; among equals the one of the lowest numbers. `None` if no
    /// pair occurs twice.
    pub(super) fn best(&mut self) -> Option<Pair> {
        loop {
            let (count, Reverse(pair)) = self.queue.pop()?;
            let now = self.pairs.get(&pair).map_or(0, |found| found.count);
            if now == count {
                return (count >= MIN_COUNT).then_some(pair);
            }
            // A pair with more occurrences than this entry has another entry.
            if now < count && now > 0 {
                self.queue.push((now, Reverse(pair)));
            }
        }
    }

    /// Replaces a pair with a piece in all words.
    pub(super) fn merge(&mut self, pair: Pair, piece: u32) {
        let Some(found) = self.pairs.remove(&pair) else { return };
        let mut indices = found.words;
        indices.sort_unstable();
        indices.dedup();
        let mut grown = Vec::new();
        for index in indices {
            let Some((pieces, count)) = self.words.get_mut(index as usize) else { continue };
            if !neighbours(pieces).any(|other| other == pair) {
                continue;
            }
            for old in neighbours(pieces).filter(|old| *old != pair) {
                if let Some(occurrences) = self.pairs.get_mut(&old) {
                    occurrences.count = occurrences.count.saturating_sub(*count);
                }
            }
            join(pieces, pair, piece);
            for new in neighbours(pieces) {
                let occurrences = self.pairs.entry(new).or_default();
                occurrences.count += *count;
                if new.0 == piece || new.1 == piece {
                    occurrences.words.push(index);
                    grown.push(new);
                }
            }
        }
        grown.sort_unstable();
        grown.dedup();
        for pair in grown {
            let count = self.pairs.get(&pair).map_or(0, |found| found.count);
            self.queue.push((count, Reverse(pair)));
        }
    }
}

fn neighbours(pieces: &[u32]) -> impl Iterator<Item = Pair> {
    pieces.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Replaces a pair with a piece in a word, from left to right.
fn join(pieces: &mut Vec<u32>, pair: Pair, piece: u32) {
    let (mut read, mut written) = (0, 0);
    while read < pieces.len() {
        let is_pair = pieces[read] == pair.0 && pieces.get(read + 1) == Some(&pair.1);
        pieces[written] = if is_pair { piece } else { pieces[read] };
        read += if is_pair { 2 } else { 1 };
        written += 1;
    }
    pieces.truncate(written);
}

#[cfg(test)]
mod tests {
    use zor_random::Random;

    use super::*;

    /// The best pair by counting all pairs anew.
    fn best_by_counting(words: &[(Vec<u32>, u64)]) -> Option<Pair> {
        let mut counts: HashMap<Pair, u64> = HashMap::new();
        for (pieces, count) in words {
            neighbours(pieces).for_each(|pair| *counts.entry(pair).or_default() += count);
        }
        let best = counts.into_iter().max_by_key(|(pair, count)| (*count, Reverse(*pair)))?;
        (best.1 >= MIN_COUNT).then_some(best.0)
    }

    #[test]
    fn a_pair_is_joined_from_left_to_right() {
        let mut pieces = vec![1, 1, 1, 2, 1, 1];
        join(&mut pieces, (1, 1), 9);
        assert_eq!(pieces, [9, 1, 2, 9]);
        join(&mut pieces, (9, 1), 10);
        assert_eq!(pieces, [10, 2, 9]);
        join(&mut pieces, (7, 7), 11);
        assert_eq!(pieces, [10, 2, 9]);
    }

    #[test]
    fn among_equal_counts_the_lowest_pair_is_first() {
        let mut merges = Merges::new(vec![(vec![3, 4], 2), (vec![1, 5], 2), (vec![1, 2], 1)]);
        assert_eq!(merges.best(), Some((1, 5)));
        merges.merge((1, 5), 9);
        assert_eq!(merges.best(), Some((3, 4)));
        merges.merge((3, 4), 10);
        assert_eq!(merges.best(), None);
    }

    #[test]
    fn every_merge_is_the_one_that_counting_anew_finds() {
        let mut random = Random::seeded(2);
        for _ in 0..100 {
            let n_kinds = 2 + random.below(4);
            let mut word = || {
                let pieces = (0..random.below(12)).map(|_| random.below(n_kinds) as u32).collect();
                (pieces, 1 + random.below(3) as u64)
            };
            let mut words: Vec<(Vec<u32>, u64)> = (0..20).map(|_| word()).collect();
            let mut merges = Merges::new(words.clone());
            for piece in 10.. {
                let best = merges.best();
                assert_eq!(best, best_by_counting(&words));
                let Some(pair) = best else { break };
                merges.merge(pair, piece);
                words.iter_mut().for_each(|(pieces, _)| join(pieces, pair, piece));
                assert_eq!(merges.words, words);
            }
        }
    }
}
