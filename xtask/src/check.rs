//! What CI runs beside the tests, cheapest first.

use std::time::Instant;

use crate::{edge, guard, layers, packages, page, promises, tidy, weight};

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<(), String> {
    timed("tidy", tidy::run)?;
    timed("layers", layers::run)?;
    timed("promises", promises::run)?;
    timed("pages", || page::run(false))?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    timed("edge", || edge::run(false))?;
    timed("guard", || guard::run(false))?;
    cargo("documentation", &["doc", "--workspace", "--no-deps"])?;
    timed("packages", packages::run)?;
    timed("weight", weight::run)?;
    let suite =
        ["test", "--package", "zor", "--package", "zor-io", "--lib", "--features", "wgpu,ndarray"];
    let only = ["--", "--nocapture", "verify::", "device"];
    cargo("devices", &[&suite[..], &only].concat())
}

/// Runs cargo in the workspace's folder, with warnings of the documentation denied.
pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Result<(), String> {
    cargo_with(name, arguments, &[("RUSTDOCFLAGS", "--deny warnings")])
}

/// Runs cargo in the workspace's folder with variables set.
pub(crate) fn cargo_with(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    timed(name, || {
        let status = crate::cargo()
            .args(arguments)
            .envs(environment.iter().copied())
            .status()
            .map_err(|e| format!("cargo: {e}"))?;
        if status.success() { Ok(()) } else { Err(format!("cargo {} failed", arguments.join(" "))) }
    })
}

fn timed(name: &str, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("== {name}");
    check().map_err(|error| format!("{name}: {error}"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
