//! Batches made ahead of their use.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::batches::{Batches, Scratch};
use crate::examples::Batch;

/// Largest number of batches that are made ahead.
const MAX_AHEAD: usize = 1 << 10;

/// A thread that makes batches ahead of their use.
#[derive(Debug)]
pub struct Prefetch {
    ready: Option<Receiver<Batch>>,
    used: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Starts with the batch of a step, at most `ahead` batches, and never more than 1,024, before
    /// they are asked for. After the last step comes step 0.
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
