//! Stubs: the types of the extension's functions, for type checkers and editors.

use std::fs;
use std::path::Path;

use pyo3_introspection::{introspect_cdylib, module_stub_files};

use super::package;

/// Name of the extension module.
const MODULE: &str = "_zor";

/// Compares the stubs in the repository with those of an extension, or writes them.
pub(super) fn compare(extension: &Path, write: bool) -> Result<(), String> {
    let module = introspect_cdylib(extension, MODULE)
        .map_err(|error| format!("{}: {error}", extension.display()))?;
    let mut files = module_stub_files(&module).into_values();
    let (Some(found), None) = (files.next(), files.next()) else {
        return Err(format!("{}: it must be one module", extension.display()));
    };
    // Arrays are named in quotes, which adds no import.
    let found = found.replacen("\nfrom ", "\nimport numpy.typing\nfrom ", 1);
    let path = package().join("python/zor/_zor.pyi");
    if write {
        return fs::write(&path, found).map_err(|error| format!("{}: {error}", path.display()));
    }
    match fs::read_to_string(&path) {
        Ok(kept) if kept == found => Ok(()),
        Ok(_) => Err(outdated(&path)),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn outdated(path: &Path) -> String {
    format!("{} is not current; `cargo xtask python --write` writes it", path.display())
}
