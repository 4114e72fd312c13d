//! Temporary memory that each thread keeps for reuse.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls the task with `len` values of arbitrary contents.
pub(super) fn with_scratch<R>(len: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut memory = FREE.with_borrow_mut(|free| {
        // The smallest buffer that fits, else the largest, which then grows.
        let fits = (0..free.len()).filter(|&i| free[i].len() >= len).min_by_key(|&i| free[i].len());
        let index = fits.or_else(|| (0..free.len()).max_by_key(|&i| free[i].len()));
        index.map_or_else(Vec::new, |index| free.swap_remove(index))
    });
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    let result = task(&mut memory[..len]);
    FREE.with_borrow_mut(|free| free.push(memory));
    result
}
