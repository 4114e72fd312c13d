//! Batches as a function of seed and step: any step can be made without the ones before it, so a run can be
//! prefetched, repeated, and resumed by its number.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use zor_random::Random;

use crate::augment::{Augment, Canvas};
use crate::dataset::Dataset;
use crate::error::{Error, Result, in_words};

/// Separates the uses of one seed.
const ORDER_STREAM: u64 = 1 << 62;
const IMAGE_STREAM: u64 = 1 << 63;
const SIDE_STREAM: u64 = (1 << 63) | (1 << 62);

/// Largest batch in bytes. Free memory is not checked here.
const LARGEST: u128 = 1 << 40;
/// Largest number of batches that are prefetched.
const MOST_AHEAD: usize = 1 << 10;

/// In which order images come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each image once an epoch, in an order that the seed and the epoch's number give. Batches run across epochs' ends.
    Shuffled,
    /// Each image drawn on its own.
    Random,
    /// As they are, from the start again after the end.
    Sequential,
    /// All images in every batch, as they are.
    Full,
}

/// Images of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Values in [0, 1]: `[rows, pixels]`.
    pub inputs: Vec<f32>,
    /// Classes, one for each row.
    pub labels: Vec<u8>,
    /// Number of images.
    pub rows: usize,
}

/// A plan of batches.
#[derive(Clone, Debug)]
pub struct Batches {
    set: Arc<Dataset>,
    rows: usize,
    order: Order,
    augment: Option<Augment>,
    seed: u64,
}

impl Batches {
    /// Batches of `rows` images (all of them when the order is full).
    ///
    /// # Errors
    /// When a batch or the set is empty, a batch is larger than 1 TiB, or the augmentation's settings make no sense.
    pub fn new(
        set: Arc<Dataset>,
        rows: usize,
        order: Order,
        augment: Option<Augment>,
        seed: u64,
    ) -> Result<Self> {
        if set.is_empty() {
            return Err(Error::input(format!("{}: there are no images", set.name())));
        }
        if rows == 0 {
            return Err(Error::input("the batch size is 0; it must be at least 1"));
        }
        if let Some(augment) = &augment {
            augment.check()?;
        }
        let rows = if order == Order::Full { set.len() } else { rows };
        let values = rows as u128 * set.shape().len() as u128;
        let bytes = values * size_of::<f32>() as u128;
        if bytes > LARGEST.min(isize::MAX as u128) {
            return Err(Error::input(format!(
                "a batch of {rows} images of {} values takes {}; at most {} are possible: lower the batch size",
                set.shape().len(),
                in_words(bytes),
                in_words(LARGEST)
            )));
        }
        Ok(Self { set, rows, order, augment, seed })
    }

    /// Images in a batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Makes the batch of a step, counted from 0, in the given memory.
    pub fn fill(&self, step: u64, batch: &mut Batch) {
        self.fill_with(step, batch, &mut Scratch::default());
    }

    fn fill_with(&self, step: u64, batch: &mut Batch, scratch: &mut Scratch) {
        let pixels = self.set.shape().len();
        batch.rows = self.rows;
        batch.inputs.resize(self.rows * pixels, 0.0);
        batch.labels.clear();
        let mut draw = Random::stream(self.seed, ORDER_STREAM ^ step);
        for (row, out) in batch.inputs.chunks_exact_mut(pixels).enumerate() {
            // The product wraps far beyond the steps of any run; any step number is valid.
            let number = step.wrapping_mul(self.rows as u64).wrapping_add(row as u64);
            let index = match self.order {
                Order::Random => draw.below(self.set.len()),
                Order::Sequential => (number % self.set.len() as u64) as usize,
                Order::Full => row,
                Order::Shuffled => scratch.shuffled(self, number),
            };
            batch.labels.push(self.set.label(index));
            match &self.augment {
                Some(augment) => {
                    let mut random = Random::stream(self.seed, IMAGE_STREAM ^ number);
                    let mirrored = augment.alternate.then(|| self.side(index, number));
                    augment.apply(
                        &self.set,
                        index,
                        mirrored,
                        &mut random,
                        out,
                        &mut scratch.canvas,
                    );
                }
                None => {
                    for (out, value) in out.iter_mut().zip(self.set.image(index)) {
                        *out = f32::from(*value) / 255.0;
                    }
                }
            }
        }
    }

    /// Whether an image is mirrored in the epoch of a number: by chance in the first, then every other time.
    fn side(&self, index: usize, number: u64) -> bool {
        let first = Random::stream(self.seed, SIDE_STREAM ^ index as u64).chance(0.5);
        first ^ (number / self.set.len() as u64 % 2 == 1)
    }
}

/// What making batches one after another uses again.
#[derive(Debug, Default)]
struct Scratch {
    canvas: Canvas,
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl Scratch {
    /// The image of a number, counted over all epochs.
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
}

/// A thread that makes batches ahead of their use: the same ones, sooner.
#[derive(Debug)]
pub struct Prefetch {
    ready: Option<Receiver<Batch>>,
    used: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Starts with the batch of a step, at most `ahead` batches, and never more than 1,024, before they are asked for. After the last
    /// step comes step 0.
    pub fn spawn(batches: Batches, first_step: u64, ahead: usize) -> Self {
        let (send, ready): (SyncSender<Batch>, _) = sync_channel(ahead.min(MOST_AHEAD));
        let (used, returned) = channel::<Batch>();
        let worker = std::thread::spawn(move || {
            let mut scratch = Scratch::default();
            let mut step = first_step;
            loop {
                let mut batch = returned.try_recv().unwrap_or_default();
                batches.fill_with(step, &mut batch, &mut scratch);
                if send.send(batch).is_err() {
                    // Nobody takes batches any longer.
                    return;
                }
                step = step.wrapping_add(1);
            }
        });
        Self { ready: Some(ready), used, worker: Some(worker) }
    }

    /// The next batch; waits until it is made.
    #[allow(clippy::should_implement_trait, reason = "it never ends, and takes batches back")]
    pub fn next(&mut self) -> Batch {
        let batch = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        batch.expect("the worker makes batches until this is dropped")
    }

    /// Returns a batch whose memory can be used again.
    pub fn recycle(&self, batch: Batch) {
        // A worker that has ended needs no memory.
        let _ = self.used.send(batch);
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Closing the channel ends the worker's wait.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::numbered;

    fn plan(rows: usize, order: Order, augment: Option<Augment>) -> Batches {
        Batches::new(Arc::new(numbered(7)), rows, order, augment, 5).unwrap()
    }

    /// Which images a batch holds, told by their first values.
    fn indices(plan: &Batches, step: u64) -> Vec<usize> {
        let mut batch = Batch::default();
        plan.fill(step, &mut batch);
        assert_eq!((batch.rows, batch.labels.len()), (plan.rows(), plan.rows()));
        batch.inputs.chunks(6).map(|image| (image[0] * 25.5).round() as usize).collect()
    }

    #[test]
    fn each_order_gives_its_images() {
        let sequential = plan(3, Order::Sequential, None);
        assert_eq!([indices(&sequential, 0), indices(&sequential, 2)], [[0, 1, 2], [6, 0, 1]]);
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
    fn alternate_flips_show_each_image_from_either_side_in_turn() {
        let flips = Augment { alternate: true, ..Augment::shifts_and_flips(0) };
        let plan = plan(7, Order::Shuffled, Some(flips));
        let sides = |step| {
            let mut batch = Batch::default();
            plan.fill(step, &mut batch);
            let mut sides = [false; 7];
            for image in batch.inputs.chunks(6) {
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
        let make = |set: Dataset, rows| Batches::new(Arc::new(set), rows, Order::Random, None, 0);
        assert!(make(numbered(7), 0).unwrap_err().to_string().contains("batch size is 0"));
        let empty = numbered(7).range(0..0).unwrap();
        assert!(make(empty, 3).unwrap_err().to_string().contains("no images"));
    }

    #[test]
    fn batches_larger_than_all_memory_are_refused() {
        for rows in [usize::MAX, (1 << 62) + 1, 1 << 38] {
            for order in [Order::Random, Order::Shuffled, Order::Sequential] {
                let error = Batches::new(Arc::new(numbered(7)), rows, order, None, 0).unwrap_err();
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
        for order in [Order::Shuffled, Order::Random, Order::Sequential, Order::Full] {
            let plan =
                plan(12, order, Some(Augment { alternate: true, ..Augment::shifts_and_flips(1) }));
            let mut batch = Batch::default();
            for step in [u64::MAX / 12, u64::MAX / 12 + 1, u64::MAX] {
                plan.fill(step, &mut batch);
                assert_eq!(batch.labels.len(), plan.rows());
            }
            let mut prefetch = Prefetch::spawn(plan.clone(), u64::MAX - 1, usize::MAX);
            for step in [u64::MAX - 1, u64::MAX, 0, 1] {
                plan.fill(step, &mut batch);
                assert_eq!(prefetch.next(), batch, "step {step}");
            }
        }
    }
}
