//! Calls of networks that are in progress on a thread, and what their activation functions raised.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::PyErr;

/// Identity of a network in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64);

impl Identity {
    /// An identity that no other network has.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call in progress.
struct Call {
    network: Identity,
    /// The first exception of an activation function.
    raised: Option<PyErr>,
}

thread_local! {
    /// Calls in progress, the innermost last.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Ends the innermost call.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        CALLS.with_borrow_mut(|calls| drop(calls.pop()));
    }
}

/// Runs a call of a network on this thread.
pub(crate) fn run<T>(network: Identity, work: impl FnOnce() -> T) -> T {
    CALLS.with_borrow_mut(|calls| calls.push(Call { network, raised: None }));
    let _end = End;
    work()
}

/// Whether a call of this network is in progress on this thread.
pub(crate) fn is_running(network: Identity) -> bool {
    CALLS.with_borrow(|calls| calls.iter().any(|call| call.network == network))
}

/// Keeps an exception for the innermost call.
pub(crate) fn raise(error: PyErr) {
    CALLS.with_borrow_mut(|calls| {
        if let Some(call) = calls.last_mut() {
            call.raised.get_or_insert(error);
        }
    });
}

/// Takes the exception of the innermost call.
pub(crate) fn take_raised() -> Option<PyErr> {
    CALLS.with_borrow_mut(|calls| calls.last_mut().and_then(|call| call.raised.take()))
}

/// Whether the innermost call has an exception.
pub(crate) fn has_raised() -> bool {
    CALLS.with_borrow(|calls| calls.last().is_some_and(|call| call.raised.is_some()))
}
