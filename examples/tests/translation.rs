//! The example of translation: its made-up language, files of the user, and their faults.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the example, which `cargo test` builds next to the tests.
fn run(folder: &Path, files: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.ancestors().nth(2).unwrap().to_path_buf();
    let name = format!("translation{}", std::env::consts::EXE_SUFFIX);
    let program = target.join("examples").join(name);
    Command::new(program).args(files).current_dir(folder).output().unwrap()
}

/// Translated lines as source, translation and score.
fn translated(output: Output) -> Vec<(String, String, f64)> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let parts = |line: &str| {
        let (source, rest) = line.split_once(" -> ")?;
        let (translation, score) = rest.strip_suffix(')')?.split_once(" (score ")?;
        Some((source.to_owned(), translation.to_owned(), score.parse().ok()?))
    };
    text.lines().filter_map(parts).collect()
}

#[test]
fn unseen_sentences_of_the_made_up_language_are_translated_by_its_rule() {
    let folder = tempfile::tempdir().unwrap();
    let found = translated(run(folder.path(), &[]));
    assert_eq!(found.len(), 3);
    for (source, translation, score) in found {
        let mut words: Vec<&str> = source.trim_end_matches('.').split(' ').collect();
        let verb = words.remove(3);
        words.push(verb);
        let words: Vec<String> = words.iter().map(|word| word.chars().rev().collect()).collect();
        assert_eq!(translation, format!("{}.", words.join(" ")));
        assert!((-1.0..0.0).contains(&score), "{source}: {score}");
    }
}

#[test]
fn pairs_are_read_from_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let lines = |words: [&str; 2]| -> String {
        (0..60).map(|n| format!("{} {n} {}\n", words[n % 2], words[(n / 2) % 2])).collect()
    };
    fs::write(at.join("pairs.a"), lines(["red", "blue"])).unwrap();
    fs::write(at.join("pairs.b"), lines(["rojo", "azul"])).unwrap();
    let found = translated(run(at, &["pairs.a", "pairs.b"]));
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].0, "blue 57 red");
    let refused = |files: &[&str], words: &str| {
        let output = run(at, files);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(words), "{files:?}: {text}");
    };
    refused(&["pairs.a"], "two files");
    refused(&["pairs.a", "pairs.c"], "pairs.c");
    fs::write(at.join("pairs.c"), "one\n".repeat(59)).unwrap();
    refused(&["pairs.a", "pairs.c"], "59");
    fs::write(at.join("one.a"), "red\n").unwrap();
    fs::write(at.join("one.b"), "rojo\n").unwrap();
    refused(&["one.a", "one.b"], "no sentence pairs to evaluate on");
}
