//! Batches as a function of seed and step. Any step can be computed without the ones before it, so
//! a training can be prefetched, repeated, and resumed at any step.

use std::sync::Arc;

use zor_random::Random;

use crate::error::{Error, Result, in_words};
use crate::examples::{Batch, Draw, Examples, classes_to_balance};
use crate::text::LengthBatches;

/// Bit that separates the random streams of orders from other uses of the seed.
const ORDER_STREAM: u64 = 1 << 62;

/// Maximum size of a batch in bytes. Free memory is not checked here.
const MAX_BYTES: u128 = 1 << 40;

/// Order of the examples in a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each example once per epoch, in an order that depends on seed and epoch. A batch may span
    /// the end of an epoch.
    Shuffled,
    /// Examples drawn independently, with replacement.
    Random,
    /// All examples in every batch (full batch), in the order of the data set.
    Full,
    /// The classes in turn, so that all are drawn equally often. The examples of each class are
    /// shuffled by the seed and the number of times that the class has been exhausted.
    Balanced,
}

/// The sequence of batches of a training.
#[derive(Clone, Debug)]
pub struct Batches {
    set: Arc<dyn Examples>,
    rows: usize,
    order: Order,
    seed: u64,
    /// Indices of the examples of each class, for the balanced order.
    classes: Arc<[Vec<usize>]>,
    /// Batches of sequences.
    sequences: Option<Arc<LengthBatches>>,
}

impl Batches {
    /// Batches of `rows` examples. [`Order::Full`] ignores `rows`. For sequences
    /// ([`Examples::lengths`]) `rows` is a number of tokens: batches are sentences of similar
    /// lengths, and each epoch has each sentence once, whatever the order.
    ///
    /// # Errors
    /// When the data set or the batch is empty, a batch is larger than 1 TiB, or the order is
    /// balanced and the data set has no classes.
    pub fn new(
        set: impl Into<Arc<dyn Examples>>,
        rows: usize,
        order: Order,
        seed: u64,
    ) -> Result<Self> {
        let set = set.into();
        if set.is_empty() {
            return Err(Error::input(format!("{}: there are no examples", set.name())));
        }
        if rows == 0 {
            return Err(Error::input("the batch size is 0; it must be at least 1"));
        }
        let rows = if order == Order::Full { set.len() } else { rows };
        let values: u128 = set.input_shape().iter().map(|&size| size as u128).product();
        let bytes = (rows as u128).saturating_mul(values).saturating_mul(size_of::<f32>() as u128);
        if bytes > MAX_BYTES.min(isize::MAX as u128) {
            return Err(Error::input(format!(
                "a batch of {rows} examples of {values} values takes {}; the maximum is {}: lower the batch size",
                in_words(bytes),
                in_words(MAX_BYTES)
            )));
        }
        let mut classes = match order {
            Order::Balanced => classes_to_balance(&*set)?,
            _ => Vec::new(),
        };
        classes.retain(|class| !class.is_empty());
        let sequences = match set.lengths() {
            Some(lengths) => Some(Arc::new(LengthBatches::new(&lengths, rows, seed)?)),
            None => None,
        };
        Ok(Self { set, rows, order, seed, classes: classes.into(), sequences })
    }

    /// Batch size: number of examples in a batch, or of tokens for sequences.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Fills a batch with the examples of a step, counted from 0. Its memory is reused.
    pub fn fill(&self, step: u64, batch: &mut Batch) {
        self.fill_with(step, batch, &mut Scratch::default());
    }

    pub(crate) fn fill_with(&self, step: u64, batch: &mut Batch, scratch: &mut Scratch) {
        if let Some(sequences) = &self.sequences {
            let (epoch, place) = sequences.place(step);
            if scratch.epoch != Some(epoch) {
                scratch.batches = sequences.epoch(epoch);
                scratch.epoch = Some(epoch);
            }
            let indices = &scratch.batches[place];
            let first = step.wrapping_mul(sequences.largest() as u64);
            batch.weights.clear();
            self.set.fill(&Draw { indices, first, seed: self.seed }, batch);
            return;
        }
        let mut random = Random::stream(self.seed, ORDER_STREAM ^ step);
        // Any step number is valid; the multiplication wraps far beyond the steps of any training.
        let first = step.wrapping_mul(self.rows as u64);
        let mut indices = std::mem::take(&mut scratch.indices);
        indices.clear();
        indices.extend((0..self.rows).map(|row| {
            let number = first.wrapping_add(row as u64);
            match self.order {
                Order::Random => random.below(self.set.len()),
                Order::Full => row,
                Order::Shuffled => scratch.shuffled(self, number),
                Order::Balanced => scratch.balanced(self, number),
            }
        }));
        batch.weights.clear();
        self.set.fill(&Draw { indices: &indices, first, seed: self.seed }, batch);
        scratch.indices = indices;
    }
}

/// Buffers that are reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    indices: Vec<usize>,
    epoch: Option<u64>,
    order: Vec<usize>,
    /// Batches of sequences of the epoch.
    batches: Vec<Vec<usize>>,
    /// Epoch and shuffled indices of each class.
    classes: Vec<(Option<u64>, Vec<usize>)>,
}

impl Scratch {
    /// Returns the index of the example at a position, counted over all epochs.
    fn shuffled(&mut self, plan: &Batches, number: u64) -> usize {
        let n = plan.set.len() as u64;
        let epoch = number / n;
        if self.epoch != Some(epoch) {
            self.order.clear();
            self.order.extend(0..plan.set.len());
            Random::stream(plan.seed, ORDER_STREAM | (1 << 61) ^ epoch).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        self.order[(number % n) as usize]
    }

    /// Returns the index of the example at a position, for the balanced order.
    fn balanced(&mut self, plan: &Batches, number: u64) -> usize {
        /// Bit that separates the random streams of classes from other orders.
        const CLASS_STREAM: u64 = 1 << 60;
        let n_classes = plan.classes.len() as u64;
        let class = (number % n_classes) as usize;
        let members = &plan.classes[class];
        let occurrence = number / n_classes;
        let epoch = occurrence / members.len() as u64;
        self.classes.resize(plan.classes.len(), (None, Vec::new()));
        let (known, order) = &mut self.classes[class];
        if *known != Some(epoch) {
            order.clone_from(members);
            let stream = ORDER_STREAM | CLASS_STREAM ^ ((class as u64) << 36) ^ epoch;
            Random::stream(plan.seed, stream).shuffle(order);
            *known = Some(epoch);
        }
        order[(occurrence % members.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::Values;
    use crate::in_memory::InMemory;
    use crate::prefetch::Prefetch;
    use crate::vision::images::tests::numbered;
    use crate::vision::{Augment, Augmented, Images};

    fn plan(rows: usize, order: Order, augment: Option<Augment>) -> Batches {
        let images = Arc::new(numbered(7));
        let set: Arc<dyn Examples> = match augment {
            Some(augment) => Arc::new(Augmented::new(images, augment).unwrap()),
            None => images,
        };
        Batches::new(set, rows, order, 5).unwrap()
    }

    /// Indices of the images in a batch, decoded from their first values.
    fn indices(plan: &Batches, step: u64) -> Vec<usize> {
        let mut batch = Batch::default();
        plan.fill(step, &mut batch);
        assert_eq!((batch.rows, batch.targets.integers().len()), (plan.rows(), plan.rows()));
        batch.inputs.numbers().chunks(6).map(|image| (image[0] * 25.5).round() as usize).collect()
    }

    #[test]
    fn each_order_gives_its_images() {
        assert_eq!(indices(&plan(3, Order::Full, None), 9), [0, 1, 2, 3, 4, 5, 6]);
        let random = plan(3, Order::Random, None);
        assert_ne!(indices(&random, 0), indices(&random, 1));
        assert_eq!(indices(&random, 1), indices(&random, 1));
    }

    #[test]
    fn a_shuffled_epoch_has_every_image_once() {
        let shuffled = plan(3, Order::Shuffled, None);
        let mut seen: Vec<usize> = (0..7).flat_map(|step| indices(&shuffled, step)).collect();
        assert_ne!(seen[..7], seen[7..14]);
        for epoch in seen.chunks_mut(7) {
            epoch.sort_unstable();
            assert_eq!(epoch, [0, 1, 2, 3, 4, 5, 6]);
        }
        let larger = plan(16, Order::Shuffled, None);
        assert_eq!(indices(&larger, 0).len(), 16);
    }

    #[test]
    fn balanced_classes_take_turns_and_each_shows_all_its_examples() {
        let labels = Values::Integers(vec![0, 0, 0, 0, 0, 2]);
        let set = InMemory::new("t", &[1], (0..6).map(|i| i as f32).collect(), labels).unwrap();
        let plan = Batches::new(set, 10, Order::Balanced, 5).unwrap();
        let mut batch = Batch::default();
        plan.fill(0, &mut batch);
        assert_eq!(batch.targets.integers(), [0, 2, 0, 2, 0, 2, 0, 2, 0, 2]);
        let mut first: Vec<f32> = batch.inputs.numbers().iter().copied().step_by(2).collect();
        plan.fill(1, &mut batch);
        let second: Vec<f32> = batch.inputs.numbers().iter().copied().step_by(2).collect();
        assert_ne!(first, second, "another epoch has another order");
        first.sort_by(f32::total_cmp);
        assert_eq!(first, [0.0, 1.0, 2.0, 3.0, 4.0]);
        let without = InMemory::new("t", &[1], vec![0.0], Values::default()).unwrap();
        let error = Batches::new(without, 1, Order::Balanced, 5).unwrap_err();
        assert!(error.to_string().contains("no classes to balance"), "{error}");
    }

    #[test]
    fn alternate_flips_show_each_image_from_either_side_in_turn() {
        let flips = Augment { alternate: true, ..Augment::shifts_and_flips(0) };
        let plan = plan(7, Order::Shuffled, Some(flips));
        let sides = |step| {
            let mut batch = Batch::default();
            plan.fill(step, &mut batch);
            let mut sides = [false; 7];
            for image in batch.inputs.numbers().chunks(6) {
                sides[(image[0] * 25.5) as usize] = image[0] > image[2];
            }
            sides
        };
        let first = sides(0);
        assert!(first.contains(&true) && first.contains(&false), "{first:?}");
        assert_eq!(sides(1), first.map(|side| !side));
        assert_eq!(sides(2), first);
    }

    #[test]
    fn prefetched_batches_are_the_same_from_any_step() {
        let plan = plan(3, Order::Shuffled, Some(Augment::shifts_and_flips(1)));
        for first in [0, 4] {
            let mut prefetch = Prefetch::spawn(plan.clone(), first, 2);
            for step in first..first + 9 {
                let mut expected = Batch::default();
                plan.fill(step, &mut expected);
                let batch = prefetch.next();
                assert_eq!(batch, expected, "step {step}");
                prefetch.recycle(batch);
            }
        }
    }

    #[test]
    fn empty_batches_and_sets_are_refused() {
        let make = |set: Images, rows| Batches::new(set, rows, Order::Random, 0);
        assert!(make(numbered(7), 0).unwrap_err().to_string().contains("batch size is 0"));
        let empty = numbered(7).range(0..0).unwrap();
        assert!(make(empty, 3).unwrap_err().to_string().contains("no examples"));
    }

    #[test]
    fn batches_larger_than_all_memory_are_refused() {
        for rows in [usize::MAX, (1 << 62) + 1, 1 << 38] {
            for order in [Order::Random, Order::Shuffled] {
                let error = Batches::new(numbered(7), rows, order, 0).unwrap_err();
                let message = error.to_string();
                assert!(message.contains(&rows.to_string()), "{message}");
                assert!(
                    message.contains("1.1 TB") && message.contains("lower the batch size"),
                    "{message}"
                );
            }
        }
        // A full batch ignores the requested size.
        assert_eq!(plan(usize::MAX, Order::Full, None).rows(), 7);
    }

    #[test]
    fn steps_may_have_any_number() {
        for order in [Order::Shuffled, Order::Random, Order::Full, Order::Balanced] {
            let plan =
                plan(12, order, Some(Augment { alternate: true, ..Augment::shifts_and_flips(1) }));
            let mut batch = Batch::default();
            for step in [u64::MAX / 12, u64::MAX / 12 + 1, u64::MAX] {
                plan.fill(step, &mut batch);
                assert_eq!(batch.targets.integers().len(), plan.rows());
            }
            let mut prefetch = Prefetch::spawn(plan.clone(), u64::MAX - 1, usize::MAX);
            for step in [u64::MAX - 1, u64::MAX, 0, 1] {
                plan.fill(step, &mut batch);
                assert_eq!(prefetch.next(), batch, "step {step}");
            }
        }
    }
}
