//! Everything of Zor that parses bytes, fed with mutations of sound files.
//!
//! `cargo run -p zor-fuzz -- --executions N [--target NAME] [--seed N]` looks for input that makes
//! a parser panic, or allocate more than it may; what it finds goes into `fuzz/corpus`, which a
//! test replays.

pub mod allocations;
pub mod mutate;
pub mod sound;
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use targets::Target;

/// Where sound files, and those that once did harm, are kept as `TARGET-NAME`.
pub fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

/// The files kept for a target, by name.
///
/// # Errors
/// When they cannot be read.
pub fn kept(target: &Target) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let prefix = format!("{}-", target.name);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(corpus())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) {
            all.push((name, std::fs::read(entry.path())?));
        }
    }
    all.sort();
    Ok(all)
}

/// Feeds a target once, and says whether it took the input.
///
/// # Errors
/// Says what went wrong: it panicked, or took too much memory.
pub fn feed(target: &Target, input: &[u8]) -> Result<bool, String> {
    let start = allocations::start();
    let done = catch_unwind(AssertUnwindSafe(|| (target.parse)(input)));
    let most = allocations::most_since(start);
    let taken = done.map_err(|_| "it panicked".to_owned())?;
    let limit = (target.limit)(input.len());
    if most > limit {
        return Err(format!("it allocated {most} bytes for {}; the limit is {limit}", input.len()));
    }
    Ok(taken)
}
