//! Ctrl-C, SIGTERM and SIGHUP while a training runs.
//!
//! Before the training starts, the first of them ends the program at once: there is nothing to
//! save. From [`save_first`] on the first is a request that the training answers, and the second
//! ends the program. A signal that is ignored when the program starts, as `nohup` does with SIGHUP,
//! stays ignored.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::training::run_folder::{self, RunState};
use crate::{Error, ErrorKind, Result};

static RUN: OnceLock<PathBuf> = OnceLock::new();
static SAVES: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first signal is a request; [`asked`] tells of it.
pub(super) fn save_first() {
    SAVES.store(true, Ordering::SeqCst);
}

/// From now on an end of the program without warning is noted in the record of the run in this
/// folder.
pub(super) fn note_in(folder: &Path) {
    let _ = RUN.set(folder.to_path_buf());
}

/// Notes the end of a run, if one is under way. Nothing more can be done where the note cannot be
/// written.
pub(super) fn abandon(state: RunState, message: &str) {
    if let Some(folder) = RUN.get() {
        let _ = run_folder::abandon(folder, state, message);
    }
}

/// Whether the user asked for an end.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The answer to a signal.
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
    Error::new(ErrorKind::Device, format!("cannot watch for Ctrl-C: {error}"))
}

/// Starts to watch.
///
/// # Errors
/// When the system refuses.
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
    // SAFETY: without a new action the call only writes the present one to `action`, which is valid
    // for it, all zeros included.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Starts to watch.
///
/// # Errors
/// When the system refuses.
#[cfg(not(unix))]
pub(super) fn watch() -> Result<()> {
    ctrlc::set_handler(answer).map_err(failed)
}
