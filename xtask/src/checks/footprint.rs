//! Bounds the footprint of the command: crates that it builds, bytes of its binary, lines of
//! zor-core.

use std::collections::BTreeSet;
use std::fs;

use crate::cargo;
use crate::paths::root;

/// Maximum number of crates that `cargo install` of the command builds, including those of Zor.
const MAX_CRATES: usize = 260;
/// Maximum size of the release binary in bytes. Translation, with its sample of pairs and the table
/// of composed characters, takes a twentieth of it.
const MAX_BINARY: u64 = 18 << 20;
/// Maximum lines of code of zor-core, without comments, blank lines and tests. A fifth of them are
/// the convolutions for the CPU, a tenth the kernels for GPUs; a hundred lines check that layers
/// visit all their tensors and fit each other, and that an optimizer's state is its own; 150
/// describe the operations of layers to autodiff and exports, and 2,500 serve sequences
/// and their decoding, a hundred products of many rows.
const MAX_LINES: usize = 12_800;

/// Builds the command in release, prints the three numbers, and fails if one exceeds its maximum.
pub(crate) fn run() -> Result<(), String> {
    let measured = [
        ("crates built for the command", crates()? as u64, MAX_CRATES as u64),
        ("bytes of the release binary", binary()?, MAX_BINARY),
        ("lines of code in zor-core", lines()? as u64, MAX_LINES as u64),
    ];
    let mut over = Vec::new();
    for (what, found, most) in measured {
        println!("{what:<32}{found:>12}   at most {most}");
        if found > most {
            over.push(format!("{found} {what}, more than {most}"));
        }
    }
    if over.is_empty() { Ok(()) } else { Err(over.join("; ")) }
}

fn crates() -> Result<usize, String> {
    let output = cargo::command()
        .args(["tree", "--package", "zor-cli", "--edges", "normal,build", "--prefix", "none"])
        .output()
        .map_err(|e| format!("cargo tree: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(text.lines().map(name).filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().len())
}

fn binary() -> Result<u64, String> {
    crate::cargo::run("release build", &["build", "--release", "--package", "zor-cli"])?;
    let path = crate::paths::program();
    fs::metadata(&path).map(|file| file.len()).map_err(|e| format!("{}: {e}", path.display()))
}

fn lines() -> Result<usize, String> {
    let mut sum = 0;
    let mut folders = vec![root().join("crates/zor-core/src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs" && name != "cases.rs")
            {
                let text =
                    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                sum += code_lines(&text);
            }
        }
    }
    Ok(sum)
}

/// Counts lines of code. Tests are at the end of a file, in a module with its `cfg`, or in a
/// `tests.rs`; `cases.rs` has operations for device checks.
fn code_lines(text: &str) -> usize {
    let is_code = |line: &str| !line.is_empty() && !line.starts_with("//");
    let is_test = |line: &str| line.starts_with("#[cfg") && line.contains("test");
    let (mut count, mut after_cfg) = (0, false);
    for line in text.lines().map(str::trim) {
        if after_cfg && line.starts_with("mod ") && !line.ends_with(';') {
            break;
        }
        after_cfg = is_test(line) || after_cfg && line.starts_with("#[");
        count += usize::from(is_code(line) && !after_cfg);
    }
    count
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_and_tests_are_no_lines_of_code() {
        let text = "//! Doc\n\nfn a() {\n    // why\n}\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(super::code_lines(text), 2);
        assert_eq!(super::code_lines("#[cfg(all(test, feature = \"flex\"))]\nmod tests {}"), 0);
        assert_eq!(super::code_lines("#[cfg(test)]\nmod tests;\nmod a;\n"), 2);
    }
}
