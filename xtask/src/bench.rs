//! Measurements that take minutes: `cargo xtask bench --suite NAME`.
//!
//! Each suite is a module of its name, which says what it measures.

mod cifar;
pub(crate) mod cifar_classification;
mod classification;
mod common;
mod conv;
mod cost;
mod depth;
mod edge;
mod few_shot;
mod inference;
mod io;
mod memory;
mod peers;
mod process_memory;
mod reconstruction;
mod rounds;
pub(crate) mod rules;
pub(crate) mod silence;
mod spread;
mod step;
mod suite;
mod variants;

use serde_json::json;

pub(crate) use common::noise;
pub(crate) use spread::Spread;
pub(crate) use suite::{Choice, Suite};

use crate::paths::text;
use crate::table::Table;

/// All suites, in the order of their pages.
pub(crate) const SUITES: [Suite; 15] = [
    cifar::SUITE,
    cifar_classification::SUITE,
    classification::SUITE,
    conv::SUITE,
    cost::SUITE,
    depth::SUITE,
    edge::SUITE,
    few_shot::SUITE,
    inference::SUITE,
    io::SUITE,
    memory::SUITE,
    reconstruction::SUITE,
    rules::SUITE,
    silence::SUITE,
    step::SUITE,
];

/// What is to be measured.
pub(crate) struct Request {
    suite: Suite,
    choice: Choice,
    json: bool,
    write: bool,
    on_flex: bool,
}

impl Request {
    pub(crate) fn parse(arguments: &[&str]) -> Option<Self> {
        let (mut suite, mut choice, mut json, mut write) = (None, Choice::default(), false, false);
        let mut devices = vec!["flex"];
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--suite" => {
                    let name = rest.next()?;
                    suite = SUITES.into_iter().find(|suite| suite.name == *name);
                }
                "--peer" => match *rest.next()? {
                    "torch" | "onnx" => choice.torch = true,
                    // It is measured wherever it can be.
                    "burn" => {}
                    _ => return None,
                },
                "--device" => devices = rest.next()?.split(',').collect(),
                "--only" => choice.only = (*rest.next()?).to_owned(),
                "--missing" => choice.missing = true,
                "--json" => json = true,
                "--write" => write = true,
                _ => return None,
            }
        }
        let on_flex = devices.contains(&"flex");
        for device in devices.into_iter().filter(|device| *device != "flex") {
            println!("skipped: suites are measured on flex; {device} is not in this build");
        }
        Some(Self { suite: suite?, choice, json, write, on_flex })
    }
}

/// Measures, prints a table and what is promised, and with `--json` the raw numbers as the last line.
pub(crate) fn run(request: &Request) -> Result<(), String> {
    if !request.on_flex {
        return Ok(());
    }
    let raw = request.suite.run(&request.choice, request.write)?;
    let mut table = Table::default();
    (request.suite.figures)(&raw, &mut table);
    table.print();
    println!("\n{}", request.suite.remarks.trim_end());
    if request.json {
        println!("{raw}");
    }
    Ok(())
}

/// The process of one measurement of memory: trains a network with an optimizer, or holds it for a runtime, and prints the bytes that this takes.
pub(crate) fn memory_of(kind: &str, sizes: &[&str]) -> Result<(), String> {
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().map_err(text)).collect::<Result<_, String>>()?;
    let bytes = match kind.strip_prefix(process_memory::HELD) {
        Some(runtime) => edge::held(runtime, &sizes)?,
        None => memory::highest(kind, &sizes)?,
    };
    println!("{}", json!({ "bytes": bytes }));
    Ok(())
}
