//! `zor train translation` and `zor translate`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::support::{command, done, folder, json, refused};

/// A short training of a small network on the pairs of `pairs.tsv`.
const SHORT: [&str; 14] = [
    "train",
    "translation",
    "--data",
    "pairs.tsv",
    "--languages",
    "en,xx",
    "--hidden",
    "32",
    "--batch",
    "300",
    "--set",
    "translation.blocks=1",
    "--threads",
    "1",
];

/// Writes pairs of a language whose words are spelled backwards.
fn write_pairs(at: &Path) {
    let words = ["river", "stone", "cloud", "bread", "seven", "houses", "green", "night"];
    let mut text = String::new();
    for number in 0..80 {
        let chosen: Vec<&str> =
            (0..4).map(|place| words[(number * 3 + place * (number % 5 + 1)) % 8]).collect();
        let backwards: Vec<String> =
            chosen.iter().map(|word| word.chars().rev().collect()).collect();
        text += &format!("{} {number}.\t{} {number}.\n", chosen.join(" "), backwards.join(" "));
    }
    fs::write(at.join("pairs.tsv"), text).unwrap();
}

/// Trains in a folder, and returns the JSON object.
fn train(at: &Path, more: &[&str]) -> serde_json::Value {
    json(&done(at, &[&SHORT[..], &["--json"], more].concat()).0)
}

#[test]
fn a_trained_model_translates_as_many_lines_as_there_are() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    let results = train(at, &["--steps", "40", "--out", "run"]);
    for key in ["bleu", "chrf", "bleu_back", "chrf_back", "perplexity"] {
        assert!(results[key].as_f64().is_some_and(f64::is_finite), "{key}: {results}");
    }
    assert_eq!(results["task"], "translation");
    let lines = "river stone 4.\n\n  \nA \u{1f40e} עברית e\u{301} <b>\u{7}</b> 0123\nthe end";
    fs::write(at.join("in.txt"), format!("\u{feff}{lines}")).unwrap();
    let translate = ["translate", "--model", "run", "--to", "xx", "in.txt"];
    let (text, _) = done(at, &translate);
    assert_eq!(text.lines().count(), 5, "{text}");
    assert_eq!(text.lines().nth(1), Some(""));
    assert_eq!(done(at, &translate).0, text, "a second translation differs");
    let (scored, _) = done(at, &[&translate[..], &["--scores", "--beam", "1"]].concat());
    for line in scored.lines() {
        let score = line.split('\t').next().unwrap().parse::<f64>();
        assert!(score.is_ok_and(|score| score <= 0.0), "{line:?} of {scored:?}");
    }
    let (several, _) = done(at, &[&translate[..], &["--n-best", "3"]].concat());
    let of_first = several.lines().filter(|line| line.starts_with("1\t")).count();
    assert!((2..=3).contains(&of_first), "{several}");
    // A long line is divided, and nothing is left out silently.
    fs::write(at.join("long.txt"), "river stone cloud. ".repeat(2500)).unwrap();
    let long = ["translate", "--model", "run", "--to", "xx", "long.txt", "--beam", "1"];
    assert_eq!(done(at, &long).0.lines().count(), 1);
    let (evaluated, _) = done(at, &["eval", "--model", "run", "--data", "pairs.tsv", "--json"]);
    assert!(json(&evaluated)["chrf"].as_f64().unwrap() > 0.0, "{evaluated}");
}

#[test]
fn terms_of_a_glossary_are_in_the_translation() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    train(at, &["--steps", "10", "--out", "run"]);
    fs::write(at.join("terms.tsv"), "stone\tgranite block\nnight\tdusk\n").unwrap();
    fs::write(at.join("in.txt"), "The Stone of the night.\nriver\n").unwrap();
    let translate = ["translate", "--model", "run", "--to", "xx", "in.txt"];
    let (text, _) = done(at, &[&translate[..], &["--glossary", "terms.tsv"]].concat());
    let first = text.lines().next().unwrap();
    assert!(first.contains("granite block") && first.contains("dusk"), "{text}");
    assert!(!text.lines().nth(1).unwrap().contains("granite"), "{text}");
}

#[test]
fn a_resumed_training_ends_with_the_same_bits() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    train(at, &["--steps", "9", "--out", "whole"]);
    train(at, &["--steps", "9", "--out", "parts", "--checkpoint-every", "4", "--keep", "9"]);
    let checkpoint = "parts/checkpoint-00000004.zor";
    done(at, &["train", "--resume", checkpoint, "--out", "again", "--threads", "1"]);
    let tensors = |run: &str| {
        let target = format!("{run}.npz");
        done(at, &["convert", &format!("{run}/model.zor"), &target]);
        fs::read(at.join(target)).unwrap()
    };
    assert!(tensors("whole") == tensors("again"), "the weights differ");
}

#[test]
fn a_model_learns_on_from_corrections_with_its_vocabulary() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    train(at, &["--steps", "5", "--out", "first"]);
    let mut more = fs::read_to_string(at.join("pairs.tsv")).unwrap();
    more += "a wholly new kind\tdnik wen yllohw a\n";
    fs::write(at.join("more.tsv"), more).unwrap();
    let arguments =
        ["train", "translation", "--from", "first", "--data", "more.tsv", "--steps", "3"];
    done(at, &[&arguments[..], &["--out", "second", "--threads", "1"]].concat());
    let swapped = [&arguments[..], &["--languages", "xx,en"]].concat();
    refused(at, &swapped, 2, &["en,xx", "xx,en"]);
    let (text, _) = done(at, &["info", "second"]);
    assert!(text.contains("tied_embedding"), "{text}");
}

#[test]
fn pairs_that_were_moved_or_left_out_are_asked_for_by_their_flags() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    fs::copy(at.join("pairs.tsv"), at.join("dev.tsv")).unwrap();
    let every = ["--dev", "dev.tsv", "--checkpoint-every", "1", "--out", "run"];
    train(at, &[&["--steps", "2"], &every[..]].concat());
    refused(at, &["eval", "--model", "run"], 2, &["sample", "en,swa", "--data"]);
    fs::rename(at.join("dev.tsv"), at.join("moved.tsv")).unwrap();
    let resume = ["train", "--resume", "run", "--steps", "3", "--threads", "1"];
    refused(at, &resume, 2, &["dev.tsv", "--data", "--dev"]);
    done(at, &[&resume[..], &["--dev", "moved.tsv"]].concat());
}

#[test]
fn a_training_from_a_model_is_resumed_with_the_vocabulary_of_the_model() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    train(at, &["--steps", "5", "--out", "first"]);
    // Other words, from which another vocabulary and another lexicon would be learned.
    let pairs = fs::read_to_string(at.join("pairs.tsv")).unwrap();
    let pairs = pairs.replace("river", "meadow").replace("revir", "wodaem");
    fs::write(at.join("more.tsv"), pairs).unwrap();
    let from = ["train", "--from", "first", "--data", "more.tsv", "--steps", "9", "--threads", "1"];
    let every = |n: &'static str| ["--checkpoint-every", n, "--keep", "9"];
    done(at, &[&from[..], &every("4"), &["--out", "whole"]].concat());
    let resume = |checkpoint: &str, out: &str| {
        let resume = ["train", "--resume", checkpoint, "--out", out, "--threads", "1"];
        done(at, &[&resume[..], &every("3")].concat());
    };
    resume("whole/checkpoint-00000004.zor", "once");
    resume("once/checkpoint-00000006.zor", "twice");
    let model = |run: &str| fs::read(at.join(run).join("model.zor")).unwrap();
    for run in ["once", "twice"] {
        assert!(model("whole") == model(run), "{run}: the models differ");
    }
    let vocabulary = |run: &str| {
        let (text, _) = done(at, &["info", run]);
        text.lines().find(|line| line.starts_with("vocabulary: ")).unwrap().to_owned()
    };
    assert_eq!(vocabulary("first"), vocabulary("twice"));
    // Pairs from a model of another task are refused before the training.
    let other = ["train", "fashion-reconstruction", "--steps", "1", "--batch", "8", "--out", "o"];
    done(at, &[&other[..], &["--no-baseline"]].concat());
    let other = ["train", "translation", "--from", "o", "--data", "more.tsv"];
    let other = [&other[..], &["--languages", "en,xx"]].concat();
    refused(at, &other, 2, &["model to start from", "no vocabulary"]);
}

#[test]
fn lines_are_translated_as_they_come_in() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    train(at, &["--steps", "3", "--out", "run"]);
    let mut child = command(at, &["translate", "--model", "run", "--to", "en"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        writeln!(input, "revir").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert!(line.ends_with('\n'), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn faults_of_pairs_and_lines_are_one_clear_line() {
    let folder = folder();
    let at = folder.path();
    write_pairs(at);
    let with = |data: &'static str, more: &[&'static str], words: &[&str]| {
        let arguments = [&["train", "translation", "--data", data][..], more].concat();
        refused(at, &arguments, 2, words);
    };
    let languages = ["--languages", "en,xx"];
    with("pairs.tsv", &[], &["--languages"]);
    with("pairs.tsv", &["--languages", "en"], &["two different codes"]);
    with("none.tsv", &languages, &["none.tsv"]);
    fs::write(at.join("text.en"), "a\nb\n").unwrap();
    fs::write(at.join("text.xx"), "a\n").unwrap();
    with("text", &languages, &["text.en", "2 lines", "text.xx", "has 1"]);
    fs::write(at.join("bytes.tsv"), b"a\tb\n\xff\tc\n").unwrap();
    with("bytes.tsv", &languages, &["bytes.tsv", "line 2", "UTF-8"]);
    fs::write(at.join("few.tsv"), "a\tb\n").unwrap();
    with("few.tsv", &languages, &["few.tsv", "at least 20"]);
    with("pairs.csv", &languages, &["pairs.csv", ".tsv"]);
    refused(at, &["train", "translation", "--corpus", "en-klingon"], 2, &["en-pcm"]);
    let heads = ["--languages", "en,xx", "--hidden", "30"];
    with("pairs.tsv", &heads, &["hidden", "multiple of 8"]);
    train(at, &["--steps", "2", "--out", "run"]);
    let translate = |file: &'static str, more: &[&'static str], words: &[&str]| {
        let arguments = [&["translate", "--model", "run", file][..], more].concat();
        refused(at, &arguments, 2, words);
    };
    fs::write(at.join("in.txt"), "a\nb\n").unwrap();
    fs::write(at.join("bad.txt"), b"a\nb\xc3\n").unwrap();
    translate("in.txt", &["--to", "fr"], &["fr", "en", "xx"]);
    translate("in.txt", &["--to", "xx", "--beam", "0"], &["beam"]);
    translate("bad.txt", &["--to", "xx"], &["bad.txt, line 2, byte 2", "UTF-8"]);
    translate("none.txt", &["--to", "xx"], &["none.txt"]);
    fs::write(at.join("terms.tsv"), "a\n").unwrap();
    translate("in.txt", &["--to", "xx", "--glossary", "terms.tsv"], &["terms.tsv"]);
}
