//! An error message instead of an abort when memory runs out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering};

/// The system allocator, which exits with a message and code 1 when an allocation fails. Use it as
/// the `#[global_allocator]` of a program that calls [`crate::command()`].
#[derive(Clone, Copy, Debug)]
pub struct MessageWhenOutOfMemory;

/// Activity of the program, for the error message.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Anything else.
    Other,
    /// Reading data.
    Data,
    /// Building a network.
    Network,
    /// Training.
    Training,
}

static PURPOSE: AtomicU8 = AtomicU8::new(Purpose::Other as u8);

/// Sets the current activity.
pub(super) fn set_purpose(purpose: Purpose) {
    PURPOSE.store(purpose as u8, Ordering::Relaxed);
}

/// Prints the error and exits.
#[cold]
fn end(bytes: usize) -> ! {
    use std::io::Write;
    const DATA: u8 = Purpose::Data as u8;
    const NETWORK: u8 = Purpose::Network as u8;
    const TRAINING: u8 = Purpose::Training as u8;
    let (work, remedy) = match PURPOSE.load(Ordering::Relaxed) {
        DATA => ("reading the data", "use fewer or smaller examples"),
        NETWORK => (
            "building the network",
            "use smaller images (--resize) or a smaller network (--hidden)",
        ),
        TRAINING => (
            "training",
            "use smaller batches (--batch), smaller images or a smaller network; --resume resumes from the last checkpoint",
        ),
        _ => ("this command", "close other programs, or use smaller inputs"),
    };
    // This does not allocate.
    let _ = writeln!(
        std::io::stderr(),
        "error: out of memory: {work} needs {:.1} MB more, which the system does not have; {remedy}",
        bytes as f64 / 1e6
    );
    std::process::exit(1);
}

// SAFETY: every call is forwarded to the system allocator, and its result is returned unless it is
// null.
unsafe impl GlobalAlloc for MessageWhenOutOfMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method.
        let found = unsafe { System.alloc(layout) };
        if found.is_null() { end(layout.size()) } else { found }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method.
        let found = unsafe { System.alloc_zeroed(layout) };
        if found.is_null() { end(layout.size()) } else { found }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the contract of this method.
        let found = unsafe { System.realloc(place, layout, size) };
        if found.is_null() { end(size) } else { found }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of this method.
        unsafe { System.dealloc(place, layout) }
    }
}
