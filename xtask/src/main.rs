//! Development tasks: `cargo xtask <task>`.
//!
//! - `bench --suite NAME`: measurements that take minutes;
//! - `check`: what CI runs beside the tests;
//! - `guard [--write]`: whether a step takes more instructions than it did;
//! - `pages [--write]`: `docs/benchmarks.md` from the numbers in `docs/results`;
//! - `figures [--long] [--write]`: every promised figure beside what is measured;
//! - `edge [--write]`: zor-edge built for microcontrollers and the browser, and run there;
//! - `parity FILE...`: replays traces of the classic rule;
//! - `gpu [FEATURES]`: a folder to be run on a machine with a GPU, by default with CUDA and Vulkan;
//! - `gpu --kernels [--write]`: the kernels for NVIDIA's cards, compiled and assembled without one;
//! - `layers`: whether each crate depends only on crates below it.

mod bench;
mod check;
mod edge;
mod figures;
mod gpu;
mod guard;
mod layers;
mod packages;
mod page;
mod parity;
mod promises;
mod results;
mod tidy;
mod weight;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str =
    "usage: cargo xtask check | figures [--long] [--write] | pages [--write] | guard [--write] | edge [--write] | parity FILE... | layers | gpu [FEATURES] | gpu --kernels [--write]
       cargo xtask bench --suite cifar|cifar-classification|classification|conv|cost|depth|edge|few-shot|inference|io|
                               memory|reconstruction|rules|silence|step
                         [--only WORDS] [--missing] [--peer torch|onnx|burn] [--device LIST] [--json] [--write]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["check"] => check::run(),
        ["layers"] => layers::run(),
        ["pages"] => page::run(false),
        ["pages", "--write"] => page::run(true),
        ["edge"] => edge::run(false),
        ["edge", "--write"] => edge::run(true),
        ["gpu"] => gpu::pack(None),
        ["gpu", "--kernels"] => gpu::show_kernels(false),
        ["gpu", "--kernels", "--write"] => gpu::show_kernels(true),
        ["gpu", features] if !features.starts_with('-') => gpu::pack(Some(features)),
        ["guard"] => guard::run(false),
        ["guard", "--write"] => guard::run(true),
        ["count-of", case, times] => guard::repeat(case, times),
        ["bench", ref arguments @ ..] => match bench::Request::parse(arguments) {
            Some(request) => bench::run(&request),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        ["memory-of", optimizer, ref sizes @ ..] if sizes.len() > 1 => {
            bench::memory::measure(optimizer, sizes)
        }
        ["parity", ref files @ ..] if !files.is_empty() => parity_of(files),
        ["figures", ref flags @ ..] if flags.iter().all(|f| ["--long", "--write"].contains(f)) => {
            figures::run(flags.contains(&"--long"), flags.contains(&"--write"))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The folder that cargo builds in.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from)
}

/// Cargo as a user calls it. What cargo tells this program about itself would make some crates build anew.
fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if told {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root());
    cargo
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn parity_of(files: &[&str]) -> Result<(), String> {
    let mut off = 0;
    for file in files {
        match parity::replay(Path::new(file)) {
            Ok(report) => {
                off += usize::from(report.failure().is_some());
                println!("{file}: {report}");
            }
            Err(error) => {
                off += 1;
                println!("{error}");
            }
        }
    }
    if off == 0 { Ok(()) } else { Err(format!("{off} of {} files are not followed", files.len())) }
}
