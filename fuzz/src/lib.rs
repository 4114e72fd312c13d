//! A mutation fuzzer for all parsers of Zor.
//!
//! `cargo run -p zor-fuzz -- --executions N [--target NAME] [--seed N]` searches for inputs that
//! make a parser panic or allocate more than its limit. It saves them in `fuzz/corpus`, which a
//! test replays.

pub mod allocations;
pub mod mutate;
pub mod sound;
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use targets::Target;

/// Returns the corpus folder. It has valid files and inputs that once failed, as `TARGET-NAME`.
pub fn corpus() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

/// Reads the corpus of a target, sorted by name.
///
/// # Errors
/// When a file cannot be read.
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

/// Runs a target on an input. Returns true if the target accepted it.
///
/// # Errors
/// When the target panics or allocates more than its limit. The message is the reason.
pub fn feed(target: &Target, input: &[u8]) -> Result<bool, String> {
    let start = allocations::start();
    let done = catch_unwind(AssertUnwindSafe(|| (target.parse)(input)));
    let most = allocations::most_since(start);
    let taken = done.map_err(|_| "it panicked".to_owned())?;
    let limit = (target.limit)(input.len());
    if most > limit {
        return Err(format!(
            "it allocated {most} bytes for an input of {}; the limit is {limit}",
            input.len()
        ));
    }
    Ok(taken)
}
