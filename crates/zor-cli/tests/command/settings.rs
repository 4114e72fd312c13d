//! Settings without effect, and warnings about data.

use std::fs;

use crate::support::{SHORT, classes, done, folder, json, own_pictures, refused, train};

#[test]
fn settings_without_effect_are_refused() {
    let folder = folder();
    let at = folder.path();
    let cases = [
        ("fashion-reconstruction", "optimizer = 'adam'\nweight_decay = 0.5", "weight_decay"),
        ("fashion-reconstruction", "label_smoothing = 0.9", "label_smoothing"),
        ("fashion-reconstruction", "early_crop = 0.5", "early_crop"),
        ("fashion-classification", "hidden = 5", "hidden"),
        ("fashion-reconstruction", "data = 'a'\ndata_dir = 'b'", "data"),
    ];
    for (task, text, name) in cases {
        fs::write(at.join("own.toml"), format!("task = '{task}'\n{text}")).unwrap();
        refused(at, &["train", "--config", "own.toml"], 2, &[name]);
    }
    assert!(!at.join("runs").exists());
    fs::write(at.join("own.toml"), "task = 'fashion-reconstruction'\ndata = ''").unwrap();
    refused(at, &["train", "--config", "own.toml"], 2, &["own.toml", "data is empty"]);
    refused(
        at,
        &["train", "fashion-reconstruction", "--threads", "100000"],
        2,
        &["threads", "512"],
    );
    train(at, &["--no-baseline", "--out", "run"]);
    refused(at, &["eval", "--model", "run", "--threads", "0"], 2, &["threads", "at least 1"]);
    let precision = [&SHORT[..], &["--no-baseline", "--precision", "bf16"]].concat();
    assert!(done(at, &precision).1.contains("precision bf16 has no effect"));
    for views in ["--test-time-flip", "--test-time-shift"] {
        refused(at, &["eval", "--model", "run", views], 2, &[views, "no effect"]);
    }
}

#[test]
fn every_setting_is_reached_by_its_key_and_mistyped_ones_are_corrected() {
    let folder = folder();
    let at = folder.path();
    fs::write(at.join("own.toml"), "schedule = 'linear'\nmomentum = 0.5").unwrap();
    let set = ["--set", "schedule=cosine", "--set", "augmentation.shift=3", "--set", "steps=9"];
    train(at, &[&["--config", "own.toml", "--augment", "--out", "run"][..], &set].concat());
    let kept = fs::read_to_string(at.join("run/config.toml")).unwrap();
    // Flags override --set, which overrides the file.
    for line in ["schedule = \"cosine\"", "momentum = 0.5", "shift = 3", "steps = 12"] {
        assert!(kept.lines().any(|kept| kept == line), "'{line}' is not in:\n{kept}");
    }
    let task = "fashion-reconstruction";
    let cases = [
        ("schedul=cosine", "did you mean 'schedule'"),
        ("schedule=cosin", "did you mean 'cosine'"),
        ("augmentation.shif=3", "did you mean 'shift'"),
        ("schedule", "KEY=VALUE"),
        ("steps=many", "steps: invalid type"),
        ("=3", "'' is not a valid key"),
    ];
    for (pair, word) in cases {
        refused(at, &["train", task, "--set", pair], 2, &["--set", word]);
    }
    refused(at, &["train", "fashion-reconstrution"], 2, &["did you mean 'fashion-reconstruction'"]);
    fs::write(at.join("own.toml"), "learning_rat = 0.5").unwrap();
    refused(
        at,
        &["train", task, "--config", "own.toml"],
        2,
        &["own.toml, line 1", "unknown setting 'learning_rat'", "did you mean 'learning_rate'"],
    );
}

#[test]
fn a_flag_wins_over_the_place_of_data_in_a_file() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("own"), 8);
    fs::write(at.join("own.toml"), "task = 'cifar-reconstruction'\ndata = 'own'\nsteps = 1")
        .unwrap();
    done(at, &["train", "--config", "own.toml"]);
    refused(
        at,
        &["train", "--config", "own.toml", "--data-dir", "nowhere"],
        2,
        &["nowhere", "data_batch"],
    );
}

#[test]
fn every_task_takes_the_common_flags() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("photographs"), 28);
    classes(&at.join("classes"), &["a", "b"], 6);
    let cases = [
        ("fashion-reconstruction", "photographs"),
        ("fashion-classification", "classes"),
        ("cifar-reconstruction", "photographs"),
        ("cifar-colorization", "photographs"),
    ];
    for (task, images) in cases {
        let common =
            ["--seed", "3", "--threads", "1", "--device", "flex", "--json", "--no-baseline"];
        let task = ["train", task, "--data", images, "--steps", "1", "--batch", "4", "--out", task];
        let object = json(&done(at, &[&task[..], &common].concat()).0);
        assert_eq!(object["seed"], 3, "{object}");
    }
}

#[test]
fn faults_of_data_are_named() {
    let folder = folder();
    let at = folder.path();
    classes(&at.join("one"), &["cat"], 6);
    classes(&at.join("three"), &["ant", "bee", "cat"], 6);
    own_pictures(&at.join("flat"), 8);
    let warned = |more: &[&str], words: &[&str]| {
        let _ = fs::remove_dir_all(at.join("runs"));
        let task = ["train", "fashion-classification", "--network", "mlp", "--steps", "1"];
        let (_, text) = done(at, &[&task[..], more].concat());
        let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning")).collect();
        for word in words {
            assert!(
                warnings.iter().any(|line| line.contains(word)),
                "'{word}' is not in {warnings:?}"
            );
        }
        assert_eq!(warnings.is_empty(), words.is_empty(), "{warnings:?}");
    };
    warned(&["--data", "three"], &[]);
    warned(&["--data", "one"], &["one class", "cat"]);
    warned(&["--data", "flat"], &["no classes"]);
    warned(&["--data", "three", "--train-samples", "7"], &["cat"]);
    // The dense classifier has batch normalisation if there is a target spike rate.
    warned(&["--data", "three", "--target-spike-rate", "0.5", "--batch", "1"], &["batches of one"]);
    let (_, text) =
        done(at, &[&SHORT[..], &["--no-baseline", "--checkpoint-every", "50"]].concat());
    assert!(text.contains("warning: no checkpoint"), "{text}");
}

#[test]
fn classes_are_told_by_name() {
    let folder = folder();
    let at = folder.path();
    classes(&at.join("all"), &["ant", "bee", "cat"], 10);
    let task = ["train", "fashion-classification", "--network", "dense", "--data", "all"];
    done(at, &[&task[..], &["--steps", "60", "--batch", "27", "--out", "run"]].concat());
    let eval = |images: &str| {
        let (out, err) = done(at, &["eval", "--model", "run", "--data", images, "--json"]);
        (json(&out), err)
    };
    assert_eq!(eval("all").0["top1"], 1.0);
    // Fewer classes; the first one is missing.
    for name in ["bee", "cat"] {
        fs::create_dir_all(at.join("fewer")).unwrap();
        copy(&at.join("all").join(name), &at.join("fewer").join(name));
    }
    let (object, text) = eval("fewer");
    assert_eq!((&object["top1"], &object["eval_samples"]), (&1.0.into(), &20.into()));
    assert!(text.contains("no images of these classes: ant"), "{text}");
    // One more class, which sorts first.
    copy(&at.join("all"), &at.join("more"));
    copy(&at.join("all/ant"), &at.join("more/aaa"));
    let (object, text) = eval("more");
    assert_eq!((&object["top1"], &object["left_out"]), (&1.0.into(), &10.into()));
    assert!(text.contains("aaa") && text.contains("left out"), "{text}");
    // Other class names, and images without classes.
    fs::create_dir(at.join("other")).unwrap();
    copy(&at.join("all/ant"), &at.join("other/formica"));
    refused(at, &["eval", "--model", "run", "--data", "other"], 2, &["formica", "ant"]);
    copy(&at.join("all/ant"), &at.join("flat"));
    refused(at, &["eval", "--model", "run", "--data", "flat"], 2, &["flat", "no classes"]);
    // Images of another size, and a file that is not a folder.
    own_pictures(&at.join("large"), 9);
    refused(at, &["eval", "--model", "run", "--data", "large"], 2, &["large", "9x9", "8x8"]);
    refused(at, &["eval", "--model", "run", "--data", "large/00.png"], 2, &["00.png", "neither"]);
    // Export matches classes by name too.
    for (images, missing) in [("all", false), ("fewer", true)] {
        let export = ["export", "run", "--data", images, "--out", "a.zore", "--json"];
        let (out, err) = done(at, &export);
        assert_eq!(json(&out)["top1"], 1.0);
        assert_eq!(err.contains("no images of these classes: ant"), missing, "{images}: {err}");
    }
}

/// Copies a folder with its contents.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
