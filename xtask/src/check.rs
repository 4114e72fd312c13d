//! What CI runs beside the tests, cheapest first.

use std::process::Command;
use std::time::Instant;

use crate::{layers, root, tidy, weight};

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<(), String> {
    timed("tidy", tidy::run)?;
    timed("layers", layers::run)?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    for package in ["zor-core", "zor-optim", "zor-data", "zor-io", "zor", "zor-cli"] {
        let name = format!("{package} on ndarray");
        let features = ["--no-default-features", "--features", "ndarray"];
        let arguments = [&["check", "--package", package][..], &features].concat();
        cargo(&name, &arguments)?;
    }
    cargo("wgpu and cuda", &["check", "--package", "zor", "--features", "wgpu,cuda"])?;
    cargo("documentation", &["doc", "--workspace", "--no-deps"])?;
    let unpublished = ["zor-examples", "zor-benches", "xtask"];
    let packaging = ["package", "--workspace", "--allow-dirty"].into_iter();
    let excluded = unpublished.into_iter().flat_map(|name| ["--exclude", name]);
    cargo("packaging", &packaging.chain(excluded).collect::<Vec<_>>())?;
    timed("weight", weight::run)
}

/// Runs cargo in the workspace's folder, with warnings of the documentation denied.
pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Result<(), String> {
    timed(name, || {
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(root())
            .env("RUSTDOCFLAGS", "--deny warnings")
            // Packages are verified without this workspace's profile; debug information would double their time.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // Lets the bindings to CUDA be checked where NVIDIA's toolkit is not installed.
            .env("DOCS_RS", "1")
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
