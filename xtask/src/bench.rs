//! Measurements that take minutes: `cargo xtask bench --suite NAME`.
//!
//! Each suite is a module of the same name, whose doc describes the measurements. `--peer NAME`
//! measures the program that the suite compares Zor with, `--device flex,cuda` runs the suite
//! `step` on each of these devices that the build and the machine support.

mod cifar;
pub(crate) mod cifar_classification;
mod classification;
mod common;
mod conv;
mod cost;
mod depth;
mod detection;
mod devices;
mod edge;
mod few_shot;
mod inference;
mod io;
mod memory;
mod nab;
mod peers;
mod process_memory;
mod python;
mod reconstruction;
mod rounds;
pub(crate) mod rules;
pub(crate) mod silence;
mod soak;
mod spread;
mod stability;
mod step;
mod suite;
mod tables;
mod translation;
mod variants;

use std::path::PathBuf;

use serde_json::json;

pub(crate) use common::{noise, threads, train_to_end};
pub(crate) use spread::Spread;
pub(crate) use stability::check as stability_of_few;
pub(crate) use suite::{Suite, SuiteFilter};

use crate::paths::text;
use crate::table::Table;

/// All suites, in the order of their pages.
pub(crate) const SUITES: [Suite; 22] = [
    cifar::SUITE,
    cifar_classification::SUITE,
    classification::SUITE,
    conv::SUITE,
    cost::SUITE,
    depth::SUITE,
    detection::SUITE,
    edge::SUITE,
    few_shot::SUITE,
    inference::SUITE,
    io::SUITE,
    memory::SUITE,
    nab::SUITE,
    python::SUITE,
    reconstruction::SUITE,
    rules::SUITE,
    silence::SUITE,
    soak::SUITE,
    stability::SUITE,
    step::SUITE,
    tables::SUITE,
    translation::SUITE,
];

/// Suites that run on any device; all others run on flex alone.
const ON_ANY_DEVICE: [&str; 1] = [step::SUITE.name];

/// A call of `cargo xtask bench`.
pub(crate) struct Request {
    suite: Suite,
    filter: SuiteFilter,
    /// Program to compare with.
    peer: Option<String>,
    json: bool,
    write: bool,
}

impl Request {
    pub(crate) fn parse(arguments: &[&str]) -> Option<Self> {
        let (mut suite, mut filter, mut peer) = (None, SuiteFilter::default(), None);
        let (mut json, mut write) = (false, false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--suite" => {
                    let name = rest.next()?;
                    suite = SUITES.into_iter().find(|suite| suite.name == *name);
                }
                "--peer" => peer = Some((*rest.next()?).to_owned()),
                "--device" => {
                    filter.devices = rest.next()?.split(',').map(str::to_owned).collect();
                }
                "--published" => filter.published = Some(PathBuf::from(rest.next()?)),
                "--only" => filter.only = (*rest.next()?).to_owned(),
                "--missing" => filter.missing = true,
                "--json" => json = true,
                "--write" => write = true,
                _ => return None,
            }
        }
        filter.peers = peer.is_some();
        Some(Self { suite: suite?, filter, peer, json, write })
    }

    /// Checks that the suite compares Zor with the named program.
    fn check_peer(&self) -> Result<(), String> {
        let name = self.suite.name;
        match (self.peer.as_deref(), self.suite.peer) {
            (None, _) => Ok(()),
            (Some(asked), Some(peer)) if asked == peer => Ok(()),
            (Some(_), Some(peer)) => Err(format!("the peer of suite {name} is {peer}")),
            (Some(_), None) => Err(format!("suite {name} has no peer: leave out --peer")),
        }
    }

    /// Prints the named devices that the suite does not run on.
    ///
    /// # Errors
    /// When no device is left, or `--write` is given without flex.
    fn check_devices(&self) -> Result<(), String> {
        let (name, others) = (self.suite.name, self.filter.other_devices().join(", "));
        let is_on_flex = self.filter.is_on_flex();
        if !ON_ANY_DEVICE.contains(&name) && !others.is_empty() {
            if !is_on_flex {
                return Err(format!("suite {name} runs on flex alone, not on {others}"));
            }
            println!("suite {name} runs on flex alone; left out: {others}");
        }
        if self.write && !is_on_flex {
            return Err("results files are written for flex; add it to --device".to_owned());
        }
        Ok(())
    }
}

/// Measures, prints a table of promises, and with `--json` the raw numbers as the last line.
pub(crate) fn run(request: &Request) -> Result<(), String> {
    request.check_peer()?;
    request.check_devices()?;
    let raw = request.suite.run(&request.filter, request.write)?;
    if request.filter.is_on_flex() {
        let mut table = Table::default();
        (request.suite.figures)(&raw, &mut table);
        table.print();
        println!("\ndocs/remarks/{}.md says where Zor loses, and why", request.suite.name);
    }
    if request.json {
        println!("{raw}");
    }
    Ok(())
}

/// Body of a memory measurement's own process: trains a network with an optimizer, holds it in
/// memory for a runtime, or trains a translation, and prints the bytes that this takes.
pub(crate) fn memory_of(kind: &str, sizes: &[&str]) -> Result<(), String> {
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().map_err(text)).collect::<Result<_, String>>()?;
    let bytes = match kind.strip_prefix(process_memory::HELD) {
        Some(runtime) => edge::held(runtime, &sizes)?,
        None if kind == translation::NAME => translation::memory_of_training()?,
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
        assert!(plain.filter.is_on_flex() && plain.filter.other_devices().is_empty());
        let both = request("--suite step --device flex,ndarray");
        assert!(both.filter.is_on_flex() && both.filter.other_devices() == ["ndarray"]);
        assert!(!request("--suite step --device cuda").filter.is_on_flex());
    }

    #[test]
    fn a_peer_that_the_suite_does_not_measure_is_an_error() {
        let asked = request("--suite step --peer torch");
        assert!(asked.filter.peers && asked.check_peer().is_ok());
        assert!(!request("--suite step").filter.peers);
        let wrong = request("--suite edge --peer torch").check_peer().unwrap_err();
        assert!(wrong.contains("edge") && wrong.contains("onnx"), "{wrong}");
        assert!(request("--suite io --peer burn").check_peer().is_err());
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
