//! Raw numbers behind the figures, under `docs/results/`.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::paths::root;

/// Keeps an object with the commit and the number of threads that it was measured with.
pub(crate) fn write(name: &str, measured: &Value) -> Result<(), String> {
    let folder = root().join("docs/results");
    let path = folder.join(format!("{name}.json"));
    let mut object = json!({
        "commit": commit(),
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
    });
    if let (Some(object), Some(measured)) = (object.as_object_mut(), measured.as_object()) {
        object.extend(measured.clone());
    }
    let text = serde_json::to_string_pretty(&object).map_err(|e| e.to_string())?;
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text + "\n"))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// What was kept under a name.
pub(crate) fn read(name: &str) -> Result<Value, String> {
    let path = root().join(format!("docs/results/{name}.json"));
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| told(&e))?;
    serde_json::from_str(&text).map_err(|e| told(&e))
}

/// The commit that is measured, with a mark if the tree differs from it in more than results.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "--", ".", ":!docs/results"]).is_empty();
    git(&["rev-parse", "HEAD"]) + if changed { " and changes" } else { "" }
}
