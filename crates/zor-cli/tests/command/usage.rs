//! Invalid usage, and commands that print lists.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{folder, refused, zor};

#[test]
fn wrong_usage_ends_with_two_and_names_the_place() {
    let folder = folder();
    let at = folder.path();
    let task = "fashion-reconstruction";
    refused(at, &["train"], 2, &["no task", task]);
    refused(at, &["train", "knitting"], 2, &["knitting", task]);
    refused(at, &["train", task, "--colour", "red"], 2, &["--colour"]);
    refused(at, &["train", task, "--steps", "0"], 2, &["steps", "at least 1"]);
    refused(at, &["train", task, "--batch", "0"], 2, &["batch"]);
    refused(at, &["train", task, "--threads", "0"], 2, &["threads"]);
    refused(at, &["train", task, "--samples-per-class", "0"], 2, &["samples_per_class"]);
    refused(at, &["train", task, "--samples-per-class", "9999"], 2, &["fewer than the 9999"]);
    refused(at, &["train", task, "--train-samples", "0"], 2, &["train_samples"]);
    refused(at, &["train", task, "--train-samples", "many"], 2, &["many"]);
    refused(at, &["train", task, "--learning-rate", "nan"], 2, &["learning rate", "NaN"]);
    refused(at, &["train", task, "--learning-rate", "inf"], 2, &["learning rate", "inf"]);
    refused(at, &["train", task, "--hold-out", "0"], 2, &["hold_out is 0"]);
    refused(at, &["train", task, "--hold-out", "9999"], 2, &["hold_out is 9999", "3000 images"]);
    for views in ["flip", "shift"] {
        let (flag, name) = (format!("--test-time-{views}"), format!("test_time_{views}"));
        refused(at, &["train", task, &flag], 2, &[&name, "classification"]);
    }
    refused(
        at,
        &["train", task, "--target-spike-rate", "2"],
        2,
        &["target_spike_rate", "at most 1"],
    );
    let moving = |rate| ["train", task, "--target-spike-rate", "0.2", "--set", rate];
    refused(at, &moving("final_spike_rate=2"), 2, &["final_spike_rate", "at most 1"]);
    let alone = ["train", task, "--set", "final_spike_rate=0.1"];
    refused(at, &alone, 2, &["final_spike_rate", "rule_settings.target_spike_rate"]);
    let classic = ["train", task, "--rule", "classic", "--target-spike-rate", "0.1"];
    refused(at, &classic, 2, &["target_spike_rate", "not stateful"]);
    refused(at, &["train", task, "--network", "airbench"], 2, &["airbench", "dense"]);
    refused(at, &["train", task, "--optimizer", "lion"], 2, &["lion", "muon"]);
    refused(at, &["train", task, "--device", "abacus"], 2, &["abacus", "flex"]);
    refused(at, &["train", task, "--device", "flex:3"], 1, &["flex:3", "flex:0"]);
    refused(at, &["train", task, "--precision", "f64"], 2, &["f64", "tf32"]);
    refused(at, &["train", task, "--device", "cuda"], 1, &["cuda", "--features"]);
    refused(at, &["train", task, "--data-dir", "nowhere"], 2, &["nowhere", "train-images"]);
    refused(at, &["train", "--config", "no.toml"], 2, &["no.toml", "no such file"]);
    fs::write(at.join("bad.toml"), "task = 'fashion-reconstruction'\n\ncolour = 1\n").unwrap();
    refused(at, &["train", "--config", "bad.toml"], 2, &["bad.toml, line 3", "colour"]);
    fs::write(at.join("worse.toml"), "steps = 'many'").unwrap();
    refused(at, &["train", "--config", "worse.toml"], 2, &["worse.toml, line 1"]);
    refused(at, &["data", "fetch", "imagenet"], 2, &["imagenet", "fashion-mnist"]);
}

#[test]
fn devices_are_listed_and_those_that_are_missing_say_why() {
    let folder = folder();
    let output = zor(folder.path(), &["devices", "--verify"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let line = |name: &str| stdout.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("flex").contains(" yes ") && line("flex").contains("threads"), "{stdout}");
    assert!(line("cuda").contains(" no "), "{stdout}");
    assert!(stdout.contains("checks in") && !stdout.contains("FAILS"), "{stdout}");
}

#[test]
fn one_device_is_looked_at_and_any_network_timed() {
    let folder = folder();
    let at = folder.path();
    let arguments = "devices --device flex --time --network 8-4-8 --batch 2";
    let output = zor(at, &arguments.split(' ').collect::<Vec<_>>());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let timed: Vec<&str> = stdout.lines().filter(|line| line.contains("8-4-8")).collect();
    assert!(timed.len() == 1 && timed[0].starts_with("flex"), "{stdout}");
    assert!(!stdout.contains("cuda") && !stdout.contains("product-"), "{stdout}");
    refused(at, &["devices", "--device", "cuda"], 1, &["cuda", "--features cuda"]);
    refused(at, &["devices", "--device", "gpu"], 2, &["'gpu'", "flex"]);
    refused(at, &["devices", "--time", "--network", "8-4", "--batch", "2"], 2, &["8-4", "three"]);
    refused(at, &["devices", "--time", "--network", "8-4-8"], 2, &["--batch"]);
}

#[test]
fn completions_and_data_paths_are_printed() {
    let folder = folder();
    let output = zor(folder.path(), &["completions", "bash"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("zor"));
    let output = zor(folder.path(), &["data", "list"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("fashion-mnist"));
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zor"));
    let mut child = command.args(["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
