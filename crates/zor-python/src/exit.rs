//! The end of the interpreter.
//!
//! A thread that asks for the interpreter's lock while the interpreter ends is ended inside that
//! call, through the frames of this module, which not every unwinder survives. Threads wait forever
//! instead: the process is about to end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

/// Maximum time that the end waits for threads that are taking the lock.
const LONGEST: Duration = Duration::from_secs(2);

struct State {
    /// The thread in which the interpreter ends.
    ending: Option<ThreadId>,
    /// Number of threads that are taking the interpreter's lock.
    attaching: usize,
}

static STATE: Mutex<State> = Mutex::new(State { ending: None, attaching: 0 });
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called before a thread takes the interpreter's lock. Does not return while the interpreter ends.
pub(crate) fn before_attach() {
    let mut state = state();
    if state.ending.is_some_and(|ending| ending != thread::current().id()) {
        drop(state);
        loop {
            thread::park();
        }
    }
    state.attaching += 1;
}

/// Called when the thread has the lock.
pub(crate) fn attached() {
    let mut state = state();
    state.attaching = state.attaching.saturating_sub(1);
    CHANGED.notify_all();
}

/// Runs a function with the interpreter's lock, from a computation without it.
pub(crate) fn attach<T>(work: impl FnOnce(Python<'_>) -> T) -> T {
    before_attach();
    Python::attach(|py| {
        attached();
        work(py)
    })
}

/// Lets no other thread take the interpreter's lock from now on. The interpreter calls it before it
/// ends.
#[pyfunction]
pub(crate) fn end(py: Python<'_>) {
    py.detach(|| {
        let mut state = state();
        state.ending = Some(thread::current().id());
        let waits = CHANGED.wait_timeout_while(state, LONGEST, |state| state.attaching > 0);
        drop(waits);
    });
}
