//! Small rules that a reader relies on.

use std::fs;
use std::path::Path;

use crate::paths::root;

/// Runs every rule.
pub(crate) fn run() -> Result<(), String> {
    architecture_names_every_folder()
}

/// ARCHITECTURE.md names every folder that is not hidden or made by tools.
fn architecture_names_every_folder() -> Result<(), String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md"))
        .map_err(|e| format!("ARCHITECTURE.md: {e}"))?;
    let mut missing = Vec::new();
    visit(&root(), Path::new(""), &mut |folder| {
        if !text.contains(&format!("`{folder}`")) {
            missing.push(folder.to_owned());
        }
    })
    .map_err(|e| e.to_string())?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("ARCHITECTURE.md does not name {}", missing.join(", ")))
    }
}

fn visit(base: &Path, inside: &Path, see: &mut dyn FnMut(&str)) -> std::io::Result<()> {
    for entry in fs::read_dir(base.join(inside))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let made = inside.as_os_str().is_empty() && ["target", "runs", "shared"].contains(&&*name);
        if !entry.file_type()?.is_dir() || name.starts_with('.') || made {
            continue;
        }
        let path = inside.join(&name);
        see(&path.to_string_lossy().replace('\\', "/"));
        visit(base, &path, see)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        super::run().unwrap();
    }
}
