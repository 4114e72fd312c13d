//! `zor train detection`, `zor detect` and `zor eval` on tables, series and streams.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use crate::support::{command, done, folder, json, refused};

/// Writes a table in which the pressure follows the temperature. Every tenth row from row 5 on is
/// an anomaly if `has_labels`: its pressure does not.
fn write_table(path: &Path, rows: usize, has_labels: bool) {
    let mut text = format!("temperature,pressure,mode{}\n", if has_labels { ",label" } else { "" });
    for row in 0..rows {
        let temperature = 20.0 + (row * 37 % 101) as f64 / 10.0;
        let is_anomaly = has_labels && row % 10 == 5;
        let noise = (row * 53 % 17) as f64 / 20.0;
        let pressure = 2.0 * temperature + noise + if is_anomaly { 15.0 } else { 0.0 };
        let mode = ["idle", "run"][row % 2];
        let label = if has_labels { format!(",{}", u8::from(is_anomaly)) } else { String::new() };
        let _ = writeln!(text, "{temperature:.2},{pressure:.2},{mode}{label}");
    }
    fs::write(path, text).unwrap();
}

fn train(at: &Path) {
    write_table(&at.join("normal.csv"), 64, false);
    done(at, &["train", "detection", "--data", "normal.csv", "--out", "run"]);
}

#[test]
fn anomalies_of_a_table_are_found_and_explained() {
    let folder = folder();
    let at = folder.path();
    train(at);
    write_table(&at.join("new.csv"), 100, true);
    let detect = ["detect", "--model", "run", "new.csv"];
    let (text, _) = done(at, &[&detect[..], &["--explain", "--plot", "scores.svg"]].concat());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("row,score,p_value,alarm,explanation", 101));
    let is_alarm = |row: usize| lines[row + 1].split(',').nth(3) == Some("1");
    let anomalies = (0..100).filter(|row| row % 10 == 5);
    assert!(anomalies.clone().all(is_alarm), "{text}");
    let false_alarms = (0..100).filter(|&row| row % 10 != 5 && is_alarm(row)).count();
    assert!(false_alarms <= 12, "{false_alarms} false alarms: {text}");
    for row in anomalies {
        let cause = lines[row + 1].split('"').nth(1).unwrap();
        assert!(
            cause.starts_with("pressure is ") || cause.starts_with("temperature is "),
            "{cause}"
        );
        assert!(cause.contains(", expected "), "{cause}");
    }
    assert!(fs::read_to_string(at.join("scores.svg")).unwrap().contains("</svg>"));
    let eval = ["eval", "--model", "run", "--data", "new.csv", "--label", "label", "--json"];
    let (text, _) = done(at, &eval);
    let object = json(&text);
    assert!(object["auroc"].as_f64().unwrap() > 0.95, "{object}");
}

#[test]
fn labelled_anomalies_are_evaluated_and_not_trained_on() {
    let folder = folder();
    let at = folder.path();
    write_table(&at.join("all.csv"), 200, true);
    let train = ["train", "detection", "--label", "label", "--json"];
    let (text, _) = done(at, &[&train[..], &["--data", "all.csv", "--out", "run"]].concat());
    let object = json(&text);
    assert_eq!((&object["train_samples"], &object["eval_samples"]), (&144.into(), &56.into()));
    let mut from_input = command(at, &train);
    from_input.args(["--data", "-", "--out", "piped"]);
    let output = from_input.stdin(File::open(at.join("all.csv")).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let piped = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(piped["auroc"], object["auroc"], "{piped}");
    let (text, _) = done(
        at,
        &[&train[..], &["--data", "all.csv", "--out", "few", "--train-samples", "40"]].concat(),
    );
    assert_eq!(json(&text)["train_samples"], 40);
    assert!(object["auroc"].as_f64().unwrap() > 0.95, "{object}");
}

#[test]
fn rows_of_a_stream_are_scored_as_they_come_in() {
    let folder = folder();
    let at = folder.path();
    train(at);
    for line_end in ["\n", "\r\n", "\r"] {
        let mut detect = command(at, &["detect", "--model", "run", "-", "--json-lines"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = detect.stdin.take().unwrap();
        let mut output = BufReader::new(detect.stdout.take().unwrap());
        write!(input, "mode,pressure,temperature{line_end}").unwrap();
        // Each answer comes before the next row is written.
        for (row, cells) in ["idle,50,25", "run,oops,25", "run,80,25", ",,25"].iter().enumerate() {
            write!(input, "{cells}{line_end}").unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["row"], row, "{line}");
            assert_eq!(object["score"].is_null(), row == 1, "{line}");
            if row == 2 {
                assert_eq!(object["alarm"], true, "{line}");
            }
        }
        drop(input);
        let ended = detect.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{said}");
        assert!(
            said.contains("standard input, line 3, column 'pressure': 'oops' is not"),
            "{said}"
        );
        assert!(said.contains("rows: 4, scored: 3, alarms: 1, unreadable: 1"), "{said}");
    }
}

#[test]
fn a_series_is_read_in_windows_without_gaps() {
    let folder = folder();
    let at = folder.path();
    let series = |path: &str, rows: usize, gap: usize, strange: usize| {
        let mut text = "time,value\n".to_owned();
        for row in 0..rows {
            let minute = row + if row >= gap { 30 } else { 0 };
            let value = (row as f64 * 0.7).sin() + if row == strange { 2.5 } else { 0.0 };
            let _ =
                writeln!(text, "2026-01-01 {:02}:{:02}:00,{value:.3}", minute / 60, minute % 60);
        }
        fs::write(at.join(path), text).unwrap();
    };
    series("normal.csv", 200, 1000, 1000);
    series("new.csv", 60, 20, 45);
    let train = ["train", "detection", "--data", "normal.csv", "--window", "8", "--time", "time"];
    done(at, &[&train[..], &["--out", "run"]].concat());
    let (text, _) = done(at, &["detect", "--model", "run", "new.csv"]);
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let scored: Vec<usize> = (0..60).filter(|&row| !rows[row][1].is_empty()).collect();
    assert_eq!(scored, (7..20).chain(27..60).collect::<Vec<_>>());
    assert!((45..53).all(|row| rows[row][3] == "1"), "{text}");
}

#[test]
fn a_detector_adapts_and_is_saved() {
    let folder = folder();
    let at = folder.path();
    train(at);
    write_table(&at.join("more.csv"), 200, false);
    let adapt = ["detect", "--model", "run", "more.csv", "--adapt", "--save", "adapted.zor"];
    let (_, said) = done(at, &adapt);
    assert!(said.contains("the promised false-alarm rate ends"), "{said}");
    let (before, _) = done(at, &["detect", "--model", "run", "more.csv"]);
    let (after, _) = done(at, &["detect", "--model", "adapted.zor", "more.csv"]);
    assert_ne!(before, after);
    done(at, &["verify", "adapted.zor"]);
}

#[test]
fn a_detector_is_exported_and_ranks_rows_as_the_command_does() {
    let folder = folder();
    let at = folder.path();
    train(at);
    write_table(&at.join("new.csv"), 200, true);
    let export = ["export", "run", "--int8", "--data", "normal.csv", "--out", "small.zore"];
    let (text, _) = done(at, &export);
    assert!(text.contains("number 2, mode: 0 for idle, 1 for run"), "{text}");
    let (text, _) = done(at, &[&export[..], &["--json", "--false-alarm-rate", "0.1"]].concat());
    let object = json(&text);
    assert!(object["bytes"].as_u64().unwrap() < 8192 && object["row_values"] == 3, "{object}");
    let (text, _) = done(at, &["info", "small.zore"]);
    assert!(text.contains("detector: 3 numbers in, 16 passes, alarm above "), "{text}");

    let (text, _) = done(at, &["detect", "--model", "run", "new.csv"]);
    let scores = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap());
    let host: Vec<f32> = scores.collect();
    let program = zor::compile::Program::load(&at.join("small.zore")).unwrap();
    let detector = program.detector().unwrap();
    let mut scratch = vec![0.0; detector.scratch_len()];
    let rows = fs::read_to_string(at.join("new.csv")).unwrap();
    let device: Vec<f32> = rows
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let mode = f32::from(u8::from(cells[2] == "run"));
            let row = [cells[0].parse().unwrap(), cells[1].parse().unwrap(), mode];
            detector.score(&row, &mut scratch).unwrap()
        })
        .collect();
    let is_strange: Vec<bool> = (0..200).map(|row| row % 10 == 5).collect();
    let auroc = |scores: &[f32]| zor::detection::metrics::auroc(scores, &is_strange).unwrap();
    assert!((auroc(&host) - auroc(&device)).abs() < 0.005, "{host:?} {device:?}");
    assert!((0..200).filter(|row| row % 10 == 5).all(|row| detector.is_alarm(device[row])));

    refused(at, &["export", "run"], 2, &["this model needs a table", "--data"]);
    let rate = ["--false-alarm-rate", "0.001"];
    refused(at, &[&export[..], &rate].concat(), 2, &["run/model.zor", "the smallest is 0.0154"]);
    let mut damaged = fs::read(at.join("small.zore")).unwrap();
    let last = damaged.len() - 1;
    damaged[last] |= 0x80;
    zor::compile::reseal(&mut damaged);
    fs::write(at.join("damaged.zore"), damaged).unwrap();
    let words = "the detector of the program: it hides cells that do not exist";
    refused(at, &["verify", "damaged.zore"], 2, &["damaged.zore", words]);
    fs::write(at.join("other.csv"), "a,b\n1,2\n").unwrap();
    let other = ["export", "run", "--data", "other.csv"];
    refused(at, &other, 2, &["other.csv: there is no column 'temperature'"]);
}

#[test]
fn faults_of_detection_are_named_with_the_remedy() {
    let folder = folder();
    let at = folder.path();
    let write = |name: &str, text: &str| fs::write(at.join(name), text).unwrap();
    let train_on = |name: &str, more: &[&str], words: &str| {
        let command = [&["train", "detection", "--data", name, "--out", "none"][..], more].concat();
        refused(at, &command, 2, &[words]);
    };
    write("few.csv", "a,b\n1,2\n3,4\n");
    train_on("few.csv", &[], "few.csv: it has 2 normal rows; at least 8 are needed");
    write("constant.csv", &format!("a,b\n{}", "1,2\n".repeat(9)));
    train_on("constant.csv", &[], "all rows are equal in all columns ('a', 'b')");
    write("header.csv", "a,b\n");
    train_on("header.csv", &[], "header.csv, line 1: there are no rows below the header");
    write("empty.csv", "");
    train_on("empty.csv", &[], "empty.csv: it is empty");
    let wide: Vec<String> = (0..10_000).map(|column| format!("column{column}")).collect();
    let row = |row: usize| format!("{row},").repeat(9_999) + "0\n";
    write("wide.csv", &(wide.join(",") + "\n" + &(0..9).map(row).collect::<String>()));
    train_on("wide.csv", &[], "wide.csv: the description of its columns and classes takes");
    let rows: String = (0..9).map(|row| format!("{row},{}\n", row % 3)).collect();
    write("odd.csv", &format!("a,b\n{rows}"));
    train_on("odd.csv", &["--label", "c"], "there is no column 'c'");
    train_on("odd.csv", &["--label", "a"], "odd.csv, line 4, column 'a': '2' is not a label");
    train_on("odd.csv", &["--time", "a", "--window", "50"], "no window of 50 rows without a gap");
    train_on("odd.csv", &["--stride", "2"], "stride has no effect here: the window is one row");
    train_on("odd.csv", &["--set", "detection.mask=0"], "detection.mask is 0; it must be above 0");
    train_on("odd.csv", &["--target", "a"], "target has no effect here");
    train(at);
    let detect = |file: &str, more: &[&str], words: &str| {
        refused(at, &[&["detect", "--model", "run", file][..], more].concat(), 2, &[words]);
    };
    detect("odd.csv", &[], "odd.csv: there is no column 'temperature', which the model reads");
    detect("none.csv", &[], "none.csv: there is no such file");
    detect(".", &[], "it is a folder");
    detect("empty.csv", &[], "empty.csv: it is empty");
    let rate = ["--false-alarm-rate", "0.001"];
    detect("normal.csv", &rate, "cannot be promised from 64 held-out rows; the smallest is 0.0154");
    detect("normal.csv", &["--false-alarm-rate", "1"], "it must be above 0 and below 1");
    write("new.csv", "temperature,pressure,mode\n20,40,idle\n20,40\n20,40,off\n1e999,40,run\n");
    detect(
        "new.csv",
        &["--strict"],
        "new.csv, line 3: it has 2 cells and the header has 3 columns",
    );
    let (text, said) = done(at, &["detect", "--model", "run", "new.csv"]);
    assert_eq!(text.lines().filter(|line| line.ends_with(",,,")).count(), 3, "{text}");
    for words in [
        "line 3: it has 2 cells",
        "line 4, column 'mode': 'off' is an unknown category",
        "line 5, column 'temperature': '1e999' is not a finite number",
    ] {
        assert!(said.contains(words), "{said}");
    }
    write("table.csv", &format!("a,b\n{}", "1,x\n2,y\n".repeat(10)));
    done(at, &["train", "table", "--data", "table.csv", "--target", "b", "--out", "other"]);
    let words = "`zor detect` needs a model of detection";
    refused(at, &["detect", "--model", "other", "normal.csv"], 2, &[words]);
    let eval = ["eval", "--model", "other", "--data", "table.csv", "--label", "b"];
    refused(at, &eval, 2, &["--label has no effect here"]);
}
