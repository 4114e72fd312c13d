//! The command run as a user runs it: what it writes, what it says, and how it ends.

#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Runs `zor` in a folder of its own, with data from the sample alone.
fn zor(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zor"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ZOR_DATA_DIR")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

const SHORT: [&str; 8] =
    ["train", "fashion-reconstruction", "--steps", "12", "--batch", "8", "--threads", "1"];

/// Runs a short training and returns the last line of standard output as JSON.
fn train(folder: &Path, more: &[&str]) -> serde_json::Value {
    let output = zor(folder, &[&SHORT[..], &["--json"], more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

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
    ] {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
    assert_eq!(object["eval_samples"], 1000);
    assert_eq!(object["samples_seen"], 96);
    let out = folder.path().join("runs/fashion-reconstruction");
    let mut files: Vec<_> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let expected = ["config.toml", "curve.svg", "metrics.csv", "model.zor", "reconstructions.png"];
    assert_eq!(files, expected);
    assert!(fs::read_to_string(out.join("metrics.csv")).unwrap().lines().count() > 5);
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

#[test]
fn a_saved_model_is_evaluated_described_and_used_on_images() {
    let folder = folder();
    let trained = train(folder.path(), &["--no-baseline", "--out", "run"]);
    let model = "run/model.zor";
    let output = zor(folder.path(), &["eval", "--model", model, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let evaluated: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(evaluated["eval_samples"], 1000);
    // Another process sums in the same order: the same figure but for the last digits.
    let difference = evaluated["psnr_db"].as_f64().unwrap() - trained["psnr_db"].as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{difference}");

    let output = zor(folder.path(), &["info", model]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("dense") && text.contains("task: fashion-reconstruction"), "{text}");

    image::GrayImage::new(28, 28).save(folder.path().join("own.png")).unwrap();
    let output = zor(folder.path(), &["reconstruct", "--model", model, "own.png"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = image::open(folder.path().join("reconstructions.png")).unwrap();
    assert!(picture.height() > 2 * 28);
}

#[test]
fn a_saved_classifier_names_what_it_sees() {
    let folder = folder();
    for (class, rows) in [("above", 0..4), ("below", 4..8)] {
        fs::create_dir_all(folder.path().join("own").join(class)).unwrap();
        for index in 0..10u8 {
            let light = |_, y| image::Luma([if rows.contains(&y) { 150 + 9 * index } else { 0 }]);
            let path = folder.path().join(format!("own/{class}/{index}.png"));
            image::GrayImage::from_fn(8, 8, light).save(path).unwrap();
        }
    }
    let arguments =
        "train fashion-classification --model mlp --images own --steps 60 --json --out run";
    let output = zor(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!([&object["eval_samples"], &object["train_samples"]], [2, 18]);
    assert_eq!(object["per_class"]["above"], 1.0, "{object}");
    assert!(object["cosine"].as_f64().is_some_and(|cosine| cosine < 1.0), "{object}");
    let picture = fs::read_to_string(folder.path().join("run/confusion.svg")).unwrap();
    assert!(picture.contains(">above<"), "{picture}");
    let classify =
        ["classify", "--model", "run/model.zor", "own/below/3.png", "own/above/3.png", "--json"];
    let output = zor(folder.path(), &classify);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let classes = [0, 1].map(|index| object["images"][index]["class"].clone());
    assert_eq!(classes, ["below", "above"]);
    let model = train(folder.path(), &["--no-baseline", "--out", "other"]);
    assert!(model.get("psnr_db").is_some());
    let other = ["classify", "--model", "other/model.zor", "own/below/3.png"];
    refused(folder.path(), &other, 2, &["other/model.zor", "does not tell classes"]);
}

/// A call that fails with this code and one line that has these words.
fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let output = zor(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: '{word}' is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

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
    let classic = ["train", task, "--rule", "classic", "--target-spike-rate", "0.1"];
    refused(at, &classic, 2, &["target_spike_rate", "not stateful"]);
    refused(at, &["train", task, "--model", "airbench"], 2, &["airbench", "dense"]);
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
fn damaged_data_and_models_end_with_two_and_name_the_file() {
    let folder = folder();
    let at = folder.path();
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    for name in names {
        fs::write(at.join(format!("{name}-ubyte")), [0, 0, 8, 3, 0, 0]).unwrap();
    }
    let train = ["train", "fashion-reconstruction", "--data-dir", "."];
    refused(at, &train, 2, &["train-images-idx3-ubyte", "ends inside its header"]);

    fs::write(at.join("model.zor"), b"ZORMODEL and nothing more").unwrap();
    refused(at, &["info", "model.zor"], 2, &["model.zor"]);
    refused(at, &["eval", "--model", "absent.zor"], 2, &["absent.zor", "no such file"]);
    refused(at, &["reconstruct", "--model", "absent.zor", "x.png"], 2, &["absent.zor"]);
}

#[test]
fn images_that_do_not_fit_are_named() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--out", "run"]);
    let reconstruct = |image| ["reconstruct", "--model", "run/model.zor", image];
    image::GrayImage::new(20, 30).save(at.join("small.png")).unwrap();
    fs::write(at.join("text.png"), "not a picture").unwrap();
    refused(at, &reconstruct("small.png"), 2, &["small.png", "20x30", "28x28"]);
    refused(at, &reconstruct("text.png"), 2, &["text.png", "no PNG, JPEG or WebP"]);
    refused(at, &reconstruct("absent.png"), 2, &["absent.png", "no such file"]);
    image::RgbImage::new(28, 28).save(at.join("colour.png")).unwrap();
    refused(at, &reconstruct("colour.png"), 2, &["colour.png", "grey"]);
    assert!(!at.join("reconstructions.png").exists());
}

/// A folder of twelve small pictures in colour.
fn own_pictures(folder: &Path, size: u32) {
    fs::create_dir(folder).unwrap();
    for index in 0..12u8 {
        let pixel = |x: u32, y: u32| image::Rgb([20 * index, 9 * x as u8, 9 * y as u8]);
        let picture = image::RgbImage::from_fn(size, size, pixel);
        picture.save(folder.join(format!("{index:02}.png"))).unwrap();
    }
}

#[test]
fn a_network_that_learned_from_a_folder_gives_colour_to_pictures_of_any_size() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("own"), 8);
    let train = ["train", "cifar-colorization", "--images", "own", "--out", "run", "--json"];
    let output = zor(at, &[&train[..], &["--steps", "3", "--batch", "4"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&object["train_samples"], &object["eval_samples"]), (&11.into(), &1.into()));
    for key in ["psnr_db", "mae", "ciede2000", "baselines"] {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
    assert!(at.join("run/colorization.png").exists());

    let output = zor(at, &["eval", "--model", "run/model.zor", "--images", "own"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("12 images"));

    image::GrayImage::from_pixel(21, 13, image::Luma([90])).save(at.join("grey.png")).unwrap();
    let colorize = ["colorize", "--model", "run/model.zor", "grey.png", "--out", "coloured"];
    let output = zor(at, &colorize);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let picture = image::open(at.join("coloured/grey.png")).unwrap();
    assert_eq!((picture.width(), picture.height(), picture.color().has_color()), (21, 13, true));

    // Nothing is written when one of several cannot be read, or two would be one.
    fs::write(at.join("text.png"), "no picture").unwrap();
    let two = ["colorize", "--model", "run/model.zor", "grey.png", "text.png", "--out", "other"];
    refused(at, &two, 2, &["text.png", "no PNG"]);
    let same = ["colorize", "--model", "run/model.zor", "grey.png", "own/../grey.png"];
    refused(at, &same, 2, &["grey.png", "one name"]);
    assert!(!at.join("other").exists() && !at.join("colorized").exists());
}

#[test]
fn folders_that_cannot_be_learned_from_are_refused_by_the_name_of_a_file() {
    let folder = folder();
    let at = folder.path();
    let train = |task: &'static str| ["train", task, "--images", "own", "--steps", "1"];
    refused(at, &train("cifar-colorization"), 2, &["own", "no such folder"]);
    own_pictures(&at.join("own"), 6);
    refused(at, &train("cifar-colorization"), 2, &["6x6", "multiples of 4"]);
    refused(at, &train("cifar-classification"), 2, &["6x6", "25x25", "mlp"]);
    let convolutions = [&train("cifar-reconstruction")[..], &["--model", "conv"]].concat();
    refused(at, &convolutions, 2, &["6x6", "multiples of 4"]);
    let deep = image::ImageBuffer::<image::Rgb<u16>, _>::from_pixel(6, 6, image::Rgb([1, 2, 3]));
    deep.save(at.join("own/11.png")).unwrap();
    refused(at, &train("cifar-reconstruction"), 2, &["11.png", "8 bits"]);
    image::GrayImage::new(6, 6).save(at.join("own/11.png")).unwrap();
    refused(at, &train("cifar-reconstruction"), 2, &["11.png", "grey", "00.png"]);
    assert!(!at.join("runs/cifar-reconstruction/model.zor").exists());
    fs::write(at.join("own.npy"), "no array").unwrap();
    let array = ["train", "cifar-reconstruction", "--images", "own.npy"];
    refused(at, &array, 2, &["own.npy", "no .npy file"]);
}

#[test]
fn an_output_folder_that_cannot_be_made_ends_with_one() {
    let folder = folder();
    fs::write(folder.path().join("taken"), "a file").unwrap();
    let arguments = [&SHORT[..], &["--out", "taken/run"]].concat();
    refused(folder.path(), &arguments, 1, &["taken/run"]);
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

/// Interrupts a training that is under way. Returns what it said, and the checkpoint that it left.
#[cfg(unix)]
fn interrupted(folder: &Path, signal: &str, more: &[&str]) -> (String, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_zor"))
        .args(["train", "fashion-reconstruction", "--out", "run"])
        .args(more)
        .current_dir(folder)
        .env_remove("ZOR_DATA_DIR")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // When its first line is out, it watches for interrupts and is about to train.
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut text).unwrap();
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
    let checkpoint = zor::checkpoint::latest(&folder.join("run")).unwrap();
    (text, checkpoint)
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_saves_a_checkpoint_and_says_where() {
    for signal in ["-INT", "-TERM"] {
        let folder = folder();
        let (text, checkpoint) = interrupted(folder.path(), signal, &["--steps", "1000000"]);
        let name = checkpoint.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("--resume run/{name}")), "{text}");
        let output = zor(folder.path(), &["info", checkpoint.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!folder.path().join("run/model.zor").exists());
    }
}

/// Everything of a network that training goes on from, by name.
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
    let remembered = network.remembered().tensors.into_iter();
    all.extend(remembered.map(|(name, tensor)| (name, numbers(tensor))));
    all
}

/// The curve without its seconds.
fn curve(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let mut rows: Vec<_> = rows.collect();
    let seconds = rows[0].iter().position(|name| *name == "seconds").unwrap();
    for row in &mut rows {
        row.remove(seconds);
    }
    rows.into_iter().map(|row| row.join(",")).collect()
}

#[test]
fn a_training_that_was_cut_in_two_ends_with_the_same_bits() {
    // 48 images a step out of 300: steps 20 and 40 are in the midst of an epoch.
    let common = ["train", "fashion-reconstruction", "--train-samples", "300", "--batch", "48"];
    let more = ["--augment", "--no-baseline", "--steps", "50", "--checkpoint-every", "20"];
    let cases = [
        ("default", "1", None),
        ("default", "2", None),
        ("classic", "2", None),
        ("default", "1", Some("0.2")),
    ];
    for (rule, threads, rate) in cases {
        let folder = folder();
        let run = |arguments: &[&str]| {
            let output = zor(folder.path(), arguments);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{text}");
        };
        let options = ["--rule", rule, "--threads", threads, "--out", "whole"];
        // A threshold that moves goes on from where it was.
        let rate = rate.map(|rate| ["--target-spike-rate", rate]);
        run(&[&common[..], &more, &options, rate.as_ref().map_or(&[], |flags| &flags[..])].concat());
        let checkpoint = "whole/checkpoint-00000020.zor";
        let options = ["--checkpoint-every", "25", "--threads", threads, "--out", "cut"];
        run(&[&["train", "--resume", checkpoint][..], &options].concat());
        let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
        let model = |folder: &Path| std::fs::read(folder.join("model.zor")).unwrap();
        assert!(model(&whole) == model(&cut), "{rule}, {threads} threads");
        assert_eq!(curve(&whole), curve(&cut));
        // Moments too: the whole run's last checkpoint, and one that the second half made on its way there.
        run(&["train", "--resume", "cut/checkpoint-00000025.zor", "--checkpoint-every", "40"]);
        let [a, b] = [&whole, &cut].map(|f| contents(&f.join("checkpoint-00000040.zor")));
        assert!(a == b, "{rule}, {threads} threads");
    }
}

#[test]
fn the_last_checkpoints_and_the_best_stay() {
    let folder = folder();
    let arguments = ["--steps", "60", "--checkpoint-every", "10", "--keep", "2"];
    let output =
        zor(folder.path(), &[&SHORT[..2], &arguments, &["--no-baseline", "--out", "run"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_str().unwrap().to_owned());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("checkpoint")).collect();
        names.sort();
        names
    };
    let left = names(&folder.path().join("run"));
    assert!((2..=3).contains(&left.len()), "{left:?}");
    for steps in ["00000050", "00000060"] {
        assert!(left.contains(&format!("checkpoint-{steps}.zor")), "{left:?}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_training() {
    let folder = folder();
    // In its place is a folder that is not empty, which no file replaces.
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
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    resume(&["empty"], &["empty", "no checkpoint-STEPS.zor"]);
    let path = folder.path().join("run/checkpoint-00000006.zor");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    resume(&["run/checkpoint-00000006.zor"], &["checkpoint-00000006.zor", "damaged"]);
}

#[test]
fn a_model_goes_through_every_format_and_comes_back_the_same() {
    let folder = folder();
    train(folder.path(), &["--no-baseline", "--out", "run"]);
    let done = |arguments: &[&str]| {
        let output = zor(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        String::from_utf8(output.stdout).unwrap()
    };
    let model = "run/model.zor";
    done(&["convert", model, "a.safetensors"]);
    done(&["convert", "a.safetensors", "a.zor"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read(model) == read("a.zor"));
    done(&["convert", "a.safetensors", "b.zor", "--like", model]);
    assert!(read(model) == read("b.zor"));
    for dtype in ["f16", "bf16", "int8"] {
        done(&["convert", model, "small.zor", "--dtype", dtype]);
        assert!(read("small.zor").len() < read(model).len());
        done(&["verify", "small.zor"]);
    }
    done(&["convert", model, "a.npz"]);
    assert!(done(&["verify", model]).contains("digest sound"));
    assert!(done(&["verify", "a.safetensors"]).contains("digest sound"));
    assert!(done(&["info", "a.safetensors"]).contains("1.weight"));
    fs::remove_file(folder.path().join("a.safetensors.sha256")).unwrap();
    assert!(done(&["verify", "a.safetensors"]).contains("no digest"));

    let at = folder.path();
    refused(at, &["convert", model, "a.onnx"], 2, &["a.onnx", ".safetensors"]);
    refused(at, &["convert", "a.npz", "c.zor"], 2, &["a.npz", "does not read"]);
    refused(at, &["convert", model, "c.zor", "--dtype", "f8"], 2, &["f8", "bf16"]);
    refused(at, &["convert", model, "c.npz", "--dtype", "f16"], 2, &["f16", ".zor"]);
    let mut bytes = read("a.zor");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(at.join("a.zor"), bytes).unwrap();
    refused(at, &["verify", "a.zor"], 2, &["a.zor", "damaged"]);
}

/// The program of docs/files.md, run as it stands there.
#[test]
fn python_and_numpy_answer_as_the_network_does() {
    let numpy = Command::new("python3").args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no python3 with numpy");
        return;
    }
    let folder = folder();
    train(folder.path(), &["--no-baseline", "--out", "run"]);
    let converted = zor(folder.path(), &["convert", "run/model.zor", "model.npz"]);
    assert_eq!(converted.status.code(), Some(0));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/files.md");
    let page = fs::read_to_string(page).unwrap();
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let (network, _) =
        zor::io::load(&folder.path().join("run/model.zor"), &zor::prelude::Device::flex()).unwrap();
    let input: Vec<f32> = (0..784).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(folder.path().join("image.f32"), bytes).unwrap();
    let answer = network.predict(zor::prelude::matrix(&input, 1, network.device())).unwrap();
    let output = Command::new("python3")
        .args(["-c", program.unwrap()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let numbers = fs::read(folder.path().join("answer.f32")).unwrap();
    let numbers = numbers.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let expected: Vec<f32> = answer.into_data().iter::<f32>().collect();
    assert_eq!(numbers.len(), expected.len());
    for (found, expected) in numbers.zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
}

#[test]
fn a_model_becomes_an_image_that_does_as_well() {
    let folder = folder();
    let at = folder.path();
    let trained = train(at, &["--no-baseline", "--target-spike-rate", "0.3", "--out", "run"]);
    let export = |more: &[&str]| -> serde_json::Value {
        let output = zor(at, &[&["export", "run/model.zor", "--json"], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
    };
    let exact = export(&[]);
    let psnr = |object: &serde_json::Value| object["psnr_db"].as_f64().unwrap();
    assert!((psnr(&exact) - psnr(&trained)).abs() < 1e-3, "{exact} {trained}");
    let length = |name: &str| fs::metadata(at.join(name)).unwrap().len();
    assert_eq!(exact["bytes"], length("run/model.zore"));
    let small = export(&["--format", "edge", "--int8", "--out", "small.zore"]);
    assert!(length("small.zore") as f64 <= 0.27 * length("run/model.zore") as f64);
    assert!((psnr(&small) - psnr(&trained)).abs() < 0.2, "{small} {trained}");
    assert_eq!(small["spike_rates"].as_array().map(Vec::len), Some(1));

    let output = zor(at, &["info", "small.zore"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Int8") && text.contains("layer 1: Dense -> 1x1x784"), "{text}");
    assert_eq!(zor(at, &["verify", "small.zore"]).status.code(), Some(0));
    refused(at, &["convert", "run/model.zor", "other.zore"], 2, &["other.zore", "zor export"]);
    refused(at, &["convert", "small.zore", "other.zor"], 2, &["small.zore", "not read back"]);
    let mut damaged = fs::read(at.join("small.zore")).unwrap();
    damaged[500] ^= 1;
    fs::write(at.join("damaged.zore"), damaged).unwrap();
    refused(at, &["verify", "damaged.zore"], 2, &["damaged.zore", "checksum"]);
    refused(at, &["export", "nothing.zor"], 2, &["nothing.zor"]);
    refused(at, &["export", "run/model.zor", "--format", "tflite"], 2, &["tflite", "edge"]);
    refused(at, &["export", "run/model.zor", "--out", "no/where.zore"], 1, &["no/where.zore"]);
    refused(at, &["export", "run/model.zor", "--data-dir", "nowhere"], 2, &["nowhere"]);
}
