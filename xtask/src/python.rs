//! The Python package: its tests on a development build, and its wheel.

mod environment;
mod stubs;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::environment::{Environment, interpreters};
use crate::cargo;
use crate::paths::{root, target};

pub(crate) use wheel::{built as built_wheel, run as wheel};

/// The feature of the extension. It is built with the workspace and its tests: other selections
/// have other features of shared crates, and would compile burn anew.
const FEATURE: &str = "zor-python/extension";
/// Tells pyo3 that no interpreter is linked.
const BUILD: (&str, &str) = ("PYO3_BUILD_EXTENSION_MODULE", "1");
/// Packages of the tests, besides NumPy.
const TESTS: &[&str] = &["pytest"];
/// Packages that optional parts need, without PyTorch, which is large.
const OPTIONAL: &[&str] = &["scikit-learn", "pandas", "nir", "joblib", "tqdm"];

/// Checkers of style and types.
const CHECKERS: &[&str] = &["mypy==2.4.1", "ruff==0.17.6"];

/// Folder of the package.
fn package() -> PathBuf {
    root().join("crates/zor-python")
}

/// Builds the extension for development and tests the package with it: clippy, stubs, types, and
/// all tests but those of PyTorch. With `write`, the stubs are written.
pub(crate) fn check(write: bool) -> Result<(), String> {
    let Some(interpreter) = interpreters().into_iter().next() else {
        println!("not available: there is no Python of version 3.10 or newer");
        return Ok(());
    };
    let lint = ["clippy", "--workspace", "--all-targets", "--features", FEATURE];
    let deny = ["--", "--deny", "warnings"];
    cargo::run_with("clippy with Python", &[&lint[..], &deny].concat(), &[BUILD])?;
    let build = ["build", "--workspace", "--lib", "--tests", "--features", FEATURE];
    cargo::run_with("extension", &build, &[BUILD])?;
    let module = package().join("python/zor/_zor.abi3.so");
    copy_extension(&module)?;
    stubs::compare(&module, write)?;
    let packages = [TESTS, OPTIONAL, CHECKERS, &["numpy"]].concat();
    let environment = match Environment::create("python-check", &interpreter, &packages) {
        Ok(environment) => environment,
        Err(error) => {
            println!("not available: the packages of the tests ({error})");
            return remove(&module);
        }
    };
    let checks: [(&str, &[&str]); 4] =
        [("ruff", &["check"]), ("ruff", &["format", "--check"]), ("mypy", &[]), ("pytest", &[])];
    let tested = checks.iter().try_for_each(|(name, words)| environment.module(name, words));
    // A package in the source folder must not be found instead of an installed wheel.
    remove(&module)?;
    tested
}

fn remove(file: &Path) -> Result<(), String> {
    fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Copies the extension of a development build to where Python looks for it.
fn copy_extension(to: &Path) -> Result<(), String> {
    let name = format!("{}_zor{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let built = target().join("debug").join(name);
    // A file in use is replaced, never changed.
    let new = to.with_extension("new");
    let copied = fs::copy(&built, &new).and_then(|_| fs::rename(&new, to));
    copied.map_err(|error| format!("{}: {error}", built.display()))
}

/// Runs a program in a folder.
fn call(mut command: Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}
