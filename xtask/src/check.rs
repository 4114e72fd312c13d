//! What CI runs beside the tests, cheapest first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::{guard, layers, page, promises, root, tidy, weight};

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> Result<(), String> {
    timed("tidy", tidy::run)?;
    timed("layers", layers::run)?;
    timed("promises", promises::run)?;
    timed("pages", || page::run(false))?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    for package in ["zor-core", "zor-optim", "zor-data", "zor-io", "zor", "zor-cli"] {
        let name = format!("{package} on ndarray");
        let features = ["--no-default-features", "--features", "ndarray"];
        let arguments = [&["check", "--package", package][..], &features].concat();
        cargo(&name, &arguments)?;
    }
    cargo("wgpu and cuda", &["check", "--package", "zor", "--features", "wgpu,cuda"])?;
    timed("guard", || guard::run(false))?;
    cargo("documentation", &["doc", "--workspace", "--no-deps"])?;
    forget_packaged()?;
    let unpublished = ["zor-examples", "zor-benches", "zor-fuzz", "xtask"];
    let packaging = ["package", "--workspace", "--allow-dirty"].into_iter();
    let excluded = unpublished.into_iter().flat_map(|name| ["--exclude", name]);
    cargo("packaging", &packaging.chain(excluded).collect::<Vec<_>>())?;
    timed("weight", weight::run)
}

/// Removes what cargo's home keeps of these crates from packaging before: crates of the same version would be verified against it, not against
/// what is packaged now.
fn forget_packaged() -> Result<(), String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))) else {
        return Err("neither CARGO_HOME nor a home folder is known".to_owned());
    };
    for kind in ["src", "cache"] {
        for registry in entries(&home.join("registry").join(kind)) {
            // Cargo's temporary registries have no name before the dash.
            if !name(&registry).starts_with('-') {
                continue;
            }
            for copy in entries(&registry) {
                if !name(&copy).starts_with("zor") {
                    continue;
                }
                let folder = copy.is_dir();
                let removed =
                    if folder { fs::remove_dir_all(&copy) } else { fs::remove_file(&copy) };
                removed.map_err(|e| format!("{}: {e}", copy.display()))?;
            }
        }
    }
    Ok(())
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
