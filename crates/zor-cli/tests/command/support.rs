//! Helpers to run the command in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Returns the command with a working folder, using only the built-in data sample.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zor"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("ZOR_DATA_DIR")
        .env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

/// Runs the command to its end.
pub(crate) fn zor(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Runs the command and expects success. Returns stdout and stderr.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = zor(folder, arguments);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    (out, err)
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Arguments of a short training.
pub(crate) const SHORT: [&str; 8] =
    ["train", "fashion-reconstruction", "--steps", "12", "--batch", "8", "--threads", "1"];

/// Parses the last line of a text as JSON.
pub(crate) fn json(stdout: &str) -> serde_json::Value {
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// Runs a short training and returns the last line of stdout as JSON.
pub(crate) fn train(folder: &Path, more: &[&str]) -> serde_json::Value {
    json(&done(folder, &[&SHORT[..], &["--json"], more].concat()).0)
}

/// Runs the command and expects an exit code and a message with these words.
pub(crate) fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let output = zor(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: '{word}' is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Writes a folder of twelve small colour images.
pub(crate) fn own_pictures(folder: &Path, size: u32) {
    fs::create_dir(folder).unwrap();
    for index in 0..12u8 {
        let pixel = |x: u32, y: u32| image::Rgb([20 * index, 7 * x as u8, 7 * y as u8]);
        let picture = image::RgbImage::from_fn(size, size, pixel);
        picture.save(folder.join(format!("{index:02}.png"))).unwrap();
    }
}

/// Writes a folder of `n` images for each of up to three classes, which are red, green and blue.
pub(crate) fn classes(folder: &Path, names: &[&str], n: u8) {
    for (class, name) in names.iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for index in 0..n {
            let mut color = [index; 3];
            color[class] += 150;
            let path = folder.join(name).join(format!("{index}.png"));
            image::RgbImage::from_pixel(8, 8, image::Rgb(color)).save(path).unwrap();
        }
    }
}

/// Returns the sorted names of the files in a folder, except hidden ones.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Returns the contents of a run's `run.json`.
pub(crate) fn record(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(folder.join("run.json")).unwrap()).unwrap()
}

/// Returns the folder of a task's only run.
pub(crate) fn only_run(folder: &Path, task: &str) -> PathBuf {
    let task = folder.join("runs").join(task);
    let found = files(&task).into_iter().filter(|name| name != "latest").collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{found:?}");
    task.join(&found[0])
}

/// Waits until a condition holds, for at most a minute.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for a process to end, for at most a minute, and returns its exit code.
pub(crate) fn code(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts the command with stderr redirected to a file.
pub(crate) fn start(folder: &Path, arguments: &[&str], log: &Path) -> Child {
    let log = fs::File::create(log).unwrap();
    command(folder, arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}
