//! What CI runs beside the tests, cheapest first.

use std::process::Command;
use std::time::Instant;

use crate::{edge, guard, layers, packages, page, promises, root, tidy, weight};

/// Features for GPUs that compile without a GPU's libraries; `wgpu` alone is tested.
const GPU_FEATURES: [&str; 2] = ["wgpu,vulkan,metal,cuda,rocm,autotune,ndarray", "wgpu,fusion"];

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<(), String> {
    timed("tidy", tidy::run)?;
    timed("layers", layers::run)?;
    timed("promises", promises::run)?;
    timed("pages", || page::run(false))?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    let all = packages::PUBLISHED.into_iter().flat_map(|name| ["--package", name]);
    let ndarray = ["check", "--no-default-features", "--features", "ndarray"].into_iter();
    cargo("ndarray alone", &ndarray.chain(all).collect::<Vec<_>>())?;
    for features in GPU_FEATURES {
        let name = format!("kernels for GPUs: {features}");
        cargo(&name, &["check", "--package", "zor-core", "--features", features])?;
    }
    timed("edge", || edge::run(false))?;
    timed("guard", || guard::run(false))?;
    cargo("documentation", &["doc", "--workspace", "--no-deps"])?;
    let suite = ["test", "--package", "zor", "--lib", "--features", "wgpu,ndarray"];
    let only = ["--", "--nocapture", "verify::", "device::"];
    cargo("devices", &[&suite[..], &only].concat())?;
    timed("packages", packages::run)?;
    timed("weight", weight::run)
}

/// Runs cargo in the workspace's folder, with warnings of the documentation denied.
pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Result<(), String> {
    timed(name, || {
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(root())
            .env("RUSTDOCFLAGS", "--deny warnings")
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
