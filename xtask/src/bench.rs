//! Measurements that take minutes: `cargo xtask bench --suite NAME`.
//!
//! `cifar`: reconstruction and colorization; see [`cifar`].
//! `classification`: the task's network three times, and its twin under autodiff; see [`classification`].
//! `conv`: a training step beside PyTorch's; see [`conv`].
//! `depth`: networks of 2 to 128 layers; see [`depth`].
//! `few-shot`: ten images, beside perceptrons; see [`few_shot`].
//! `memory`: peak memory of training beside PyTorch's; see [`memory`].
//! `step`: a training step of dense networks beside PyTorch's and burn's; see [`step`].

mod cifar;
mod classification;
mod conv;
mod depth;
mod few_shot;
pub(crate) mod memory;
mod peers;
mod rounds;
mod spread;
mod step;

use serde_json::Value;
pub(crate) use spread::Spread;
use zor::core::Parameter;
use zor::prelude::*;

use crate::figures::Table;
use crate::results;

/// A set of measurements with promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// See [`cifar`].
    Cifar,
    /// See [`classification`].
    Classification,
    /// See [`conv`].
    Conv,
    /// See [`depth`].
    Depth,
    /// See [`few_shot`].
    FewShot,
    /// See [`memory`].
    Memory,
    /// See [`step`].
    Step,
}

impl Suite {
    pub(crate) const ALL: [Self; 7] = [
        Self::Cifar,
        Self::Classification,
        Self::Conv,
        Self::Depth,
        Self::FewShot,
        Self::Memory,
        Self::Step,
    ];

    /// Its name, and that of its numbers under `docs/results/`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cifar => "cifar",
            Self::Classification => "classification",
            Self::Conv => "conv",
            Self::Depth => "depth",
            Self::FewShot => "few-shot",
            Self::Memory => "memory",
            Self::Step => "step",
        }
    }

    /// Measures and prints a table. What there is so far is kept under `docs/results/` if wished.
    pub(crate) fn run(self, choice: &Choice, write: bool) -> Result<Value, String> {
        let keep = |raw: &Value| if write { results::write(self.name(), raw) } else { Ok(()) };
        let raw = match self {
            Self::Cifar => cifar::run(choice, &keep)?,
            Self::Classification => classification::run(&keep)?,
            Self::Conv => conv::run(choice.torch)?,
            Self::Depth => depth::run(&keep)?,
            Self::FewShot => few_shot::run()?,
            Self::Memory => memory::run(choice.torch)?,
            Self::Step => step::run(choice.torch)?,
        };
        keep(&raw)?;
        Ok(raw)
    }

    /// Sets what was measured beside what is promised.
    pub(crate) fn figures(self, raw: &Value, table: &mut Table) {
        match self {
            Self::Cifar => cifar::figures(raw, table),
            Self::Classification => classification::figures(raw, table),
            Self::Conv => conv::figures(raw, table),
            Self::Depth => depth::figures(raw, table),
            Self::FewShot => few_shot::figures(raw, table),
            Self::Memory => memory::figures(raw, table),
            Self::Step => step::figures(raw, table),
        }
    }
}

/// Keeps numbers, whole or not yet whole.
type Keep<'a> = &'a dyn Fn(&Value) -> Result<(), String>;

/// Which parts of a suite are measured.
#[derive(Default)]
pub(crate) struct Choice {
    /// Whether the peers in Python are asked too.
    pub(crate) torch: bool,
    /// Words in the names of what is measured, where a suite has names.
    pub(crate) only: String,
    /// Whether seeds whose numbers are kept already are left out, where a suite has seeds: for one that was interrupted.
    pub(crate) missing: bool,
}

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
                    suite = Suite::ALL.into_iter().find(|suite| suite.name() == *name);
                }
                "--peer" if rest.next() == Some(&"torch") => choice.torch = true,
                "--only" => choice.only = (*rest.next()?).to_owned(),
                "--missing" => choice.missing = true,
                "--json" => json = true,
                "--write" => write = true,
                _ => return None,
            }
        }
        Some(Self { suite: suite?, choice, json, write })
    }
}

/// Measures, prints a table and what is promised, and with `--json` the raw numbers as the last line.
pub(crate) fn run(request: &Request) -> Result<(), String> {
    let raw = request.suite.run(&request.choice, request.write)?;
    let mut table = Table::default();
    request.suite.figures(&raw, &mut table);
    table.print();
    if request.json {
        println!("{raw}");
    }
    Ok(())
}

/// Cores that the suites use: all of them.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Normally distributed values.
fn noise(shape: [usize; 2]) -> Tensor<2> {
    let mut random = Random::seeded(1);
    Parameter::normal("noise", shape, 1.0, &mut random, &Device::flex()).value()
}
