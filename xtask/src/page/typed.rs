//! Checks that measured figures in pages come from the results files, not from somebody's hand.

use std::fs;

use crate::paths::root;

/// Units of measured figures.
const UNITS: [&str; 27] = [
    "%",
    "dB",
    "us",
    "ms",
    "s",
    "second",
    "seconds",
    "min",
    "minute",
    "minutes",
    "hours",
    "bytes",
    "KB",
    "MB",
    "GB",
    "KiB",
    "MiB",
    "GiB",
    "B",
    "times",
    "points",
    "instructions",
    "GFLOP",
    "GFLOP/s",
    "TFLOP/s",
    "GB/s",
    "million",
];
/// Programs before whose version a decimal point may stand.
const VERSIONED: [&str; 12] = [
    "Rust",
    "Python",
    "PyTorch",
    "burn",
    "NumPy",
    "Vulkan",
    "CUDA",
    "Runtime",
    "version",
    "Zor",
    "scikit-learn",
    "PyOD",
];

/// Fails if a page has a figure that is neither filled in nor marked as typed.
pub(super) fn check() -> Result<(), String> {
    let mut texts = super::templates()?;
    for (name, _) in &mut texts {
        *name = format!("docs/templates/{name}");
    }
    for folder in ["docs", "docs/remarks", "examples"] {
        texts.extend(pages(folder)?);
    }
    for entry in fs::read_dir(root().join("crates")).map_err(|e| format!("crates: {e}"))?.flatten()
    {
        texts.extend(pages(&format!("crates/{}", entry.file_name().to_string_lossy()))?);
    }
    let found: Vec<String> = texts
        .iter()
        .filter(|(name, text)| !text.starts_with(super::GENERATED) && name != "docs/benchmarks.md")
        .flat_map(|(name, text)| {
            typed(text).into_iter().map(move |(line, figure)| format!("{name}:{line}: {figure}"))
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "figures typed by hand; take them from docs/results with {{{{FILE/KEY @ FORMAT}}}} in a template, or write \
         {{{{typed ...}}}} around a setting or a cited figure:\n{}",
        found.join("\n")
    ))
}

/// Returns the name and the text of the Markdown files directly in a folder.
fn pages(folder: &str) -> Result<Vec<(String, String)>, String> {
    let entries = fs::read_dir(root().join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            found.push((format!("{folder}/{name}"), text));
        }
    }
    Ok(found)
}

/// Returns the line and the text of every figure outside code, addresses and `{{...}}`.
fn typed(text: &str) -> Vec<(usize, String)> {
    let of_line = |(number, line): (usize, String)| {
        figures(&line).into_iter().map(move |figure| (number, figure))
    };
    prose(text).flat_map(of_line).collect()
}

/// Returns the number and the text of every line, without code, addresses, comments and `{{...}}`.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        if in_code || is_fence {
            return None;
        }
        let marks = [("{{", "}}"), ("`", "`"), ("](", ")"), ("<", ">")];
        Some((
            number,
            marks.iter().fold(line.to_owned(), |line, (start, end)| without(&line, start, end)),
        ))
    })
}

/// Removes every part between two marks.
fn without(line: &str, start: &str, end: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(start) {
        kept += before;
        kept.push(' ');
        match after.split_once(end) {
            Some((_, after)) => rest = after,
            None => return kept + after,
        }
    }
    kept + rest
}

/// Returns the numbers of a line that have a unit or a decimal point.
fn figures(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let inner = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '%' && c != '.');
        let inner = inner.trim_end_matches('.');
        let end = inner.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
        let (number, unit) = inner.split_at(end.unwrap_or(inner.len()));
        let starts = number.starts_with(|c: char| c.is_ascii_digit());
        if !starts || number.matches('.').count() > 1 {
            continue;
        }
        let next = words
            .get(index + 1)
            .map_or("", |next| next.trim_end_matches(['.', ',', ';', ':', ')', ']']));
        let before = index.checked_sub(1).map_or("", |index| words[index]);
        let before = before.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
        let has_unit = UNITS.contains(&unit) || (unit.is_empty() && UNITS.contains(&next));
        let has_point = unit.is_empty() && number.contains('.') && !VERSIONED.contains(&before);
        if has_unit || has_point {
            found.push(format!("{word} {next}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_has_a_figure_of_somebodys_hand() {
        check().unwrap();
    }

    #[test]
    fn figures_are_found_and_settings_are_not() {
        let text = "It takes 5 ms, or 12.5 dB (3x3), {{typed 5 %}} of `2.5 s`.\n\
                    ```\n7 ms\n```\nRust 1.95, 784-64-784, 10 images [1.5, 99 %].\n";
        let found: Vec<String> =
            typed(text).into_iter().map(|(line, one)| format!("{line}: {one}")).collect();
        assert_eq!(found, ["1: 5 ms", "1: 12.5 dB", "5: [1.5, 99", "5: 99 %"]);
    }
}
