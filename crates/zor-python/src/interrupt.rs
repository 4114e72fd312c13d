//! Ctrl-C during a computation.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::exit;

/// Time between two looks at the interpreter's signals. The lock is not worth taking at every step.
const BETWEEN: Duration = Duration::from_millis(20);

/// The interpreter's signals, looked at now and then.
#[derive(Default)]
pub(crate) struct Signals(Option<Instant>);

impl Signals {
    /// Runs the handlers of signals that have arrived, and then `more`, at most fifty times a
    /// second. In a thread that is not the main one, signals are not seen.
    ///
    /// # Errors
    /// The exception of a handler, such as `KeyboardInterrupt`, or of `more`.
    pub(crate) fn check(&mut self, more: impl FnOnce(Python<'_>) -> PyResult<()>) -> PyResult<()> {
        if self.0.is_some_and(|last| last.elapsed() < BETWEEN) {
            return Ok(());
        }
        let heard = exit::attach(|py| py.check_signals().and_then(|()| more(py)));
        self.0 = Some(Instant::now());
        heard
    }
}
