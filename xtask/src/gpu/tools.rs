//! LLVM to link `cuda` with, and the assembler of NVIDIA: packages from the Python registry, cached
//! in `target/gpu-tools`.
//!
//! burn's CUDA backend compiles kernels with LLVM 23. Its build script downloads LLVM from a
//! release page, unless its folder has an installation with a marker file. This module puts another
//! build of LLVM 23 there, so that only registries are needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::root;

/// List of packages with their digests.
const REQUIREMENTS: &str = "xtask/gpu/requirements.txt";
/// The crate whose build script looks for LLVM.
const BUNDLER: &str = "tracel-llvm-bundler";

pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Downloads the packages the first time, and after their list has changed.
    pub(crate) fn set_up() -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(
                "`cuda` can be linked on Linux for x86-64 alone: there is no LLVM package for other platforms"
                    .to_owned(),
            );
        }
        let tools = Self { folder: crate::paths::target().join("gpu-tools") };
        let list = root().join(REQUIREMENTS);
        let wanted = read(&list)?;
        let mark = tools.folder.join("installed.txt");
        if fs::read_to_string(&mark).unwrap_or_default() != wanted {
            let place = tools.folder.display();
            println!("downloading LLVM 23 and ptxas (130 MB) from the Python registry to {place}");
            if tools.folder.exists() {
                fs::remove_dir_all(&tools.folder).map_err(|e| format!("{place}: {e}"))?;
            }
            install(&list, &tools.packages())?;
            fs::write(&mark, wanted).map_err(|e| format!("{}: {e}", mark.display()))?;
        }
        tools.offer_llvm()?;
        Ok(tools)
    }

    fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }

    /// Folder for `XDG_DATA_HOME` in which burn's build script finds LLVM.
    pub(crate) fn data_home(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Folder in the layout of `CUDA_PATH`: its `nvvm` has libdevice.
    pub(crate) fn cuda(&self) -> PathBuf {
        self.packages().join("nvidia/cuda_nvcc")
    }

    /// Path of the bitcode of mathematical functions inside a `CUDA_PATH`.
    pub(crate) const LIBDEVICE: &str = "nvvm/libdevice/libdevice.10.bc";

    pub(crate) fn ptxas(&self) -> PathBuf {
        self.cuda().join("bin/ptxas")
    }

    /// Returns the licenses of libraries in the program and in the folder, with the names to pack
    /// them under.
    pub(crate) fn licenses(&self) -> Result<Vec<(&'static str, PathBuf)>, String> {
        let packages = self.packages();
        let entries =
            fs::read_dir(&packages).map_err(|e| format!("{}: {e}", packages.display()))?;
        let folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let of = |package: &str, file: &str| {
            let is_its = |path: &&PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(package) && name.ends_with(".dist-info")
            };
            let path = folders.iter().find(is_its).map(|path| path.join("licenses").join(file));
            path.filter(|path| path.exists())
                .ok_or_else(|| format!("{}: {package} has no license", packages.display()))
        };
        Ok(vec![
            ("LLVM.txt", of("mlc_llvm_static-", "LICENSE")?),
            ("NVIDIA-libdevice.txt", of("nvidia_cuda_nvcc_cu12-", "License.txt")?),
        ])
    }

    /// Links LLVM into the folder where burn's build script, in the version of Cargo.lock, looks
    /// for its own.
    fn offer_llvm(&self) -> Result<(), String> {
        let llvm = self.packages().join("mlc_llvm_static/static");
        let wanted = bundler_version(&read(&root().join("Cargo.lock"))?)?;
        let config = llvm.join("bin/llvm-config");
        let output = Command::new(&config).arg("--version").output();
        let output = output.map_err(|e| format!("{}: {e}", config.display()))?;
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if major(&found) != major(&wanted) {
            return Err(format!(
                "{BUNDLER} {wanted} needs another LLVM than {found}: change {REQUIREMENTS}"
            ));
        }
        let place = self.data_home().join("tracel");
        let link = place.join(format!("tracel-llvm-{wanted}"));
        let error = |e: std::io::Error| format!("{}: {e}", link.display());
        // Written once: a newer time would rebuild everything above LLVM.
        let mark = llvm.join(".tracel-llvm-installed");
        if !mark.exists() {
            fs::write(&mark, "").map_err(error)?;
        }
        if fs::read_link(&link).is_ok_and(|to| to == llvm) {
            return Ok(());
        }
        fs::create_dir_all(&place).map_err(error)?;
        if link.is_symlink() {
            fs::remove_file(&link).map_err(error)?;
        }
        symlink(&llvm, &link).map_err(error)
    }
}

fn install(list: &Path, packages: &Path) -> Result<(), String> {
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"];
    let status = Command::new("python3")
        .args(pip)
        .args(["--disable-pip-version-check", "--root-user-action=ignore"])
        .arg("--requirement")
        .arg(list)
        .arg("--target")
        .arg(packages)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("pip could not install the packages; see above".to_owned()),
        Err(error) => Err(format!("python3: {error}; install Python 3 with pip")),
    }
}

/// Returns the version of the crate in a lock file.
fn bundler_version(lock: &str) -> Result<String, String> {
    let lock: toml::Table = lock.parse().map_err(|e| format!("Cargo.lock: {e}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(toml::Value::as_str) == Some(BUNDLER))
        .and_then(|package| package.get("version")?.as_str().map(str::to_owned))
        .ok_or_else(|| format!("Cargo.lock has no {BUNDLER}"))
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

#[cfg(unix)]
fn symlink(to: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_the_llvm_that_is_wanted() {
        let wanted = bundler_version(&read(&root().join("Cargo.lock")).unwrap()).unwrap();
        let list = read(&root().join(REQUIREMENTS)).unwrap();
        assert!(list.contains(&format!("mlc-llvm-static=={}.", major(&wanted))), "{wanted}");
        assert!(bundler_version("").is_err());
    }
}
