//! Run folders: no trained weights are lost, and files of different runs are never mixed.

use std::fs;
use std::path::Path;

use crate::support::{
    SHORT, classes, code, done, files, folder, json, only_run, own_pictures, record, refused,
    start, train, wait_until, zor,
};

const TASK: &str = "fashion-reconstruction";

/// Returns the learning rate in the settings of a run.
fn rate(run: &Path) -> String {
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    text.lines().find(|line| line.starts_with("learning_rate")).unwrap().to_owned()
}

#[test]
fn every_training_gets_a_folder_of_its_own_and_the_last_is_named() {
    let folder = folder();
    let first = train(folder.path(), &["--no-baseline"]);
    let task = folder.path().join("runs").join(TASK);
    let run = only_run(folder.path(), TASK);
    assert_eq!(folder.path().join(first["run"].as_str().unwrap()), run);
    let model = fs::read(run.join("model.zor")).unwrap();
    let second = train(folder.path(), &["--no-baseline", "--seed", "5"]);
    assert_ne!(first["run"], second["run"]);
    assert_eq!(fs::read(run.join("model.zor")).unwrap(), model, "the first model is as it was");
    #[cfg(unix)]
    assert_eq!(
        folder.path().join(second["run"].as_str().unwrap()),
        task.join(fs::read_link(task.join("latest")).unwrap())
    );
    // A file named `latest` that is not a link to a run is kept.
    fs::remove_file(task.join("latest")).unwrap();
    fs::write(task.join("latest"), "a note").unwrap();
    let (_, text) = done(folder.path(), &[&SHORT[..], &["--no-baseline"]].concat());
    assert!(text.contains("latest") && text.contains("not a link"), "{text}");
    assert_eq!(fs::read_to_string(task.join("latest")).unwrap(), "a note");
    // A failed start leaves no folder and does not change `latest`.
    refused(folder.path(), &["train", TASK, "--data-dir", "nowhere"], 2, &["nowhere"]);
    assert_eq!(files(&task).len(), 4, "{:?}", files(&task));
}

#[test]
fn a_model_can_be_named_by_its_run_and_by_its_task() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline"]);
    let run = only_run(at, TASK);
    let run = run.strip_prefix(at).unwrap().to_str().unwrap();
    image::GrayImage::new(28, 28).save(at.join("own.png")).unwrap();
    let model = format!("{run}/model.zor");
    let (whole, _) = done(at, &["eval", "--model", &model]);
    for place in [run, "runs/fashion-reconstruction", "runs/fashion-reconstruction/latest"] {
        assert_eq!(done(at, &["eval", "--model", place]).0, whole, "{place}");
        done(at, &["info", place]);
        done(at, &["verify", place]);
        done(at, &["reconstruct", "--model", place, "own.png"]);
        done(at, &["convert", place, "a.npz"]);
        done(at, &["export", place, "--out", "a.zore"]);
    }
    let info = done(at, &["info", run]).0;
    assert!(info.contains("done") && info.contains("step 12 of 12"), "{info}");
    fs::create_dir(at.join("empty")).unwrap();
    for command in [&["eval", "--model", "empty"][..], &["info", "empty"], &["verify", "empty"]] {
        refused(at, command, 2, &["empty", "no run in it"]);
    }
    refused(at, &["eval", "--model", "runs"], 2, &["runs", "no run in it"]);
    fs::remove_file(at.join(&model)).unwrap();
    refused(at, &["eval", "--model", run], 2, &["no model.zor in it"]);
}

#[test]
fn a_folder_with_a_run_is_refused_unless_the_run_is_to_be_replaced() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--checkpoint-every", "4", "--out", "run"]);
    let run = at.join("run");
    let before = files(&run);
    let again = [&SHORT[..], &["--no-baseline", "--seed", "3", "--out", "run"]].concat();
    refused(at, &again, 2, &["run", "has a run", "--overwrite"]);
    assert_eq!(files(&run), before);
    // A run that cannot start does not replace another one.
    let bad = [&again[..], &["--overwrite", "--data-dir", "nowhere"]].concat();
    refused(at, &bad, 2, &["nowhere"]);
    assert_eq!((files(&run), record(&run)["state"].as_str()), (before, Some("done")));
    done(at, &[&again[..], &["--overwrite"]].concat());
    assert!(!files(&run).iter().any(|name| name.starts_with("checkpoint")), "{:?}", files(&run));
    refused(at, &[&SHORT[..], &["--overwrite"]].concat(), 2, &["--overwrite", "no effect"]);
    // A user's files that are named like those of a run are protected too.
    fs::create_dir(at.join("mine")).unwrap();
    fs::write(at.join("mine/config.toml"), format!("task = '{TASK}'\nsteps = 3")).unwrap();
    let own = ["train", "--config", "mine/config.toml", "--out", "mine"];
    refused(at, &own, 2, &["mine", "config.toml"]);
    refused(at, &[&own[..], &["--overwrite"]].concat(), 2, &["mine/config.toml", "is read"]);
}

#[test]
fn checkpoints_of_a_second_run_are_its_own() {
    let folder = folder();
    let at = folder.path();
    let task = ["train", TASK, "--no-baseline", "--threads", "1", "--checkpoint-every", "5"];
    let run = |more: &[&str]| done(at, &[&task[..], more].concat());
    run(&["--steps", "30", "--out", "run"]);
    run(&["--steps", "15", "--learning-rate", "0.0005", "--out", "run", "--overwrite"]);
    let checkpoints = |name: &str| {
        let names = files(&at.join(name)).into_iter();
        names.filter(|name| name.starts_with("checkpoint")).collect::<Vec<_>>()
    };
    let expected =
        ["checkpoint-00000005.zor", "checkpoint-00000010.zor", "checkpoint-00000015.zor"];
    assert_eq!(checkpoints("run"), expected);
    // A checkpoint copied from another run is neither removed nor resumed from.
    run(&["--steps", "30", "--out", "other"]);
    fs::copy(at.join("other/checkpoint-00000030.zor"), at.join("run/checkpoint-00000030.zor"))
        .unwrap();
    let (_, text) = done(
        at,
        &[
            "train",
            "--resume",
            "run",
            "--steps",
            "20",
            "--checkpoint-every",
            "1",
            "--keep",
            "2",
            "--overwrite",
        ],
    );
    assert!(text.contains("checkpoint-00000015.zor"), "{text}");
    assert_eq!(rate(&at.join("run")), "learning_rate = 0.0005");
    let record = record(&at.join("run"));
    assert_eq!((&record["state"], &record["step"]), (&"done".into(), &20.into()));
}

#[test]
fn two_trainings_at_once_do_not_share_a_folder() {
    let folder = folder();
    let at = folder.path();
    let log = at.join("log");
    let long = ["train", TASK, "--no-baseline", "--steps", "1000000", "--threads", "1"];
    let mut first = start(at, &[&long[..], &["--out", "run"]].concat(), &log);
    wait_until("the first training", || at.join("run/run.json").exists());
    let second = [&SHORT[..], &["--no-baseline", "--out", "run"]].concat();
    refused(at, &second, 2, &["run", "another training", &format!("process {}", first.id())]);
    refused(at, &[&second[..], &["--overwrite"]].concat(), 2, &["another training"]);
    refused(at, &["train", "--resume", "run"], 2, &["run"]);
    first.kill().unwrap();
    first.wait().unwrap();
    // A killed training leaves no lock.
    done(at, &[&second[..], &["--overwrite"]].concat());
    // Without --out, each run gets its own folder.
    let mut children: Vec<_> = (0..3)
        .map(|i| start(at, &[&SHORT[..], &["--no-baseline"]].concat(), &at.join(format!("log{i}"))))
        .collect();
    assert!(children.iter_mut().all(|child| code(child) == Some(0)));
    let runs = files(&at.join("runs").join(TASK));
    assert_eq!(runs.iter().filter(|name| *name != "latest").count(), 3, "{runs:?}");
}

#[test]
fn every_file_of_a_run_carries_its_identity() {
    let folder = folder();
    let at = folder.path();
    classes(&at.join("own"), &["a", "b"], 6);
    let object = train(at, &["--checkpoint-every", "6", "--out", "one"]);
    let task = ["train", "fashion-classification", "--network", "mlp", "--data", "own"];
    let second = [&task[..], &["--steps", "3", "--json", "--out", "two"]].concat();
    let second = json(&done(at, &second).0);
    assert_ne!(object["identity"], second["identity"]);
    for (object, name) in [(object, "one"), (second, "two")] {
        let identity = object["identity"].as_str().unwrap();
        assert_eq!(identity.len(), 16);
        let names = files(&at.join(name));
        assert!(names.len() >= 6, "{names:?}");
        for file in names {
            let bytes = fs::read(at.join(name).join(&file)).unwrap();
            let found = bytes.windows(16).any(|part| part == identity.as_bytes());
            assert!(found, "{name}/{file} does not carry {identity}");
        }
    }
}

#[test]
fn evaluations_are_written_while_the_training_runs() {
    let folder = folder();
    let at = folder.path();
    let long =
        ["train", TASK, "--no-baseline", "--steps", "1000000", "--threads", "1", "--out", "run"];
    let mut child = start(at, &long, &at.join("log"));
    let metrics = at.join("run/metrics.jsonl");
    let lines = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    wait_until("three evaluations", || lines() >= 3);
    assert_eq!(record(&at.join("run"))["state"], "running");
    child.kill().unwrap();
    child.wait().unwrap();
    let text = fs::read_to_string(&metrics).unwrap();
    let first = serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap();
    for key in ["run", "step", "seconds", "train_mae", "eval_psnr_db", "eval_mae"] {
        assert!(first.get(key).is_some(), "{key} is missing in {first}");
    }
}

#[test]
fn a_training_that_diverges_is_a_failed_run_and_no_wrong_usage() {
    let folder = folder();
    let at = folder.path();
    let diverges = ["train", TASK, "--no-baseline", "--steps", "50", "--optimizer", "sgd"];
    let more = ["--learning-rate", "1e38", "--checkpoint-every", "1", "--out", "run"];
    refused(at, &[&diverges[..], &more].concat(), 1, &["finite"]);
    let record = record(&at.join("run"));
    assert_eq!(record["state"], "failed");
    assert!(
        record["message"].as_str().is_some_and(|message| message.contains("finite")),
        "{record}"
    );
    assert!(!at.join("run/model.zor").exists());
    // Gates hide NaN weights, so the metrics would look valid.
    let hidden =
        [&SHORT[..], &["--no-baseline", "--learning-rate", "1e38", "--out", "other"]].concat();
    refused(at, &hidden, 1, &["infinite or NaN", "learning rate"]);
    assert!(!at.join("other/model.zor").exists());
}

#[test]
fn a_damaged_last_checkpoint_is_said_and_an_older_one_continued() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--checkpoint-every", "4", "--out", "run"]);
    for (file, older) in
        [("checkpoint-00000012.zor", "00000008"), ("checkpoint-00000008.zor", "00000004")]
    {
        let path = at.join("run").join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let resume = ["train", "--resume", "run", "--out", older];
        let (_, text) = done(at, &resume);
        assert!(text.contains(file) && text.contains("damaged"), "{text}");
        assert!(text.contains(&format!("checkpoint-{older}.zor")), "{text}");
    }
    // A damaged checkpoint does not prevent a longer training in the same folder, and neither does
    // a damaged record.
    fs::write(at.join("run/run.json"), "nothing").unwrap();
    let (_, text) = done(at, &["train", "--resume", "run", "--steps", "14"]);
    assert!(text.contains("run.json"), "{text}");
    assert_eq!(record(&at.join("run"))["state"], "done");
    fs::write(at.join("run/checkpoint-00000004.zor"), "nothing").unwrap();
    refused(at, &["train", "--resume", "run"], 2, &["no valid checkpoint", "00000004", "00000012"]);
}

#[test]
fn a_run_can_be_continued_from_another_folder() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir_all(at.join("project")).unwrap();
    fs::create_dir_all(at.join("other")).unwrap();
    let (project, other) = (at.join("project"), at.join("other"));
    own_pictures(&project.join("own"), 8);
    let task = ["train", "cifar-reconstruction", "--data", "own", "--steps", "4", "--batch", "4"];
    done(&project, &[&task[..], &["--checkpoint-every", "2", "--out", "run"]].concat());
    done(&other, &["train", "--resume", "../project/run", "--steps", "6"]);
    done(&other, &["train", "--config", "../project/run/config.toml"]);
    // Relative paths in a settings file are resolved against its folder.
    fs::write(project.join("own.toml"), "task = 'cifar-reconstruction'\ndata = 'own'\nsteps = 2")
        .unwrap();
    done(&other, &["train", "--config", "../project/own.toml"]);
    // The images are moved.
    fs::rename(project.join("own"), at.join("moved")).unwrap();
    let resume = ["train", "--resume", "../project/run", "--steps", "8"];
    refused(&other, &resume, 2, &["own", "--data"]);
    done(&other, &[&resume[..], &["--data", "../moved"]].concat());
    own_pictures(&at.join("more"), 6);
    refused(
        &other,
        &["train", "--resume", "../project/run", "--steps", "9", "--data", "../more"],
        2,
        &["other data"],
    );
}

#[test]
fn outputs_do_not_replace_inputs_or_each_other() {
    let folder = folder();
    let at = folder.path();
    train(at, &["--no-baseline", "--out", "run"]);
    let model = fs::read(at.join("run/model.zor")).unwrap();
    done(at, &["convert", "run/model.zor", "a.safetensors"]);
    fs::copy(at.join("run/model.zor"), at.join("net.v1")).unwrap();
    fs::hard_link(at.join("run/model.zor"), at.join("hard.zor")).unwrap();
    let over = ["is read", "overwritten"];
    refused(at, &["convert", "run/model.zor", "run/../run/model.zor"], 2, &over);
    refused(at, &["convert", "run/model.zor", "hard.zor", "--dtype", "int8"], 2, &over);
    refused(at, &["convert", "a.safetensors", "hard.zor", "--like", "run/model.zor"], 2, &over);
    refused(
        at,
        &["convert", "run/model.zor", "b.zor", "--like", "hard.zor"],
        2,
        &["--like", "no effect"],
    );
    refused(at, &["export", "run/model.zor", "--out", "hard.zor"], 2, &over);
    image::GrayImage::new(28, 28).save(at.join("reconstructions.png")).unwrap();
    fs::copy(at.join("reconstructions.png"), at.join("mine.png")).unwrap();
    refused(
        at,
        &["reconstruct", "--model", "run", "reconstructions.png", "--out", "mine.png"],
        2,
        &["mine.png", "there already"],
    );
    refused(at, &["export", "run", "--out", "mine.zor"], 2, &["mine.zor", ".zore"]);
    refused(at, &["reconstruct", "--model", "run", "reconstructions.png"], 2, &over);
    refused(
        at,
        &["reconstruct", "--model", "run", "reconstructions.png", "--out", "run/model.zor"],
        2,
        &over,
    );
    own_pictures(&at.join("own"), 8);
    for out in ["own", "own/inside"] {
        let task = ["train", "cifar-reconstruction", "--data", "own", "--steps", "1"];
        refused(at, &[&task[..], &["--out", out]].concat(), 2, &["own"]);
    }
    assert_eq!(fs::read(at.join("run/model.zor")).unwrap(), model);
    // Dots are part of names.
    for name in ["net.v1", "net.v2"] {
        fs::copy(at.join("run/model.zor"), at.join(name)).unwrap();
        done(at, &["export", name]);
    }
    assert!(at.join("net.v1.zore").exists() && at.join("net.v2.zore").exists());
}

#[test]
fn pictures_in_colour_keep_their_whole_names() {
    let folder = folder();
    let at = folder.path();
    own_pictures(&at.join("own"), 8);
    let task = ["train", "cifar-colorization", "--data", "own", "--out", "run"];
    done(at, &[&task[..], &["--steps", "1", "--batch", "4"]].concat());
    for name in ["a.1.png", "a.2.png", "a.png", "a.jpg"] {
        image::GrayImage::from_pixel(8, 8, image::Luma([90])).save(at.join(name)).unwrap();
    }
    let colorize = |images: &[&str]| {
        zor(at, &[&["colorize", "--model", "run", "--out", "new"], images].concat())
    };
    assert!(colorize(&["a.1.png", "a.2.png", "a.png"]).status.success());
    assert_eq!(files(&at.join("new")), ["a.1.png", "a.2.png", "a.png"]);
    assert!(colorize(&["a.png"]).status.success(), "a picture may be made again");
    // The output would replace that of another image.
    refused(at, &["colorize", "--model", "run", "--out", "new", "a.jpg"], 2, &["a.png", "a.jpg"]);
    refused(at, &["colorize", "--model", "run", "--out", ".", "a.png"], 2, &["a.png", "is read"]);
}
