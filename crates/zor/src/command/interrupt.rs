//! Handling of Ctrl-C, SIGTERM and SIGHUP during training.
//!
//! Before the training starts, the first signal ends the program at once, since there is nothing to
//! save. After [`save_first`], the first signal makes the training save a checkpoint and stop, and
//! the second ends the program. Signals that are ignored when the program starts, as `nohup` does
//! with SIGHUP, stay ignored.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::training::run_folder::{self, RunState};
use crate::{Error, ErrorKind, Result};

static RUN: OnceLock<PathBuf> = OnceLock::new();
static SAVES: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Makes the first signal a request to stop, which [`asked`] returns, instead of ending the
/// program.
pub(super) fn save_first() {
    SAVES.store(true, Ordering::SeqCst);
}

/// Sets the run folder whose record is updated if the program ends early.
pub(super) fn note_in(folder: &Path) {
    let _ = RUN.set(folder.to_path_buf());
}

/// Records the end of the run in progress, if there is one. Errors are ignored: the program is
/// about to end.
pub(super) fn abandon(state: RunState, message: &str) {
    if let Some(folder) = RUN.get() {
        let _ = run_folder::abandon(folder, state, message);
    }
}

/// Whether the user asked to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Handles a signal.
fn answer() {
    if !SAVES.load(Ordering::SeqCst) {
        tell!("stopped: before the training started; nothing was written");
        std::process::exit(1);
    }
    if ASKED.swap(true, Ordering::SeqCst) {
        tell!("stopped: at the second request, without saving");
        abandon(RunState::Stopped, "at the second request, without saving");
        std::process::exit(1);
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Device, format!("cannot handle Ctrl-C: {error}"))
}

/// Starts to handle signals.
///
/// # Errors
/// When the signal handlers cannot be installed.
#[cfg(unix)]
pub(super) fn watch() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let mut signals = Signals::new(heard).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| answer()))
        .map_err(failed)?;
    Ok(())
}

/// Whether a signal is ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action, the call only writes the current one to `action`, which is a
    // valid pointer to zeroed memory of that type.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Starts to handle signals.
///
/// # Errors
/// When the signal handlers cannot be installed.
#[cfg(not(unix))]
pub(super) fn watch() -> Result<()> {
    ctrlc::set_handler(answer).map_err(failed)
}
