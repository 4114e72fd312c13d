//! Training: files, checkpoints and resuming.

use std::fs;
use std::path::Path;

use crate::support::{SHORT, done, files, folder, only_run, record, refused, train, zor};

#[test]
fn a_training_writes_all_its_files_and_one_json_object() {
    let folder = folder();
    let object = train(folder.path(), &[]);
    for key in [
        "task",
        "rule",
        "model",
        "device",
        "seed",
        "parameters",
        "train_samples",
        "eval_samples",
        "steps",
        "samples_seen",
        "train_seconds",
        "psnr_db",
        "mae",
        "run",
        "identity",
    ] {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
    assert_eq!(object["eval_samples"], 1000);
    assert_eq!(object["samples_seen"], 96);
    let out = only_run(folder.path(), "fashion-reconstruction");
    assert_eq!(folder.path().join(object["run"].as_str().unwrap()), out);
    let expected = [
        "config.toml",
        "curve.svg",
        "metrics.jsonl",
        "model.zor",
        "reconstructions.png",
        "run.json",
    ];
    assert_eq!(files(&out), expected);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let last = crate::support::json(&metrics);
    assert!(metrics.lines().count() > 5 && last["eval_mae"] == object["mae"], "{last}");
    let record = record(&out);
    assert_eq!((&record["state"], &record["step"]), (&"done".into(), &12.into()));
    assert_eq!(record["metrics"]["psnr_db"], object["psnr_db"]);
}

#[test]
fn the_written_settings_repeat_the_run_to_the_bit() {
    let folder = folder();
    let first = train(folder.path(), &["--no-baseline", "--seed", "7", "--out", "one"]);
    let again = zor(folder.path(), &["train", "--config", "one/config.toml", "--out", "two"]);
    assert_eq!(again.status.code(), Some(0));
    let model = |name: &str| fs::read(folder.path().join(name).join("model.zor")).unwrap();
    assert_eq!(model("one"), model("two"));
    let other = train(folder.path(), &["--no-baseline", "--seed", "8", "--out", "three"]);
    assert_ne!(first["psnr_db"], other["psnr_db"]);
    assert_ne!(model("one"), model("three"));
}

/// Returns the state of a network that resuming depends on, by name.
fn contents(path: &Path) -> Vec<(String, Vec<f32>)> {
    let (network, _) = zor::io::load(path, &zor::prelude::Device::flex()).unwrap();
    let numbers = |tensor: zor::prelude::Tensor<2>| tensor.into_data().iter::<f32>().collect();
    let mut all = vec![("history".to_owned(), network.history().to_vec())];
    for (name, _, parameter) in network.tensors() {
        all.push((name.clone(), numbers(parameter.value())));
        all.push((format!("{name} steps"), vec![parameter.steps() as f32]));
        for tensor in &parameter.state().tensors {
            all.push((format!("{name} moment"), numbers(tensor.clone())));
        }
    }
    let remembered = network.carried_state().tensors.into_iter();
    all.extend(remembered.map(|(name, tensor)| (name, numbers(tensor))));
    all
}

/// Returns the evaluations without their times.
fn curve(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<_> = text.lines().map(crate::support::json).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("seconds").unwrap();
    }
    lines
}

#[test]
fn a_training_that_was_cut_in_two_ends_with_the_same_bits() {
    // With 48 of 300 images per step, steps 20 and 40 are in the middle of an epoch.
    let common = ["train", "fashion-reconstruction", "--train-samples", "300", "--batch", "48"];
    let more = ["--augment", "--no-baseline", "--steps", "50", "--checkpoint-every", "20"];
    // A threshold that moves is restored too, and the target that it follows.
    let moving = ["--target-spike-rate", "0.2", "--set", "final_spike_rate=0.5"];
    let cases: [(_, _, &[&str]); 5] = [
        ("default", "1", &[]),
        ("default", "2", &[]),
        ("classic", "2", &[]),
        ("default", "1", &moving[..2]),
        ("default", "1", &moving),
    ];
    for (rule, threads, target) in cases {
        let folder = folder();
        let run = |arguments: &[&str]| {
            let output = zor(folder.path(), arguments);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{text}");
        };
        let options = ["--rule", rule, "--threads", threads, "--out", "whole"];
        run(&[&common[..], &more, &options, target].concat());
        let checkpoint = "whole/checkpoint-00000020.zor";
        let options = ["--checkpoint-every", "25", "--threads", threads, "--out", "cut"];
        run(&[&["train", "--resume", checkpoint][..], &options].concat());
        let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
        let model = |folder: &Path| fs::read(folder.join("model.zor")).unwrap();
        assert!(model(&whole) == model(&cut), "{rule}, {threads} threads");
        assert_eq!(curve(&whole), curve(&cut));
        // Optimizer moments are compared too: in the last checkpoint of the uninterrupted run, and
        // in one that the resumed run saved at the same step.
        run(&["train", "--resume", "cut/checkpoint-00000025.zor", "--checkpoint-every", "40"]);
        let [a, b] = [&whole, &cut].map(|f| contents(&f.join("checkpoint-00000040.zor")));
        assert!(a == b, "{rule}, {threads} threads");
    }
}

#[test]
fn a_training_from_a_model_that_was_cut_in_two_ends_with_the_same_bits() {
    let folder = folder();
    let at = folder.path();
    let table = |shift: usize| {
        let row = |n: usize| format!("{},{},{}\n", n % 7 + shift, n * n % 11, ["a", "b"][n % 2]);
        format!("x,y,kind\n{}", (0..40).map(row).collect::<String>())
    };
    fs::write(at.join("first.csv"), table(0)).unwrap();
    fs::write(at.join("second.csv"), table(3)).unwrap();
    for task in [&["table", "--target", "kind"][..], &["detection"]] {
        let out = |name: &str| format!("{}-{name}", task[0]);
        let run = |arguments: &[&str], name: &str| {
            let out = ["--threads", "1", "--out", &out(name)];
            done(at, &[&["train"], arguments, &out[..]].concat());
            fs::read(at.join(out[3]).join("model.zor")).unwrap()
        };
        run(&[task, &["--data", "first.csv", "--steps", "10"]].concat(), "first");
        let from = ["--from", &out("first"), "--data", "second.csv", "--steps", "9"];
        let whole = run(&[&from[..], &["--checkpoint-every", "4"]].concat(), "whole");
        let checkpoint = format!("{}/checkpoint-00000004.zor", out("whole"));
        assert!(whole == run(&["--resume", &checkpoint], "again"), "{}", task[0]);
    }
}

#[test]
fn the_last_checkpoints_and_the_best_stay() {
    let folder = folder();
    let arguments = ["--steps", "60", "--checkpoint-every", "10", "--keep", "2"];
    let output =
        zor(folder.path(), &[&SHORT[..2], &arguments, &["--no-baseline", "--out", "run"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let names = files(&folder.path().join("run")).into_iter();
    let left: Vec<_> = names.filter(|name| name.starts_with("checkpoint")).collect();
    assert!((2..=3).contains(&left.len()), "{left:?}");
    for steps in ["00000050", "00000060"] {
        assert!(left.contains(&format!("checkpoint-{steps}.zor")), "{left:?}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_training() {
    let folder = folder();
    // A non-empty folder in the place of the checkpoint cannot be replaced by a file.
    let place = folder.path().join("run/checkpoint-00000006.zor");
    fs::create_dir_all(place.join("inside")).unwrap();
    let output = zor(
        folder.path(),
        &[&SHORT[..], &["--no-baseline", "--checkpoint-every", "6", "--out", "run"]].concat(),
    );
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("warning") && text.contains("checkpoint-00000006.zor"), "{text}");
    assert!(folder.path().join("run/model.zor").exists());
    assert!(place.join("inside").exists());
}

#[test]
fn what_cannot_be_gone_on_from_is_said() {
    let folder = folder();
    train(folder.path(), &["--checkpoint-every", "6", "--out", "run"]);
    let resume = |more: &[&str], words: &[&str]| {
        refused(folder.path(), &[&["train", "--resume"][..], more].concat(), 2, words);
    };
    resume(&["run/model.zor"], &["run/model.zor", "checkpoint"]);
    resume(&["run/checkpoint-00000012.zor"], &["12 steps", "--steps"]);
    resume(&["run/checkpoint-00000006.zor", "--batch", "5"], &["--batch"]);
    resume(&["nowhere.zor"], &["nowhere.zor", "no such file"]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    resume(&["empty"], &["empty", "no checkpoint-STEPS.zor"]);
    let path = folder.path().join("run/checkpoint-00000006.zor");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    resume(&["run/checkpoint-00000006.zor"], &["checkpoint-00000006.zor", "damaged"]);
}

#[test]
fn an_output_folder_that_cannot_be_made_ends_with_one() {
    let folder = folder();
    fs::write(folder.path().join("taken"), "a file").unwrap();
    let arguments = [&SHORT[..], &["--out", "taken/run"]].concat();
    refused(folder.path(), &arguments, 1, &["taken/run"]);
}

#[test]
fn a_training_starts_from_the_weights_of_a_model() {
    let folder = folder();
    let at = folder.path();
    let first = ["train", "fashion-reconstruction", "--no-baseline", "--steps", "60", "--out", "a"];
    done(at, &first);
    let (before, _) = done(at, &["eval", "--model", "a", "--json"]);
    let from = ["train", "--from", "a", "--no-baseline", "--steps", "1", "--out", "b", "--json"];
    let (text, _) = done(at, &[&from[..], &["--learning-rate", "1e-9"]].concat());
    let figure = |text: &str| -> f64 {
        let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        object["psnr_db"].as_f64().unwrap()
    };
    assert!((figure(&text) - figure(&before)).abs() < 0.01, "{text} and {before}");
    let (text, _) = done(at, &["info", "b"]);
    assert!(text.contains("from: "), "{text}");
    refused(at, &["train", "--from", "a", "--network", "dense"], 2, &["--from", "--network"]);
    let other = ["train", "fashion-classification", "--from", "a", "--out", "c"];
    refused(at, &other, 2, &["a/model.zor", "maps [28, 28, 1]", "fashion-classification"]);
}
