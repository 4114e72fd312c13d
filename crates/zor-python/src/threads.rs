//! Computations: without the interpreter's lock, and in which threads.
//!
//! Rayon's global pool starts once per process, and its threads do not survive `fork`. A process
//! that asks for a number of threads, or is a fork, computes in a pool of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use numpy::PyArray1;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{input, of_kind};
use crate::exit;

/// The pool in place of the global one, if there is one.
static POOL: RwLock<Option<Arc<ThreadPool>>> = RwLock::new(None);
/// Maximum number of threads.
const MOST_THREADS: usize = 1024;

/// Returns the pool in place of the global one.
pub(crate) fn own_pool() -> Option<Arc<ThreadPool>> {
    POOL.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Starts threads and returns the pool that they replace; 0 threads are one per core.
fn start(threads: usize) -> PyResult<Option<Arc<ThreadPool>>> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| of_kind("device", format!("cannot start threads: {error}")))?;
    Ok(POOL.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(pool)))
}

/// Sets the number of threads of the computation.
#[pyfunction]
pub(crate) fn set_num_threads(py: Python<'_>, threads: usize) -> PyResult<()> {
    if !(1..=MOST_THREADS).contains(&threads) {
        return Err(input(format!(
            "the number of threads is {threads}; it must be from 1 to {MOST_THREADS}"
        )));
    }
    detached(py, || start(threads).map(drop))
}

/// Replaces threads that a fork of the process does not have.
#[pyfunction]
pub(crate) fn after_fork() -> PyResult<()> {
    let threads = own_pool().map_or(0, |pool| pool.current_num_threads());
    // Nothing may wait for threads that are gone.
    start(threads).map(std::mem::forget)
}

/// Loads what NumPy has for extensions, when the package is imported: later, a signal could
/// interrupt it.
#[pyfunction]
pub(crate) fn load_numpy(py: Python<'_>) {
    drop(PyArray1::<f32>::zeros(py, 0, false));
}

/// Runs a computation without the interpreter's lock. A panic becomes an exception.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> PyResult<T> + Send,
) -> PyResult<T> {
    let caught = py.detach(|| {
        let caught = catch_unwind(AssertUnwindSafe(work));
        exit::before_attach();
        caught
    });
    exit::attached();
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(of_kind(
            "internal",
            format!("internal error: {reason}; please report it with the code that led here"),
        ))
    })
}

/// Runs a computation in the process's threads. One that calls Python gets threads of its own where
/// the process has such a pool: the others must not wait for it.
///
/// Locks are taken before: a thread of a pool that waits for its work runs that of other calls.
pub(crate) fn in_pool<T: Send>(calls_python: bool, work: impl FnOnce() -> T + Send) -> T {
    let Some(pool) = own_pool() else { return work() };
    if !calls_python {
        return pool.install(work);
    }
    match ThreadPoolBuilder::new().num_threads(pool.current_num_threads()).build() {
        Ok(own) => own.install(work),
        Err(_) => pool.install(work),
    }
}

/// Runs a computation that takes no locks: without the interpreter's, in the process's threads.
pub(crate) fn compute<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> PyResult<T> + Send,
) -> PyResult<T> {
    detached(py, || in_pool(false, work))
}

/// Panics inside a computation. For the test that a panic is an exception.
#[pyfunction]
pub(crate) fn panic_for_tests(py: Python<'_>) -> PyResult<()> {
    compute(py, || panic!("a panic for tests"))
}
