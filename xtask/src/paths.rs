//! Folders of the workspace, and errors as text.

use std::path::{Path, PathBuf};

/// Folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Folder of build outputs.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

/// Path of the `zor` command in a release build.
pub(crate) fn program() -> PathBuf {
    target().join("release").join(format!("zor{}", std::env::consts::EXE_SUFFIX))
}

/// Message of an error, for `map_err`.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
