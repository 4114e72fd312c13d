//! Measurements that take minutes: `cargo xtask bench --suite NAME`.
//!
//! Each suite is a module of its name, which says what it measures. `--device flex,cuda` measures
//! Zor's own steps in the suite `step` on each of these devices that the build and the machine
//! have.

mod cifar;
pub(crate) mod cifar_classification;
mod classification;
mod common;
mod conv;
mod cost;
mod depth;
mod devices;
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
mod tables;
mod variants;

use serde_json::json;

pub(crate) use common::noise;
pub(crate) use spread::Spread;
pub(crate) use suite::{Choice, Suite};

use crate::paths::text;
use crate::table::Table;

/// All suites, in the order of their pages.
pub(crate) const SUITES: [Suite; 16] = [
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
    tables::SUITE,
];

/// The suites that are measured on any device; all others on flex alone.
const ON_ANY_DEVICE: [&str; 1] = [step::SUITE.name];

/// What is to be measured.
pub(crate) struct Request {
    suite: Suite,
    choice: Choice,
    json: bool,
    write: bool,
}

impl Request {
    pub(crate) fn parse(arguments: &[&str]) -> Option<Self> {
        let (mut suite, mut choice, mut json, mut write) = (None, Choice::default(), false, false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--suite" => {
                    let name = rest.next()?;
                    suite = SUITES.into_iter().find(|suite| suite.name == *name);
                }
                "--peer" => match *rest.next()? {
                    "torch" | "onnx" | "sklearn" => choice.torch = true,
                    // It is measured wherever it can be.
                    "burn" => {}
                    _ => return None,
                },
                "--device" => {
                    choice.devices = rest.next()?.split(',').map(str::to_owned).collect();
                }
                "--only" => choice.only = (*rest.next()?).to_owned(),
                "--missing" => choice.missing = true,
                "--json" => json = true,
                "--write" => write = true,
                _ => return None,
            }
        }
        Some(Self { suite: suite?, choice, json, write })
    }

    /// Says which of the named devices the suite leaves out.
    ///
    /// # Errors
    /// When nothing is left, or numbers to be kept do not come from flex.
    fn check_devices(&self) -> Result<(), String> {
        let (name, others) = (self.suite.name, self.choice.other_devices().join(", "));
        let is_on_flex = self.choice.is_on_flex();
        if !ON_ANY_DEVICE.contains(&name) && !others.is_empty() {
            if !is_on_flex {
                return Err(format!("{name} is measured on flex alone, not on {others}"));
            }
            println!("{name} is measured on flex alone; left out: {others}");
        }
        if self.write && !is_on_flex {
            return Err("numbers are kept of flex; name it in --device too".to_owned());
        }
        Ok(())
    }
}

/// Measures, prints a table and what is promised, and with `--json` the raw numbers as the last
/// line.
pub(crate) fn run(request: &Request) -> Result<(), String> {
    request.check_devices()?;
    let raw = request.suite.run(&request.choice, request.write)?;
    if request.choice.is_on_flex() {
        let mut table = Table::default();
        (request.suite.figures)(&raw, &mut table);
        table.print();
        println!("\n{}", request.suite.remarks.trim_end());
    }
    if request.json {
        println!("{raw}");
    }
    Ok(())
}

/// The process of one measurement of memory: trains a network with an optimizer, or holds it for a
/// runtime, and prints the bytes that this takes.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &str) -> Request {
        Request::parse(&words.split(' ').collect::<Vec<_>>()).expect(words)
    }

    #[test]
    fn suites_are_measured_on_flex_unless_devices_are_named() {
        let plain = request("--suite step --json");
        assert!(plain.choice.is_on_flex() && plain.choice.other_devices().is_empty());
        let both = request("--suite step --device flex,ndarray");
        assert!(both.choice.is_on_flex() && both.choice.other_devices() == ["ndarray"]);
        assert!(!request("--suite step --device cuda").choice.is_on_flex());
    }

    #[test]
    fn a_suite_that_has_nothing_to_measure_or_to_keep_says_so() {
        assert!(request("--suite step --device ndarray").check_devices().is_ok());
        assert!(request("--suite conv --device flex,ndarray").check_devices().is_ok());
        let told = request("--suite conv --device ndarray,cuda").check_devices().unwrap_err();
        assert!(told.contains("conv") && told.contains("ndarray, cuda"), "{told}");
        assert!(request("--suite step --device ndarray --write").check_devices().is_err());
    }
}
