//! Raw numbers of the figures: the results files in `docs/results/`.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::clock::Machine;
use crate::paths::root;

/// Writes an object to the results file of a name, with the commit, the number of threads and the
/// machine's limits.
pub(crate) fn write(name: &str, measured: &Value) -> Result<(), String> {
    let folder = root().join("docs/results");
    let path = folder.join(format!("{name}.json"));
    let machine = Machine::measured();
    let mut object =
        json!({ "commit": commit(), "threads": machine.threads, "machine": machine.json() });
    if let (Some(object), Some(measured)) = (object.as_object_mut(), measured.as_object()) {
        object.extend(measured.clone());
    }
    let text = serde_json::to_string_pretty(&object).map_err(|e| e.to_string())?;
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text + "\n"))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads the results file of a name.
pub(crate) fn read(name: &str) -> Result<Value, String> {
    let path = root().join(format!("docs/results/{name}.json"));
    let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| at(&e))?;
    serde_json::from_str(&text).map_err(|e| at(&e))
}

/// Returns the measured commit, followed by " and changes" if files other than results differ from
/// it.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "--", ".", ":!docs/results"]).is_empty();
    git(&["rev-parse", "HEAD"]) + if changed { " and changes" } else { "" }
}
