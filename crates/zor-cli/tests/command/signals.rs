//! Signals before, during and after training.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{code, command, done, folder, record, start, wait_until};

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Interrupts a running training. Returns its messages and the checkpoint that it saved.
fn interrupted(folder: &Path, signal: &str, more: &[&str]) -> (String, PathBuf) {
    let task = ["train", "fashion-reconstruction", "--out", "run"];
    let mut child =
        command(folder, &[&task[..], more].concat()).stderr(Stdio::piped()).spawn().unwrap();
    // After the first line, the training is about to start.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    stderr.read_line(&mut text).unwrap();
    send(signal, &child);
    assert_eq!(code(&mut child), Some(1));
    stderr.read_to_string(&mut text).unwrap();
    let checkpoint = zor::training::checkpoint::latest(&folder.join("run")).unwrap();
    (text, checkpoint)
}

#[test]
fn an_interrupted_training_saves_a_checkpoint_and_says_where() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = folder();
        let (text, checkpoint) = interrupted(folder.path(), signal, &["--steps", "1000000"]);
        let name = checkpoint.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("--resume run/{name}")), "{text}");
        done(folder.path(), &["info", checkpoint.to_str().unwrap()]);
        assert!(!folder.path().join("run/model.zor").exists());
        let record = record(&folder.path().join("run"));
        assert_eq!(record["state"], "stopped");
        assert!(text.contains(&format!("after step {};", record["step"])), "{text} {record}");
    }
}

/// As with `nohup`, the signal is ignored from the start.
#[test]
fn a_training_outlives_its_terminal_if_it_shall() {
    let folder = folder();
    let log = folder.path().join("log");
    let zor = env!("CARGO_BIN_EXE_zor");
    for signal in ["HUP", "INT", "TERM"] {
        let _ = fs::remove_dir_all(folder.path().join("run"));
        let script = format!(
            "trap '' {signal}; exec {zor} train fashion-reconstruction --no-baseline --steps 400 --threads 1 --out run 2>log"
        );
        let mut child = Command::new("sh");
        let child = child.args(["-c", &script]).current_dir(folder.path());
        let mut child = child.env_remove("ZOR_DATA_DIR").stdout(Stdio::null()).spawn().unwrap();
        wait_until("the first line", || fs::metadata(&log).is_ok_and(|log| log.len() > 0));
        send(&format!("-{signal}"), &child);
        assert_eq!(code(&mut child), Some(0), "{signal}");
        assert_eq!(record(&folder.path().join("run"))["state"], "done");
        fs::remove_file(&log).unwrap();
    }
}

/// The data server never responds.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_before_the_training_ends_it_at_once() {
    let folder = folder();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let arguments = ["train", "cifar-reconstruction", "--out", "run"];
    let mut child = command(folder.path(), &arguments)
        .env("http_proxy", &proxy)
        .env("HTTP_PROXY", &proxy)
        .env("ALL_PROXY", &proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    stderr.read_line(&mut text).unwrap();
    assert!(text.contains("fetching"), "{text}");
    send("-TERM", &child);
    assert_eq!(code(&mut child), Some(1));
    stderr.read_to_string(&mut text).unwrap();
    assert!(text.contains("stopped: before the training"), "{text}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn an_interrupted_comparison_keeps_the_results_of_the_training() {
    let folder = folder();
    let log = folder.path().join("log");
    let arguments = ["train", "fashion-reconstruction", "--steps", "5", "--threads", "1"];
    // The baselines take at least 500 steps.
    let out = fs::File::create(folder.path().join("out")).unwrap();
    let mut child = command(folder.path(), &[&arguments[..], &["--json", "--out", "run"]].concat())
        .stdout(out)
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let text = || fs::read_to_string(&log).unwrap();
    wait_until("the comparison", || text().contains("MLP"));
    send("-INT", &child);
    assert_eq!(code(&mut child), Some(1), "{}", text());
    assert!(text().contains("stopped: after the training"), "{}", text());
    let run = folder.path().join("run");
    for name in ["model.zor", "metrics.jsonl", "curve.svg", "reconstructions.png"] {
        assert!(run.join(name).exists(), "{name}");
    }
    let printed = fs::read_to_string(folder.path().join("out")).unwrap();
    assert_eq!(crate::support::json(&printed)["steps"], 5);
    assert_eq!(record(&run)["state"], "done");
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = folder();
    let log = folder.path().join("log");
    let pictures = folder.path().join("own");
    crate::support::own_pictures(&pictures, 32);
    // A step of this network takes long enough to send two signals.
    let task = ["train", "cifar-classification", "--data", "own", "--steps", "1000"];
    let more = ["--network", "airbench", "--batch", "512", "--threads", "1", "--out", "run"];
    let mut child = start(folder.path(), &[&task[..], &more].concat(), &log);
    let text = || fs::read_to_string(&log).unwrap();
    wait_until("the training", || text().contains("zor: 1000 steps"));
    send("-INT", &child);
    std::thread::sleep(std::time::Duration::from_millis(300));
    send("-INT", &child);
    assert_eq!(code(&mut child), Some(1));
    assert!(text().contains("second request"), "{}", text());
    assert_eq!(record(&folder.path().join("run"))["state"], "stopped");
}
