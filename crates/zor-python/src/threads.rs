//! Computations: without the interpreter's lock, and in which threads.
//!
//! Rayon's global pool starts once per process, and its threads do not survive `fork`. A process
//! that asks for a number of threads, or is a fork, computes in a pool of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{input, of_kind};

/// The pool in place of the global one, if there is one.
static POOL: RwLock<Option<Arc<ThreadPool>>> = RwLock::new(None);

/// Starts a pool; 0 threads are one per core.
fn start(threads: usize) -> PyResult<()> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| of_kind("device", format!("cannot start threads: {error}")))?;
    let mut place = POOL.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(old) = place.replace(Arc::new(pool)) {
        // The threads of a pool from before a fork are gone: nothing may wait for them.
        std::mem::forget(old);
    }
    Ok(())
}

/// Sets the number of threads of the computation.
#[pyfunction]
pub(crate) fn set_num_threads(threads: usize) -> PyResult<()> {
    if threads == 0 {
        return Err(input("the number of threads is 0; it must be at least 1"));
    }
    start(threads)
}

/// Replaces threads that a fork of the process does not have.
#[pyfunction]
pub(crate) fn after_fork() -> PyResult<()> {
    let pool = POOL.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    start(pool.map_or(0, |pool| pool.current_num_threads()))
}

/// Runs a computation without the interpreter's lock. A panic becomes an exception.
pub(crate) fn compute<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> PyResult<T> + Send,
) -> PyResult<T> {
    let caught = py.detach(|| catch_unwind(AssertUnwindSafe(|| run(work))));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(of_kind(
            "internal",
            format!("internal error: {reason}; please report it with the code that led here"),
        ))
    })
}

/// Panics inside a computation. For the test that a panic is an exception.
#[pyfunction]
pub(crate) fn panic_for_tests(py: Python<'_>) -> PyResult<()> {
    compute(py, || panic!("a panic for tests"))
}

/// Runs a computation in the process's pool.
fn run<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = POOL.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}
