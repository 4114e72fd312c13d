//! Ctrl-C during a computation.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rayon::ThreadPool;

use crate::exit;
use crate::threads::{detached, own_pool};

/// Time between two looks at the interpreter's signals. The lock is not worth taking at every step.
const BETWEEN: Duration = Duration::from_millis(20);

/// The exception of a signal that arrived in the thread of the call.
type Heard = Mutex<Option<PyErr>>;

/// The interpreter's signals, looked at now and then.
pub(crate) struct Signals<'a> {
    last: Option<Instant>,
    /// `None` where the computation runs in the thread of the call.
    heard: Option<&'a Heard>,
}

impl Signals<'_> {
    /// Runs the handlers of signals that have arrived, and then `more`, at most fifty times a
    /// second. Signals are seen if the call came from the main thread.
    ///
    /// # Errors
    /// The exception of a handler, such as `KeyboardInterrupt`, or of `more`.
    pub(crate) fn check(&mut self, more: impl FnOnce(Python<'_>) -> PyResult<()>) -> PyResult<()> {
        if self.last.is_some_and(|last| last.elapsed() < BETWEEN) {
            return Ok(());
        }
        if let Some(error) = self.heard.and_then(take) {
            return Err(error);
        }
        let heard = exit::attach(|py| py.check_signals().and_then(|()| more(py)));
        self.last = Some(Instant::now());
        heard
    }
}

fn take(heard: &Heard) -> Option<PyErr> {
    heard.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Runs a computation that takes no locks and looks at signals: without the interpreter's lock, in
/// the process's threads.
pub(crate) fn compute_heard<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Signals<'_>) -> PyResult<T> + Send,
) -> PyResult<T> {
    detached(py, || match own_pool() {
        None => work(Signals { last: None, heard: None }),
        Some(pool) => in_threads_of(&pool, work),
    })
}

/// Runs a computation in a pool. The thread of the call looks at signals, which no other thread
/// sees.
fn in_threads_of<T: Send>(
    pool: &ThreadPool,
    work: impl FnOnce(Signals<'_>) -> PyResult<T> + Send,
) -> PyResult<T> {
    let heard = Heard::default();
    let (running, end) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        let computation = scope.spawn(|| {
            let _running = running;
            pool.install(|| work(Signals { last: None, heard: Some(&heard) }))
        });
        while end.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = exit::attach(|py| py.check_signals()) {
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
        computation.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    take(&heard).map_or(result, Err)
}
