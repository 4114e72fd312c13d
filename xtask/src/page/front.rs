//! Checks that the README stays short, and that its badges and its clone command are true.

use std::fs;

use crate::paths::root;

/// Maximum number of lines.
const LINES: usize = 130;
/// Maximum width of a line in characters.
const WIDTH: usize = 160;
/// Number of tables.
const TABLES: usize = 1;
/// Maximum number of numbers outside code and addresses.
const NUMBERS: usize = 90;
/// Last line on which the first install command may be.
const INSTALL: usize = 50;

/// Fails if the README exceeds a limit, or says something else than the manifests.
pub(super) fn check() -> Result<(), String> {
    let read =
        |path: &str| fs::read_to_string(root().join(path)).map_err(|e| format!("{path}: {e}"));
    let text = read("README.md")?;
    let mut wrong = limits(&text);
    let rust: toml::Table = read("Cargo.toml")?.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let package = &rust["workspace"]["package"];
    let manifest = "crates/zor-python/pyproject.toml";
    let python: toml::Table = read(manifest)?.parse().map_err(|e| format!("{manifest}: {e}"))?;
    let python = python["project"]["requires-python"].as_str().unwrap_or_default();
    for said in [
        format!("git clone {} ", package["repository"].as_str().unwrap_or_default()),
        format!("rust-{}%2B", package["rust-version"].as_str().unwrap_or_default()),
        format!("python-{}%2B", python.trim_start_matches(">=")),
    ] {
        if !text.contains(&said) {
            wrong.push(format!("'{said}' of the manifests is missing"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("README.md: {}", wrong.join("; "))) }
}

/// Returns the limits that a page exceeds.
fn limits(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut limit = |what: &str, found: usize, most: usize| {
        if found > most {
            wrong.push(format!("{found} {what}, at most {most} are allowed"));
        }
    };
    limit("lines", text.lines().count(), LINES);
    limit(
        "characters in a line",
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0),
        WIDTH,
    );
    limit("tables", text.lines().filter(|line| line.starts_with("|---")).count(), TABLES);
    let prose = super::typed::prose(text).map(|(_, line)| line);
    limit("numbers", prose.map(|line| numbers(&line)).sum(), NUMBERS);
    let install = text.lines().position(|line| line.starts_with("git clone"));
    limit(
        "is the line of the first install command",
        install.map_or(usize::MAX, |at| at + 1),
        INSTALL,
    );
    wrong
}

/// Number of numbers in a line.
fn numbers(line: &str) -> usize {
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    line.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').filter(is_number).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_page_is_short_and_true() {
        check().unwrap();
    }

    #[test]
    fn a_page_that_is_too_long_is_found() {
        assert_eq!(numbers("| 1.5 dB [1,000, 2] | 784-64-784 |"), 6);
        assert!(limits("git clone a\n").is_empty());
        let long =
            "12 ".repeat(60) + "\n|---|\n" + &"line\n".repeat(130) + "|---|\n" + &"3 ".repeat(31);
        let found = limits(&long);
        assert_eq!(found.len(), 5, "{found:?}");
    }
}
