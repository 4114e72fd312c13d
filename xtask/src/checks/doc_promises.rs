//! Checks that the tests named by promises in the documentation exist.

use std::fs;

use crate::paths::root;

/// Pages with a table of promises.
const PAGES: [&str; 1] = ["docs/files.md"];

/// Fails if a test that a table names, as `` `file` `test` `` in the last column, does not exist.
pub(crate) fn run() -> Result<(), String> {
    let mut missing = Vec::new();
    for page in PAGES {
        let text = read(page)?;
        let rows = text.lines().filter_map(named);
        let mut n = 0;
        for (file, test) in rows {
            n += 1;
            if !has_test(&read(file)?, test) {
                missing.push(format!("{page}: {file} has no test {test}"));
            }
        }
        if n == 0 {
            missing.push(format!("{page}: no row names a test"));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Returns the file and the test that a row of a table names.
fn named(line: &str) -> Option<(&str, &str)> {
    let cell = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.rsplit('|').next()?;
    let mut words = cell.trim().split('`').filter(|word| !word.trim().is_empty());
    let (file, test) = (words.next()?, words.next()?);
    (file.ends_with(".rs") && words.next().is_none()).then_some((file, test))
}

/// Returns whether a source file has a test of this name.
fn has_test(source: &str, test: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let function = format!("fn {test}()");
    let at = lines.iter().position(|line| line.starts_with(&function));
    at.is_some_and(|at| lines[..at].iter().rev().take(4).any(|line| *line == "#[test]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_tests_and_tests_are_found() {
        let row = "| It holds. | `src/a.rs` `it_holds` |";
        assert_eq!(named(row), Some(("src/a.rs", "it_holds")));
        assert_eq!(named("| offset | `16` |"), None);
        assert_eq!(named("|---|---|"), None);
        assert!(has_test("    #[test]\n    fn it_holds() {", "it_holds"));
        assert!(!has_test("    fn it_holds() {", "it_holds"));
        assert!(!has_test("#[test]\nfn it_holds_too() {", "it_holds"));
    }
}
