//! Python interpreters, and virtual environments in the target folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{call, package};
use crate::paths::target;

/// The oldest version that the package supports.
const OLDEST: (u32, u32) = (3, 10);

/// A Python interpreter.
pub(super) struct Interpreter {
    pub(super) version: String,
    path: PathBuf,
}

/// Returns an interpreter of every version from 3.10 on that is in the search path or in the folder
/// of pyenv, the default one first.
pub(super) fn interpreters() -> Vec<Interpreter> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&search).collect();
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv"));
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(home);
    let installed = pyenv.and_then(|folder| fs::read_dir(folder.join("versions")).ok());
    let mut versions: Vec<PathBuf> =
        installed.into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    places.extend(versions);
    let minor = |name: &OsString| name.to_str().is_some_and(is_interpreter);
    let mut found: BTreeMap<(u32, u32), Interpreter> = BTreeMap::new();
    let mut first = None;
    for place in &places {
        let names = fs::read_dir(place).into_iter().flatten().flatten();
        let mut names: Vec<OsString> = names.map(|entry| entry.file_name()).filter(minor).collect();
        names.sort();
        for path in names.into_iter().map(|name| place.join(name)) {
            let Some(version) = version(&path).filter(|version| *version >= OLDEST) else {
                continue;
            };
            first.get_or_insert(version);
            let text = format!("{}.{}", version.0, version.1);
            found.entry(version).or_insert(Interpreter { version: text, path });
        }
    }
    let default = first.and_then(|version| found.remove(&version));
    default.into_iter().chain(found.into_values()).collect()
}

/// Whether a file name is that of an interpreter, such as `python3` or `python3.12`.
fn is_interpreter(name: &str) -> bool {
    let rest = name.strip_prefix("python3");
    rest.is_some_and(|rest| rest.chars().all(|c| c == '.' || c.is_ascii_digit()))
}

/// Returns the version of an interpreter that runs.
fn version(path: &Path) -> Option<(u32, u32)> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A virtual environment.
pub(super) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Creates a new environment with packages, in the target folder. An older one of the name is
    /// removed.
    pub(super) fn create(
        name: &str,
        interpreter: &Interpreter,
        packages: &[&str],
    ) -> Result<Self, String> {
        let folder = target().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let mut venv = Command::new(&interpreter.path);
        venv.args(["-m", "venv"]).arg(&folder);
        call(venv)?;
        let environment = Self { folder };
        environment.install(packages)?;
        Ok(environment)
    }

    /// Installs packages.
    pub(super) fn install(&self, packages: &[&str]) -> Result<(), String> {
        if packages.is_empty() {
            return Ok(());
        }
        let mut pip = self.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        call(pip)
    }

    /// Path of a program of the environment.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Folder of the programs of the environment.
    pub(super) fn programs(&self) -> PathBuf {
        self.folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
    }

    /// The interpreter, in the folder of the package.
    pub(super) fn python(&self) -> Command {
        let mut command = Command::new(self.program("python"));
        command.current_dir(package());
        command
    }

    /// Runs a module on the sources of the package.
    pub(super) fn module(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.python();
        command.args(["-m", name]).args(arguments).env("PYTHONPATH", package().join("python"));
        command.env("MYPYPATH", package().join("python"));
        call(command)
    }
}
