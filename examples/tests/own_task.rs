//! Tests the task of `own_task.rs` through the whole command: training, interruption, resume and
//! evaluation.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Path of the example's program, which `cargo test` builds next to the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/own_task");
    assert!(program.exists(), "{} is not built; run all tests of the package", program.display());
    program
}

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).args(arguments.split(' '));
    command
}

/// Runs the program, checks that it succeeds, and returns its standard output.
fn done(folder: &Path, arguments: &str) -> String {
    let output = command(folder, arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_task_from_outside_gets_the_whole_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..10).map(|n| format!("{n},{}\n", ["a", "b"][n % 2])).collect();
    fs::write(at.join("rows.csv"), format!("x,class\n{rows}")).unwrap();
    let train = "train spirals --steps 600 --threads 1 --seed 3";
    let text = done(at, &format!("{train} --json --out whole"));
    let object: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&object["task"], &object["steps"]), (&"spirals".into(), &600.into()));
    assert!(object["top1"].as_f64().unwrap() > 0.6, "{object}");
    for name in ["model.zor", "regions.png", "curve.svg", "config.toml", "metrics.jsonl"] {
        assert!(at.join("whole").join(name).is_file(), "{name}");
    }

    // A run that takes the place of another removes its files, also those of this task alone.
    let record = at.join("whole/run.json");
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
    assert_eq!(record["pictures"], serde_json::json!(["regions.png"]));
    fs::create_dir(at.join("old")).unwrap();
    for name in ["run.json", "regions.png", "model.zor"] {
        fs::copy(at.join("whole").join(name), at.join("old").join(name)).unwrap();
    }
    fs::write(at.join("old/notes.txt"), "mine").unwrap();
    done(at, "train table --data rows.csv --target class --steps 1 --out old --overwrite");
    assert!(!at.join("old/regions.png").exists() && at.join("old/notes.txt").exists());

    // An interrupted and resumed training gives the same model as one without interruption.
    let log = fs::File::create(at.join("log")).unwrap();
    let cut = format!("{train} --checkpoint-every 1 --out cut");
    let mut child = command(at, &cut).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let start = Instant::now();
    let step = |step: u32| at.join(format!("cut/checkpoint-{step:08}.zor")).exists();
    while !(20..60).any(step) {
        assert!(start.elapsed() < Duration::from_secs(60), "the training does not start");
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(fs::read_to_string(at.join("log")).unwrap().contains("--resume"));
    assert!(!at.join("cut/model.zor").exists(), "the training ended before it was interrupted");
    done(at, "train --resume cut --threads 1");
    let model = |run: &str| fs::read(at.join(run).join("model.zor")).unwrap();
    assert!(model("cut") == model("whole"), "the resumed training learned something else");

    let evaluated = done(at, "eval --model cut --json");
    let evaluated: serde_json::Value = serde_json::from_str(evaluated.trim()).unwrap();
    assert_eq!(evaluated["top1"], object["top1"]);
    let help = done(at, "tasks");
    assert!(help.contains("spirals") && help.contains("fashion-reconstruction"), "{help}");
    let wrong = command(at, "train spiral").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean 'spirals'"));
}

#[test]
fn the_task_takes_at_most_120_lines() {
    assert!(include_str!("../own_task.rs").lines().count() <= 120);
}
