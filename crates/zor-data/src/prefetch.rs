//! Prefetching of batches on a thread.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::batches::{Batches, Scratch};
use crate::examples::Batch;

/// Maximum number of batches that are prefetched.
const MAX_AHEAD: usize = 1 << 10;

/// A thread that prepares batches before they are needed.
#[derive(Debug)]
pub struct Prefetch {
    ready: Option<Receiver<Batch>>,
    used: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Spawns the thread, which starts with the batch of `first_step` and prefetches up to `ahead`
    /// batches, at most 1,024. Step `u64::MAX` is followed by step 0.
    pub fn spawn(batches: Batches, first_step: u64, ahead: usize) -> Self {
        let (send, ready): (SyncSender<Batch>, _) = sync_channel(ahead.min(MAX_AHEAD));
        let (used, returned) = channel::<Batch>();
        let worker = std::thread::spawn(move || {
            let mut scratch = Scratch::default();
            let mut step = first_step;
            loop {
                let mut batch = returned.try_recv().unwrap_or_default();
                batches.fill_with(step, &mut batch, &mut scratch);
                if send.send(batch).is_err() {
                    // The receiver was dropped.
                    return;
                }
                step = step.wrapping_add(1);
            }
        });
        Self { ready: Some(ready), used, worker: Some(worker) }
    }

    /// Returns the next batch. Blocks until it is ready.
    #[allow(clippy::should_implement_trait, reason = "it never ends, and batches are recycled")]
    pub fn next(&mut self) -> Batch {
        let batch = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        batch.expect("the worker makes batches until this is dropped")
    }

    /// Gives a batch back so that its memory is reused.
    pub fn recycle(&self, batch: Batch) {
        // The worker has ended if this fails, and needs no memory.
        let _ = self.used.send(batch);
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // A closed channel ends a worker that is blocked on it.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
