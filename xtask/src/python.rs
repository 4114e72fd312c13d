//! The Python package: its tests on a development build, and its wheel.

mod environment;
mod wheel;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use self::environment::{Environment, interpreters};
use crate::cargo;
use crate::paths::{root, target};

pub(crate) use wheel::{built as built_wheel, run as wheel};

/// Cargo builds the workspace with these arguments. Those of one package would have other features,
/// and compile burn anew.
const FEATURE: &str = "zor-python/extension";
/// Tells pyo3 that no interpreter is linked.
const BUILD: (&str, &str) = ("PYO3_BUILD_EXTENSION_MODULE", "1");
/// Packages of the tests, besides NumPy.
const TESTS: &[&str] = &["pytest"];
/// Packages that optional parts need, without PyTorch, which is large.
const OPTIONAL: &[&str] = &["scikit-learn", "pandas", "nir", "mypy", "joblib", "tqdm"];

/// Folder of the package.
fn package() -> PathBuf {
    root().join("crates/zor-python")
}

/// Builds the extension for development and tests the package with it: clippy, types, stubs, and
/// all tests but those of PyTorch.
pub(crate) fn check() -> Result<(), String> {
    let Some(interpreter) = interpreters().into_iter().next() else {
        println!("not available: there is no Python of version 3.10 or newer");
        return Ok(());
    };
    let lint = ["clippy", "--workspace", "--all-targets", "--features", FEATURE];
    let deny = ["--", "--deny", "warnings"];
    cargo::run_with("clippy with Python", &[&lint[..], &deny].concat(), &[BUILD])?;
    let build = ["build", "--workspace", "--lib", "--features", FEATURE];
    cargo::run_with("extension", &build, &[BUILD])?;
    let module = package().join("python/zor/_zor.abi3.so");
    copy_extension(&module)?;
    let packages = [TESTS, OPTIONAL, &["numpy"]].concat();
    let environment = Environment::create("python-check", &interpreter, &packages)?;
    let tested = environment.module("pytest", &[]).and_then(|()| types(&environment));
    // A package in the source folder must not be found instead of an installed wheel.
    fs::remove_file(&module).map_err(|error| format!("{}: {error}", module.display()))?;
    tested
}

/// Checks the types of the package and its examples, and its stubs against the extension.
fn types(environment: &Environment) -> Result<(), String> {
    environment.module("mypy", &[])?;
    environment.module("mypy.stubtest", &["zor._zor"])
}

/// Copies the extension of a development build to where Python looks for it.
fn copy_extension(to: &PathBuf) -> Result<(), String> {
    let name = format!("{}_zor{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let built = target().join("debug").join(name);
    fs::copy(&built, to).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
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
