//! A process that is killed while it saves leaves the old file or the new one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zor_core::burn::tensor::Device;
use zor_core::{Network, Random};

/// Where the process that is killed saves; set for it alone.
const PLACE: &str = "ZOR_SAVE_UNTIL_KILLED";
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
    loop {
        for (version, network) in networks.iter().enumerate() {
            let notes = BTreeMap::from([("version".to_owned(), version.to_string())]);
            zor_io::save(network, &notes, &path).unwrap();
        }
    }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "saves_until_it_is_killed", "--test-threads", "1"])
        .env(PLACE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
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
        // It takes some milliseconds to begin; each save takes a few more.
        std::thread::sleep(Duration::from_micros(4_000 + random.below(16_000) as u64));
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
