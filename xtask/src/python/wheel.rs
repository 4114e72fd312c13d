//! `cargo xtask wheel`: builds the wheel and the source distribution, and tests the wheel in new
//! environments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment::{Environment, Interpreter, interpreters};
use super::{OPTIONAL, TESTS, call, package};
use crate::cargo::timed;
use crate::paths::target;

/// Packages that build a wheel: with zig, for Linux distributions with an old C library.
const TOOLS: &[&str] = &["maturin==1.16.0", "ziglang==0.15.1"];
/// The C library of the wheel: of 2014, 2.17.
const COMPATIBILITY: &str = "manylinux2014";
/// Maximum size of the wheel.
const LARGEST: u64 = 8_000_000;

/// Builds the wheel and the source distribution in `target/wheels`, and tests the wheel in a new
/// environment of every Python that is installed. With `torch`, the default one has PyTorch too.
pub(crate) fn run(torch: bool) -> Result<(), String> {
    let pythons = interpreters();
    let Some(default) = pythons.first() else {
        return Err("there is no Python of version 3.10 or newer".to_owned());
    };
    let tools = Environment::create("python-tools", default, TOOLS)?;
    let wheels = folder();
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(|error| format!("{}: {error}", wheels.display()))?;
    }
    timed("wheel", || {
        let zig = ["--zig", "--compatibility", COMPATIBILITY];
        let zig: &[&str] = if cfg!(target_os = "linux") { &zig } else { &[] };
        maturin(&tools, &[&["build"], zig].concat(), &wheels)
    })?;
    timed("source distribution", || maturin(&tools, &["sdist"], &wheels))?;
    let wheel = built()?;
    let size = fs::metadata(&wheel).map_err(|error| error.to_string())?.len();
    println!("{}: {:.2} MB", wheel.display(), size as f64 / 1e6);
    if size > LARGEST {
        return Err(format!("the wheel has {size} bytes; at most {LARGEST} are promised"));
    }
    for python in &pythons {
        timed(&format!("tests on Python {}", python.version), || test(&wheel, python, &[]))?;
    }
    if torch {
        let packages = [OPTIONAL, &["torch", "matplotlib", "nbclient", "ipykernel", "optuna"]];
        timed("tests with all packages", || test(&wheel, default, &packages.concat()))?;
    }
    Ok(())
}

/// Runs maturin on the package.
fn maturin(tools: &Environment, arguments: &[&str], out: &Path) -> Result<(), String> {
    let mut command = Command::new(tools.program("maturin"));
    command.args(arguments).arg("--out").arg(out).current_dir(package());
    // Where maturin looks for zig.
    let search = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(tools.programs()).chain(std::env::split_paths(&search));
    command.env("PATH", std::env::join_paths(places).map_err(|error| error.to_string())?);
    call(command)
}

/// Folder of the wheel and the source distribution.
fn folder() -> PathBuf {
    target().join("wheels")
}

/// Returns the wheel that was built last.
pub(crate) fn built() -> Result<PathBuf, String> {
    let missing =
        || format!("{}: there is no wheel; `cargo xtask wheel` builds it", folder().display());
    let entries = fs::read_dir(folder()).map_err(|_| missing())?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let wheel = paths.find(|path| path.extension().is_some_and(|ending| ending == "whl"));
    wheel.ok_or_else(missing)
}

/// Installs the wheel with packages in a new environment, and tests it there.
fn test(wheel: &Path, python: &Interpreter, packages: &[&str]) -> Result<(), String> {
    let name = format!("python-{}", python.version);
    let environment = Environment::create(&name, python, &[])?;
    environment.install(&[&wheel.to_string_lossy()])?;
    let mut list = environment.python();
    list.args(["-m", "pip", "list", "--format=freeze", "--exclude", "pip"]);
    list.args(["--exclude", "setuptools"]);
    let output = list.output().map_err(|error| error.to_string())?;
    let installed = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = installed.lines().filter_map(|line| line.split("==").next()).collect();
    if names != ["numpy", "zor-nn"] {
        return Err(format!("the wheel installs {}; only NumPy is promised", names.join(", ")));
    }
    environment.install(&[TESTS, packages].concat())?;
    let mut tests = environment.python();
    tests.args(["-m", "pytest"]);
    call(tests)
}
