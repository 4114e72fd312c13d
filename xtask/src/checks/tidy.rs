//! Checks of the repository itself: documented folders and the width of comments.

use std::fs;
use std::path::Path;

use crate::paths::root;

/// Runs every rule.
pub(crate) fn run() -> Result<(), String> {
    architecture_names_every_folder()?;
    comments_wrap()
}

/// Maximum width of a comment in columns. `rustfmt` wraps code at this width, but not comments.
const WIDTH: usize = 100;

/// Fails if a comment in Rust is wider than [`WIDTH`] columns.
fn comments_wrap() -> Result<(), String> {
    let mut wide = Vec::new();
    let mut folders = vec![String::new()];
    visit(&root(), Path::new(""), &mut |folder| folders.push(folder.to_owned()))
        .map_err(|e| e.to_string())?;
    for folder in folders {
        let entries = fs::read_dir(root().join(&folder)).map_err(|e| format!("{folder}: {e}"))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                wide.extend(wide_comments(&text).map(|line| format!("{shown}:{line}")));
            }
        }
    }
    if wide.is_empty() {
        Ok(())
    } else {
        Err(format!("comments wider than {WIDTH} columns: {}", wide.join(", ")))
    }
}

/// Returns the numbers of lines whose comment is too wide. A comment of one word, such as an
/// address, cannot be wrapped and is left out.
fn wide_comments(text: &str) -> impl Iterator<Item = usize> + '_ {
    let is_wide = |line: &str| {
        let comment = line.trim_start();
        comment.starts_with("//")
            && line.chars().count() > WIDTH
            && comment.split_whitespace().count() > 2
    };
    (1..).zip(text.lines()).filter(move |(_, line)| is_wide(line)).map(|(number, _)| number)
}

/// Fails if ARCHITECTURE.md does not name every folder that is not hidden or generated.
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
        let hidden = name.starts_with('.') || name == "__pycache__";
        if !entry.file_type()?.is_dir() || hidden || made {
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

    #[test]
    fn a_wide_comment_is_found_by_its_line() {
        let wide = format!("fn a() {{}}\n    /// {}\n// {}\n", "word ".repeat(20), "x".repeat(120));
        assert_eq!(super::wide_comments(&wide).collect::<Vec<_>>(), [2]);
    }
}
