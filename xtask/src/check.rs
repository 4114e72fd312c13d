//! What CI runs beside the tests, cheapest first.

use std::process::Command;
use std::time::Instant;

use crate::{edge, guard, layers, packages, page, promises, root, tidy, weight};

/// Features that are off by default and compile without a GPU's libraries, all at once: each build of burn is minutes. `wgpu,ndarray` is tested.
const FEATURES: &str = "ndarray,wgpu,vulkan,metal,cuda,rocm,autotune,fusion";

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
    // Without the CPU's kernels, with everything else.
    let all = packages::PUBLISHED.into_iter().flat_map(|name| ["--package", name]);
    let other = ["check", "--no-default-features", "--features", FEATURES].into_iter();
    // The variable lets the bindings to CUDA be checked where NVIDIA's toolkit is not installed.
    cargo_with("other features", &other.chain(all).collect::<Vec<_>>(), &[("DOCS_RS", "1")])?;
    let suite =
        ["test", "--package", "zor", "--package", "zor-io", "--lib", "--features", "wgpu,ndarray"];
    let only = ["--", "--nocapture", "verify::", "device"];
    cargo("devices", &[&suite[..], &only].concat())
}

/// Runs cargo in the workspace's folder, with warnings of the documentation denied.
pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Result<(), String> {
    cargo_with(name, arguments, &[("RUSTDOCFLAGS", "--deny warnings")])
}

fn cargo_with(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    timed(name, || {
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(root())
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
