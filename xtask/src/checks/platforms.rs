//! Checks that the command compiles for other platforms. `cargo check` needs no linker and no C
//! compiler for them.

use crate::cargo;

/// Targets of every check, and targets that `--all-platforms` adds: the first check of a target
/// compiles all dependencies, which takes one to three minutes on two cores.
const CHECKED: [&str; 1] = ["x86_64-pc-windows-gnu"];
const OTHERS: [&str; 2] = ["aarch64-apple-darwin", "aarch64-unknown-linux-gnu"];

/// Checks zor-cli for Windows, with `all` also for macOS and 64-bit ARM. A target whose standard
/// library cannot be installed is skipped.
pub(crate) fn run(all: bool) -> Result<(), String> {
    let others = if all { &OTHERS[..] } else { &[] };
    for target in CHECKED.iter().chain(others).filter(|target| cargo::has_target(target)) {
        let check = ["check", "--package", "zor-cli", "--target", target];
        cargo::run(&format!("zor-cli for {target}"), &check)?;
    }
    Ok(())
}
