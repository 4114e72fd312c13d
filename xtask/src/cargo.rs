//! Runs cargo and rustup, with the name and time of each step.

use std::process::Command;
use std::time::Instant;

use crate::paths::root;

/// Returns cargo as a user runs it, in the folder of the workspace.
///
/// The variables that cargo sets for this program are removed: they would make build scripts that
/// read them run again.
pub(crate) fn command() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let is_own = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_own {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root());
    cargo
}

/// Runs cargo with documentation warnings denied.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<(), String> {
    run_with(name, arguments, &[("RUSTDOCFLAGS", "--deny warnings")])
}

/// Runs cargo with environment variables.
pub(crate) fn run_with(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    timed(name, || {
        let status = command()
            .args(arguments)
            .envs(environment.iter().copied())
            .status()
            .map_err(|e| format!("cargo: {e}"))?;
        if status.success() { Ok(()) } else { Err(format!("cargo {} failed", arguments.join(" "))) }
    })
}

/// Returns whether rustup has the standard library of a target; a missing one is installed. Prints
/// the command that failed where it cannot be had.
pub(crate) fn has_target(target: &str) -> bool {
    let arguments = ["target", "add", target];
    let done = Command::new("rustup").args(arguments).current_dir(root()).output();
    let is_installed = done.is_ok_and(|output| output.status.success());
    if !is_installed {
        println!("not available: `rustup {}` failed", arguments.join(" "));
    }
    is_installed
}

/// Runs a step: prints its name before and its time after it, and prefixes its error with the name.
pub(crate) fn timed(name: &str, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("== {name}");
    step().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
