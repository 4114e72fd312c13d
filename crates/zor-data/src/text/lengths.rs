//! Batches of sentences with similar lengths, as a function of seed and epoch.
//!
//! A device that pads a batch to its longest sentence computes little in vain then.

use std::ops::Range;

use zor_random::Random;

use crate::error::{Error, Result};

/// Bits that separate the random streams of these batches from other uses of the seed.
const LENGTHS_STREAM: u64 = (1 << 62) | (1 << 59);
/// Lengths from n to n + n / `SPREAD` are similar.
const SPREAD: usize = 8;

/// Batches of sentences with similar lengths. Each epoch has each sentence once.
///
/// The sentences are sorted by length into groups. The sentences of a group differ in length by an
/// eighth at most, and are shuffled in each epoch. The sorted sentences are cut into batches, whose
/// sizes are those of every epoch. The order of the batches is shuffled in each epoch too.
///
/// Any batch can be made without the ones before it, so a training can be resumed at any step.
#[derive(Clone, Debug)]
pub struct LengthBatches {
    /// Indices of the sentences, sorted by length.
    sorted: Vec<usize>,
    /// Ranges of `sorted` with similar lengths.
    groups: Vec<Range<usize>>,
    /// Ranges of `sorted` that are batches.
    batches: Vec<Range<usize>>,
    seed: u64,
}

impl LengthBatches {
    /// Batches of sentences with the given lengths, in tokens. For pairs, the length is the one of
    /// the longer side. A batch has at most `tokens` tokens with its padding, unless it is a single
    /// longer sentence.
    ///
    /// # Errors
    /// When there are no sentences, or `tokens` is 0.
    pub fn new(lengths: &[usize], tokens: usize, seed: u64) -> Result<Self> {
        if lengths.is_empty() {
            return Err(Error::input("there are no sentences to make batches of"));
        }
        if tokens == 0 {
            return Err(Error::input("the batch size is 0 tokens; it must be at least 1"));
        }
        let mut sorted: Vec<usize> = (0..lengths.len()).collect();
        sorted.sort_by_key(|&index| lengths[index]);
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut batches: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        while start < sorted.len() {
            let shortest = lengths[sorted[start]];
            let longest = shortest.saturating_add(shortest / SPREAD);
            let n = sorted[start..].partition_point(|&index| lengths[index] <= longest);
            let group = start..start + n;
            start = group.end;
            // A batch counts the longest sentence of the group, wherever the shuffle puts it.
            let longest = lengths[sorted[group.end - 1]].max(1);
            for place in group.clone() {
                match batches.last_mut() {
                    Some(last) if (last.len() + 1).saturating_mul(longest) <= tokens => {
                        last.end = place + 1;
                    }
                    _ => batches.push(place..place + 1),
                }
            }
            groups.push(group);
        }
        Ok(Self { sorted, groups, batches, seed })
    }

    /// Number of batches in an epoch.
    pub fn per_epoch(&self) -> usize {
        self.batches.len()
    }

    /// Number of sentences of the largest batch.
    pub fn largest(&self) -> usize {
        self.batches.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Returns epoch and place of the batch of a step, counted from 0 over all epochs.
    pub fn place(&self, step: u64) -> (u64, usize) {
        let n_batches = self.batches.len() as u64;
        (step / n_batches, (step % n_batches) as usize)
    }

    /// Returns the batches of an epoch, counted from 0, in their order. Each is a list of indices.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let (sentences, order) = self.shuffled(epoch);
        order.into_iter().map(|batch| sentences[self.batches[batch].clone()].to_vec()).collect()
    }

    /// Returns the batch of a step, counted from 0 over all epochs. This takes the time of an epoch
    /// of shuffling; [`LengthBatches::epoch`] makes all batches of an epoch in that time.
    pub fn batch(&self, step: u64) -> Vec<usize> {
        let (epoch, place) = self.place(step);
        let (sentences, order) = self.shuffled(epoch);
        sentences[self.batches[order[place]].clone()].to_vec()
    }

    /// Returns the sentences of an epoch, shuffled in their groups, and the order of the batches.
    fn shuffled(&self, epoch: u64) -> (Vec<usize>, Vec<usize>) {
        let mut random = Random::stream(self.seed, LENGTHS_STREAM ^ epoch);
        let mut sentences = self.sorted.clone();
        for group in &self.groups {
            random.shuffle(&mut sentences[group.clone()]);
        }
        let mut order: Vec<usize> = (0..self.batches.len()).collect();
        random.shuffle(&mut order);
        (sentences, order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths like those of a corpus: most are short, a few are long.
    fn lengths(n: usize) -> Vec<usize> {
        let mut random = Random::seeded(4);
        (0..n).map(|_| (20.0 * (0.7 * random.normal()).exp()) as usize).collect()
    }

    #[test]
    fn an_epoch_has_every_sentence_once() {
        let lengths = lengths(2_000);
        let batches = LengthBatches::new(&lengths, 300, 7).unwrap();
        for epoch in [0, 1, u64::MAX] {
            let mut seen: Vec<usize> = batches.epoch(epoch).concat();
            assert_ne!(seen, (0..2_000).collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn batches_are_full_and_have_little_padding() {
        let lengths = lengths(2_000);
        let batches = LengthBatches::new(&lengths, 1_000, 7).unwrap().epoch(3);
        let padded = |batch: &Vec<usize>| {
            batch.len() * batch.iter().map(|&index| lengths[index]).max().unwrap()
        };
        assert!(batches.iter().all(|batch| padded(batch) <= 1_000));
        let total: usize = batches.iter().map(padded).sum();
        assert!(total > 800 * batches.len());
        assert!((total as f64) < 1.1 * lengths.iter().sum::<usize>() as f64);
    }

    #[test]
    fn any_batch_can_be_made_anew_from_seed_and_step() {
        let lengths = lengths(500);
        let batches = LengthBatches::new(&lengths, 200, 1).unwrap();
        let again = LengthBatches::new(&lengths, 200, 1).unwrap();
        let n_batches = batches.per_epoch();
        for epoch in 0..3 {
            let all = batches.epoch(epoch);
            assert_eq!(all.len(), n_batches);
            for place in [0, n_batches / 2, n_batches - 1] {
                let step = epoch * n_batches as u64 + place as u64;
                assert_eq!(again.batch(step), all[place]);
            }
        }
    }

    #[test]
    fn epochs_and_seeds_have_other_batches_in_another_order() {
        let lengths = lengths(500);
        let batches = LengthBatches::new(&lengths, 200, 1).unwrap();
        let mut members: Vec<Vec<Vec<usize>>> = (0..2).map(|epoch| batches.epoch(epoch)).collect();
        assert_ne!(members[0], members[1]);
        assert_ne!(members[0], LengthBatches::new(&lengths, 200, 2).unwrap().epoch(0));
        // The lengths of the first batches are in no order.
        let first: Vec<usize> = members[0].iter().map(|batch| lengths[batch[0]]).collect();
        assert!(!first.is_sorted());
        for batches in &mut members {
            batches.iter_mut().for_each(|batch| batch.sort_unstable());
            batches.sort_unstable();
        }
        assert_ne!(members[0], members[1]);
    }

    #[test]
    fn a_sentence_longer_than_a_batch_is_alone() {
        let batches = LengthBatches::new(&[5, 100, 0, 5, 100], 12, 1).unwrap();
        let members = batches.epoch(0);
        assert!(members.contains(&vec![1]) && members.contains(&vec![4]));
        assert_eq!((members.len(), members.concat().len()), (4, 5));
    }

    #[test]
    fn extreme_lengths_are_no_overflow() {
        let batches = LengthBatches::new(&[usize::MAX, 0, usize::MAX, 0], usize::MAX, 1).unwrap();
        assert_eq!(batches.epoch(0).concat().len(), 4);
    }

    #[test]
    fn nothing_to_make_batches_of_is_refused() {
        assert!(LengthBatches::new(&[], 5, 1).unwrap_err().to_string().contains("no sentences"));
        assert!(LengthBatches::new(&[1], 0, 1).unwrap_err().to_string().contains("0 tokens"));
    }
}
