//! Threads of the computation.
//!
//! Rayon's global pool starts once per process, and its threads do not survive `fork`. A process
//! that asks for a number of threads, or is a fork, computes in a pool of its own.

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

/// Runs a computation in the process's pool.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = POOL.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}
