//! `zor train table`, `zor predict`, `zor eval` and `zor export` on tables.

use std::fs;
use std::path::Path;

use crate::support::{done, folder, refused};

/// Writes a table in which the class depends on two columns and the price on three; some cells are
/// missing.
fn write_table(path: &Path, rows: usize) {
    let mut text = "width,colour,weight,kind,price\n".to_owned();
    for row in 0..rows {
        let (width, weight) = ((row * 7 % 23) as f64 / 4.0, (row * 5 % 17) as f64);
        let colour = ["red", "green", "blue"][row % 3];
        let kind = if (width > 2.7) == (colour != "red") { "large" } else { "small" };
        let price = 10.0 + 3.0 * width + 0.5 * weight + f64::from(u8::from(colour == "blue"));
        let weight = if row % 11 == 5 { String::new() } else { weight.to_string() };
        text += &format!("{width},{colour},{weight},{kind},{price}\n");
    }
    fs::write(path, text).unwrap();
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn classes_of_a_table_are_learned_evaluated_and_predicted() {
    let folder = folder();
    let at = folder.path();
    write_table(&at.join("parts.csv"), 200);
    let train = ["train", "table", "--data", "parts.csv", "--target", "kind", "--ignore", "price"];
    let (text, _) = done(at, &[&train[..], &["--json", "--out", "run"]].concat());
    let object = json(&text);
    assert!(object["top1"].as_f64().unwrap() > 0.9, "{object}");
    assert_eq!((&object["train_samples"], &object["eval_samples"]), (&161.into(), &39.into()));
    assert!(at.join("run/confusion.svg").is_file());
    // The columns in another order, an extra column, and no target.
    let other = "extra,weight,colour,width\n1,2,red,5\n1,,blue,5\n";
    fs::write(at.join("new.csv"), other).unwrap();
    let (text, _) = done(at, &["predict", "--model", "run", "new.csv"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "extra,weight,colour,width,predicted kind,probability");
    assert!(lines[1].starts_with("1,2,red,5,small,") && lines[2].starts_with("1,,blue,5,large,"));
    let (text, _) = done(at, &["predict", "--model", "run", "new.csv", "--json"]);
    assert_eq!(json(&text)["predictions"][0]["class"], "small");
    done(at, &["predict", "--model", "run", "new.csv", "--out", "predicted.csv"]);
    assert!(fs::read_to_string(at.join("predicted.csv")).unwrap().contains("predicted kind"));
    let (text, _) = done(at, &["eval", "--model", "run", "--data", "parts.csv", "--json"]);
    assert!(json(&text)["top1"].as_f64().unwrap() > 0.9, "{text}");
    done(at, &["export", "run", "--data", "parts.csv", "--int8"]);
}

#[test]
fn numbers_of_a_table_are_learned_in_their_own_unit() {
    let folder = folder();
    let at = folder.path();
    write_table(&at.join("parts.csv"), 200);
    let train = ["train", "table", "--data", "parts.csv", "--target", "price", "--ignore", "kind"];
    let (text, _) = done(at, &[&train[..], &["--json", "--out", "run"]].concat());
    let object = json(&text);
    assert!(object["r2"].as_f64().unwrap() > 0.95, "{object}");
    let (text, _) = done(at, &["predict", "--model", "run", "parts.csv", "--json"]);
    let value = json(&text)["predictions"][1]["value"].as_f64().unwrap();
    assert!((value - 17.75).abs() < 2.0, "{value}");
}

#[test]
fn faults_of_tables_are_named_with_line_and_column() {
    let folder = folder();
    let at = folder.path();
    write_table(&at.join("parts.csv"), 100);
    let train =
        |more: &[&'static str]| [&["train", "table", "--steps", "5", "--data"][..], more].concat();
    refused(at, &["train", "table"], 2, &["--data"]);
    refused(at, &train(&["parts.csv"]), 2, &["--target", "width, colour, weight, kind, price"]);
    refused(at, &train(&["parts.csv", "--target", "size"]), 2, &["parts.csv", "'size'", "width"]);
    let augment = train(&["parts.csv", "--target", "kind", "--augment"]);
    refused(at, &augment, 2, &["augment", "no effect"]);
    done(at, &train(&["parts.csv", "--target", "kind", "--out", "run"]));
    let cases = [
        (
            "width,colour,weight,kind,price\n1,red,2,small\n",
            &["line 2", "4 cells", "5 columns"][..],
        ),
        ("width,colour,weight,kind,price\n1,pink,2,small,3\n", &["line 2", "'colour'", "'pink'"]),
        ("width,colour,weight,kind,price\nwide,red,2,small,3\n", &["line 2", "'width'", "'wide'"]),
        ("width,colour,kind,price\n1,red,small,3\n", &["'weight'"]),
    ];
    for (text, words) in cases {
        fs::write(at.join("bad.csv"), text).unwrap();
        refused(at, &["predict", "--model", "run", "bad.csv"], 2, &[&["bad.csv"], words].concat());
    }
    let missing = "width,colour,weight,kind,price\n1,red,2,small,3\n1,red,2,,3\n1,red,2,small,3\n";
    fs::write(at.join("missing.csv"), missing).unwrap();
    refused(at, &train(&["missing.csv", "--target", "kind"]), 2, &["line 3", "'kind'"]);
    // Models of other tasks are rejected.
    done(
        at,
        &["train", "fashion-reconstruction", "--steps", "2", "--no-baseline", "--out", "other"],
    );
    refused(
        at,
        &["predict", "--model", "other", "parts.csv"],
        2,
        &["fashion-reconstruction", "table"],
    );
}

#[test]
fn tasks_are_listed_with_their_settings() {
    let folder = folder();
    let at = folder.path();
    let (list, _) = done(at, &["tasks"]);
    for name in ["reconstruction", "classification", "colorization", "cifar-colorization", "table"]
    {
        assert!(list.contains(name), "{name} is not in {list}");
    }
    for arguments in [&["tasks", "table"][..], &["train", "table", "--help"]] {
        let (text, _) = done(at, arguments);
        assert!(text.contains("hidden = 256") && text.contains("[rule_settings]"), "{text}");
        assert!(!text.contains("early_crop ="), "a setting of images: {text}");
    }
    refused(at, &["tasks", "tables"], 2, &["did you mean 'table'"]);
}

#[test]
fn classes_of_different_sizes_are_balanced_in_two_ways() {
    let folder = folder();
    let at = folder.path();
    let row = |i: usize| format!("{},{}\n", i % 10, if i % 10 == 3 { "rare" } else { "usual" });
    let text: String = std::iter::once("x,y\n".to_owned()).chain((0..200).map(row)).collect();
    fs::write(at.join("t.csv"), text).unwrap();
    let train = ["train", "table", "--data", "t.csv", "--target", "y", "--steps", "30"];
    for way in ["none", "weights", "sampling"] {
        let (text, _) = done(at, &[&train[..], &["--class-balance", way, "--json"]].concat());
        assert!(json(&text)["per_class"].is_null(), "{text}");
    }
    refused(at, &[&train[..], &["--class-balance", "all"]].concat(), 2, &["weights", "sampling"]);
    let reconstruction = ["train", "fashion-reconstruction", "--class-balance", "weights"];
    refused(at, &reconstruction, 2, &["class_balance", "no effect"]);
}
