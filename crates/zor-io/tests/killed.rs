//! A process that is killed while it saves leaves the old file or the new one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zor_core::burn::tensor::Device;
use zor_core::{Network, Random};

/// Where the process that is killed saves; set for it alone.
const PLACE: &str = "ZOR_SAVE_UNTIL_KILLED";
/// What it says before it saves for the first time.
const BEGINS: &str = "it begins to save";
/// Networks that it saves in turn.
const VERSIONS: u64 = 4;
const KILLS: usize = 500;

fn network(seed: u64) -> Network {
    Network::dense(&[200, 100, 200]).seed(seed).build(&Device::flex()).unwrap()
}

fn save(version: u64, path: &Path) {
    let notes = BTreeMap::from([("version".to_owned(), version.to_string())]);
    zor_io::save(&network(version), &notes, path).unwrap();
}

/// Does nothing but in the process that is killed, which never comes back from it.
#[test]
fn saves_until_it_is_killed() {
    let Some(path) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let networks: Vec<Network> = (0..VERSIONS).map(network).collect();
    println!("{BEGINS}");
    loop {
        for (version, network) in networks.iter().enumerate() {
            let notes = BTreeMap::from([("version".to_owned(), version.to_string())]);
            zor_io::save(network, &notes, &path).unwrap();
        }
    }
}

/// A process that has begun to save.
fn start(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "saves_until_it_is_killed", "--test-threads", "1", "--nocapture"])
        .env(PLACE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.ends_with(BEGINS)));
    child
}

#[test]
fn a_save_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.zor");
    save(0, &path);
    let expected: Vec<Vec<u8>> = (0..VERSIONS)
        .map(|version| {
            let place = folder.path().join("expected.zor");
            save(version, &place);
            std::fs::read(place).unwrap()
        })
        .collect();
    let mut random = Random::seeded(1);
    let (mut found, mut halves) = (BTreeSet::new(), 0);
    for kill in 0..KILLS {
        let mut child = start(&path);
        // A save takes about a millisecond.
        std::thread::sleep(Duration::from_micros(random.below(10_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let version = expected.iter().position(|expected| *expected == bytes);
        found.insert(version.unwrap_or_else(|| panic!("kill {kill} left something else")));
        let names = std::fs::read_dir(folder.path()).unwrap().flatten();
        let is_half = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".part");
        halves += usize::from(names.map(|entry| entry.file_name()).any(|name| is_half(&name)));
    }
    // Otherwise no save was ever under way.
    assert!(found.len() > 1 && halves > 10, "{found:?}, {halves} killed in the midst of a save");
    save(1, &path);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "leftovers are removed");
}
