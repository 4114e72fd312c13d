//! Paths that are no files: pipes, folders, devices and links.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use zor_core::Network;
use zor_core::burn::tensor::Device;
use zor_io::safetensors::{self, Sidecar};
use zor_io::{Error, Registry, atomic};

fn network() -> Network {
    Network::dense(&[4, 3, 2]).build(&Device::flex()).unwrap()
}

/// The error of work that has to end: one that waits for a pipe's writer would do so for ever.
fn ends<T>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> String {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(work().map(|_| ()).map_err(|error| error.to_string()));
    });
    let result = receive.recv_timeout(Duration::from_secs(20));
    result.expect("it does not wait").expect_err("it is refused")
}

/// A pipe, where there is the program that makes one.
fn pipe(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let made = Command::new("mkfifo").arg(&path).status();
    made.is_ok_and(|status| status.success()).then_some(path)
}

/// The errors of all that reads or writes a file of this path.
fn refusals(path: &Path) -> Vec<String> {
    let at = || path.to_owned();
    let p: Vec<PathBuf> = (0..9).map(|_| at()).collect();
    let [a, b, c, d, e, f, g, h, i] = <[PathBuf; 9]>::try_from(p).unwrap();
    vec![
        ends(move || zor_io::load(&a, &Device::flex())),
        ends(move || zor_io::load_into(&mut network(), &b)),
        ends(move || zor_io::info(&c)),
        ends(move || zor_io::verify(&d)),
        ends(move || safetensors::load(&e, &Device::flex(), &Registry::default())),
        ends(move || safetensors::load_into(&mut network(), &f)),
        ends(move || safetensors::info(&g)),
        ends(move || safetensors::verify(&h)),
        // SAFETY: nothing is mapped: it is refused.
        ends(move || unsafe { zor_io::load_mapped(&i, &Device::flex(), &Registry::default()) }),
    ]
}

#[test]
fn pipes_folders_and_devices_are_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = vec![folder.path().to_owned(), PathBuf::from("/dev/null")];
    paths.extend(pipe(folder.path(), "pipe.zor"));
    for path in paths {
        for error in refusals(&path) {
            assert!(error.contains("not a regular file"), "{error}");
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn links_to_themselves_and_to_nothing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("loop.zor", at("loop.zor")).unwrap();
    std::os::unix::fs::symlink("none", at("dangling.zor")).unwrap();
    for error in refusals(&at("loop.zor")) {
        assert!(error.contains("loop.zor: it is a link to loop.zor that cannot"), "{error}");
    }
    for error in refusals(&at("dangling.zor")) {
        assert!(error.contains("dangling.zor: it is a link to none, and there"), "{error}");
    }
    for error in refusals(&at("no\n\u{1b}[2J.zor")) {
        assert!(error.contains(r"no\n\u{1b}[2J.zor: there is no such file"), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

#[test]
fn a_pipe_or_folder_in_the_place_of_a_digest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    safetensors::save(&network(), &BTreeMap::new(), Sidecar::None, &path).unwrap();
    let beside = folder.path().join("model.safetensors.sha256");
    fs::create_dir(&beside).unwrap();
    let refused = || {
        let path = path.clone();
        let error = ends(move || safetensors::verify(&path));
        assert!(error.contains("model.safetensors.sha256: it is not a regular"), "{error}");
    };
    refused();
    fs::remove_dir(&beside).unwrap();
    if pipe(folder.path(), "model.safetensors.sha256").is_some() {
        refused();
    }
}

#[test]
fn a_pipe_is_not_replaced_by_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = pipe(folder.path(), "pipe.zor") else { return };
    let place = path.clone();
    let error = ends(move || atomic::write(&place, b"x"));
    assert!(error.contains("pipe.zor: it is not a regular file"), "{error}");
    assert!(!fs::metadata(&path).unwrap().is_file());
}
