//! Checks that the published packages build alone: no file is missing from them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cargo;
use crate::paths::root;

/// Published crates.
const PUBLISHED: [&str; 9] = [
    "zor-random",
    "zor-core",
    "zor-edge",
    "zor-optim",
    "zor-data",
    "zor-io",
    "zor-compile",
    "zor-nn",
    "zor-cli",
];

/// Features that are off by default and compile without the libraries of a GPU, in one build: each
/// build of burn takes minutes.
const FEATURES: &str = "ndarray,wgpu,vulkan,metal,cuda,rocm,autotune,fusion";

/// Packs every crate, unpacks them as a workspace, and checks it without the CPU kernels (`flex`)
/// and with all other features.
///
/// The verification of `cargo package` would build all dependencies again for each crate.
pub(crate) fn run() -> Result<(), String> {
    let named = PUBLISHED.into_iter().flat_map(|name| ["--package", name]);
    let pack = ["package", "--allow-dirty", "--no-verify"].into_iter().chain(named);
    cargo::run("packing", &pack.collect::<Vec<_>>())?;
    let target = crate::paths::target();
    let unpacked = target.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    }
    fs::create_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    let mut workspace =
        "[workspace]\nresolver = \"3\"\nmembers = [\"zor*\"]\n\n[patch.crates-io]\n".to_owned();
    for name in PUBLISHED {
        let folder = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        unpack(&target.join("package").join(format!("{folder}.crate")), &unpacked)?;
        workspace += &format!("{name} = {{ path = \"{folder}\" }}\n");
    }
    write(&unpacked.join("Cargo.toml"), workspace.as_bytes())?;
    let lock = root().join("Cargo.lock");
    let locked = fs::read(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    write(&unpacked.join("Cargo.lock"), &locked)?;
    let manifest = unpacked.join("Cargo.toml").display().to_string();
    let target = target.display().to_string();
    let named = PUBLISHED.into_iter().flat_map(|name| ["--package", name]);
    let check = ["check", "--manifest-path", &manifest, "--target-dir", &target];
    let features = ["--no-default-features", "--features", FEATURES];
    let arguments: Vec<&str> = check.into_iter().chain(features).chain(named).collect();
    // With this variable the CUDA bindings compile where the NVIDIA toolkit is not installed.
    cargo::run_with("packed crates with other features", &arguments, &[("DOCS_RS", "1")])
}

/// Unpacks a crate. Its files get the time of now: packed ones have a fixed time, by which cargo
/// takes a changed file for an old one.
fn unpack(archive: &Path, to: &Path) -> Result<(), String> {
    let status = Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(to).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{}: tar cannot unpack it", archive.display())),
        Err(error) => Err(format!("tar: {error}")),
    }
}

fn write(path: &Path, contents: &[u8]) -> Result<(), String> {
    fs::write(path, contents).map_err(|e| format!("{}: {e}", path.display()))
}
