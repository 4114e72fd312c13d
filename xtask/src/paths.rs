//! The folders that tasks work in, and errors as text.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The folder that cargo builds in.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

/// The command, where a release build puts it.
pub(crate) fn program() -> PathBuf {
    target().join("release").join(format!("zor{}", std::env::consts::EXE_SUFFIX))
}

/// The message of an error, which is all that a task's caller prints.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
