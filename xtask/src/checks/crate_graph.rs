//! Checks the layering: each crate depends only on crates in lower layers.

use std::collections::BTreeMap;
use std::fs;

use crate::paths::root;

/// Crates from the bottom up; those of one row do not depend on each other.
const LAYERS: [&[&str]; 6] = [
    &["zor-random"],
    &["zor-core", "zor-data", "zor-edge"],
    &["zor-optim", "zor-io"],
    &["zor-compile"],
    &["zor"],
    &["zor-cli", "zor-python"],
];

/// Prints the dependencies of each crate inside the workspace, and fails if one is not below it.
pub(crate) fn run() -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, dependencies) in dependencies()? {
        println!("{name}: {}", dependencies.join(", "));
        wrong.extend(misplaced(&name, &dependencies));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn height(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn misplaced(name: &str, dependencies: &[String]) -> Vec<String> {
    let Some(own) = height(name) else {
        return vec![format!(
            "{name} is in no layer; add it to LAYERS in xtask/src/checks/crate_graph.rs"
        )];
    };
    dependencies
        .iter()
        .filter(|dependency| height(dependency).is_none_or(|below| below >= own))
        .map(|dependency| format!("{name} depends on {dependency}, which is not below it"))
        .collect()
}

/// Returns the dependencies inside the workspace by crate, without development dependencies.
fn dependencies() -> Result<BTreeMap<String, Vec<String>>, String> {
    let folder = root().join("crates");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut all = BTreeMap::new();
    for entry in entries.flatten() {
        let path = entry.path().join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let manifest: toml::Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
        let table = manifest.get("dependencies").and_then(toml::Value::as_table);
        let names = table.into_iter().flat_map(|table| table.keys());
        let own = names.filter(|name| *name == "zor" || name.starts_with("zor-")).cloned();
        all.insert(entry.file_name().to_string_lossy().into_owned(), own.collect());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_layered() {
        run().unwrap();
    }

    #[test]
    fn a_crate_that_depends_upwards_or_sideways_is_noticed() {
        let on = |name: &str| vec![name.to_owned()];
        assert_eq!(misplaced("zor-core", &on("zor-optim")).len(), 1);
        assert_eq!(misplaced("zor-data", &on("zor-core")).len(), 1);
        assert_eq!(misplaced("zor", &on("zor-io")).len(), 0);
        assert_eq!(misplaced("zor-new", &[]).len(), 1);
    }
}
