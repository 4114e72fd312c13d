//! Calls of cargo, named and timed.

use std::process::Command;
use std::time::Instant;

use crate::paths::root;

/// Cargo as a user calls it, in the workspace's folder.
///
/// The variables that cargo sets for this program are removed: build scripts that read them would
/// run again.
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

/// Runs cargo, with warnings of the documentation denied.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result<(), String> {
    run_with(name, arguments, &[("RUSTDOCFLAGS", "--deny warnings")])
}

/// Runs cargo with variables set.
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

/// Prints a step's name before it and its time behind it, and puts the name before its error.
pub(crate) fn timed(name: &str, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("== {name}");
    step().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
