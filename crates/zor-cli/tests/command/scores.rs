//! `zor score` on text files.

use std::fs;

use crate::support::{done, folder, json, refused};

#[test]
fn translations_are_scored_in_a_table_and_as_json() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("out.txt"), "The cat sat on the mat.\nA dog barks loudly.\n").unwrap();
    fs::write(at.join("ref.txt"), "The cat is on the mat.\nA dog barks loudly.\n").unwrap();
    let (table, _) = done(at, &["score", "out.txt", "ref.txt"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    // Figures of sacreBLEU 2.6.0: 69.1891287615 and 82.8319569031.
    assert!(lines[1].starts_with("BLEU") && lines[1].contains(" 69.19  nrefs:1|"), "{table}");
    assert!(lines[2].starts_with("chrF") && lines[2].contains(" 82.83  nrefs:1|"), "{table}");
    let (text, remarks) = done(at, &["score", "out.txt", "ref.txt", "--json"]);
    let object = json(&text);
    assert!((object["bleu"].as_f64().unwrap() - 0.691_891_287_615).abs() < 1e-9, "{object}");
    assert!((object["chrf"].as_f64().unwrap() - 0.828_319_569_031).abs() < 1e-9, "{object}");
    assert_eq!(object["sentences"], 2);
    let signatures = ["signature_bleu", "signature_chrf"].map(|key| object[key].as_str().unwrap());
    assert_eq!(signatures[0], "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp");
    assert_eq!(signatures[1], "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no");
    assert!(text.lines().count() == 1 && remarks.contains("signature"), "{text}{remarks}");
}

#[test]
fn line_breaks_of_other_systems_and_a_missing_last_one_change_no_score() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("ref.txt"), "one two three four\n\nfive six seven eight\n").unwrap();
    fs::write(at.join("out.txt"), "\u{feff}one two three four\r\n\r\nfive six seven eight")
        .unwrap();
    let (text, _) = done(at, &["score", "out.txt", "ref.txt", "--json"]);
    let object = json(&text);
    assert_eq!((&object["bleu"], &object["sentences"]), (&1.0.into(), &3.into()), "{object}");
}

#[test]
fn faults_of_text_files_are_named_with_file_and_line() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("three.txt"), "a\nb\nc\n").unwrap();
    fs::write(at.join("one.txt"), "a\n").unwrap();
    fs::write(at.join("empty.txt"), "").unwrap();
    fs::write(at.join("bytes.txt"), b"a\nb\n\xff\n").unwrap();
    fs::create_dir(at.join("folder")).unwrap();
    let score = |hypotheses, references, words: &[&str]| {
        refused(at, &["score", hypotheses, references], 2, words);
    };
    score("three.txt", "one.txt", &["three.txt: it has 3 lines, and one.txt has 1 line"]);
    score("three.txt", "bytes.txt", &["bytes.txt, line 3: it is not UTF-8"]);
    score("empty.txt", "three.txt", &["empty.txt: it is empty"]);
    score("three.txt", "none.txt", &["none.txt: there is no such file"]);
    score("folder", "three.txt", &["folder: it is a folder"]);
    refused(at, &["score", "three.txt"], 2, &["REFERENCES"]);
}
