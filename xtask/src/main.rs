//! Development tasks: `cargo xtask <task>`.
//!
//! - `bench --suite NAME`: measurements that take minutes;
//! - `check [--all-platforms]`: the checks that CI runs in addition to the tests;
//! - `guard [--write]`: compares the number of instructions of training steps with the kept ones;
//! - `pages [--write]`: compares the generated pages, such as `docs/benchmarks.md`, with the
//!   numbers in `docs/results`, or writes them;
//! - `figures [--long] [--write]`: measures the promised figures;
//! - `edge [--write]`: builds zor-edge for microcontrollers and the browser, and runs it there;
//! - `parity FILE...`: replays traces of the classic rule;
//! - `python [--write]`: tests the Python package on a development build;
//! - `wheel [--torch]`: builds the wheel of the Python package and tests it on every Python;
//! - `gpu [FEATURES]`: packs a folder for a machine with a GPU, by default with CUDA and Vulkan;
//! - `gpu --kernels [--write]`: compiles and assembles the kernels for NVIDIA cards without a card;
//! - `layers`: checks that each crate depends only on crates in lower layers.

mod bench;
mod cargo;
mod checks;
mod clock;
mod data;
mod figures;
mod gpu;
mod page;
mod parity;
mod paths;
mod python;
mod results;
mod table;

use std::path::Path;
use std::process::ExitCode;

use checks::{crate_graph, firmware, instruction_count};

const USAGE: &str = "usage: cargo xtask check [--all-platforms]
       cargo xtask bench --suite NAME [--only WORDS] [--missing] [--peer torch|onnx|sklearn|pyod] [--device NAME,NAME...] [--published FOLDER] [--json] [--write]
       cargo xtask figures [--long] [--write]
       cargo xtask pages [--write]
       cargo xtask guard [--write]
       cargo xtask edge [--write]
       cargo xtask python [--write]
       cargo xtask wheel [--torch]
       cargo xtask gpu [FEATURES] | --kernels [--write]
       cargo xtask parity FILE...
       cargo xtask layers";

/// Prints the usage.
fn print_usage() -> ExitCode {
    let suites: Vec<&str> = bench::SUITES.iter().map(|suite| suite.name).collect();
    eprintln!("{USAGE}\nsuites: {}", suites.join(", "));
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["check"] => checks::run(false),
        ["check", "--all-platforms"] => checks::run(true),
        ["layers"] => crate_graph::run(),
        ["pages"] => page::run(false),
        ["pages", "--write"] => page::run(true),
        ["edge"] => firmware::run(false),
        ["edge", "--write"] => firmware::run(true),
        ["python"] => python::check(false),
        ["python", "--write"] => python::check(true),
        ["wheel"] => python::wheel(false),
        ["wheel", "--torch"] => python::wheel(true),
        ["gpu"] => gpu::pack(None),
        ["gpu", "--kernels"] => gpu::show_kernels(false),
        ["gpu", "--kernels", "--write"] => gpu::show_kernels(true),
        ["gpu", features] if !features.starts_with('-') => gpu::pack(Some(features)),
        ["guard"] => instruction_count::run(false),
        ["guard", "--write"] => instruction_count::run(true),
        ["count-of", case, times] => instruction_count::repeat(case, times),
        ["bench", ref arguments @ ..] => match bench::Request::parse(arguments) {
            Some(request) => bench::run(&request),
            None => return print_usage(),
        },
        ["command", ref arguments @ ..] => {
            let arguments = arguments.iter().map(Into::into);
            return ExitCode::from(zor::command::command_with(arguments, &[]));
        }
        ["memory-of", kind, ref sizes @ ..] => bench::memory_of(kind, sizes),
        ["parity", ref files @ ..] if !files.is_empty() => parity_of(files),
        ["figures", ref flags @ ..] if flags.iter().all(|f| ["--long", "--write"].contains(f)) => {
            figures::run(flags.contains(&"--long"), flags.contains(&"--write"))
        }
        _ => return print_usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
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
    if off == 0 { Ok(()) } else { Err(format!("{off} of {} traces are not followed", files.len())) }
}
