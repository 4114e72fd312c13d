//! Measurements that take minutes: `cargo xtask bench --suite NAME`.
//!
//! Each suite is a module of its name, which says what it measures.

mod cifar;
pub(crate) mod cifar_classification;
mod classification;
mod conv;
mod cost;
mod depth;
mod edge;
mod few_shot;
mod inference;
mod io;
pub(crate) mod memory;
mod peers;
mod reconstruction;
pub(crate) mod remarks;
mod rounds;
pub(crate) mod rules;
pub(crate) mod silence;
mod spread;
mod step;
mod variants;

use serde_json::Value;
pub(crate) use spread::Spread;
use zor::core::Parameter;
use zor::options::DataSetName;
use zor::prelude::*;

use crate::figures::Table;
use crate::results;

/// A set of measurements with promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// See [`cifar`].
    Cifar,
    /// See [`cifar_classification`].
    CifarClassification,
    /// See [`classification`].
    Classification,
    /// See [`conv`].
    Conv,
    /// See [`cost`].
    Cost,
    /// See [`depth`].
    Depth,
    /// See [`edge`].
    Edge,
    /// See [`few_shot`].
    FewShot,
    /// See [`inference`].
    Inference,
    /// See [`io`].
    Io,
    /// See [`memory`].
    Memory,
    /// See [`reconstruction`].
    Reconstruction,
    /// See [`rules`].
    Rules,
    /// See [`silence`].
    Silence,
    /// See [`step`].
    Step,
}

impl Suite {
    pub(crate) const ALL: [Self; 15] = [
        Self::Cifar,
        Self::CifarClassification,
        Self::Classification,
        Self::Conv,
        Self::Cost,
        Self::Depth,
        Self::Edge,
        Self::FewShot,
        Self::Inference,
        Self::Io,
        Self::Memory,
        Self::Reconstruction,
        Self::Rules,
        Self::Silence,
        Self::Step,
    ];

    /// Its name, and that of its numbers under `docs/results/`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cifar => "cifar",
            Self::CifarClassification => "cifar-classification",
            Self::Classification => "classification",
            Self::Conv => "conv",
            Self::Cost => "cost",
            Self::Depth => "depth",
            Self::Edge => "edge",
            Self::FewShot => "few-shot",
            Self::Inference => "inference",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Reconstruction => "reconstruction",
            Self::Rules => "rules",
            Self::Silence => "silence",
            Self::Step => "step",
        }
    }

    /// Measures and prints a table. What there is so far is kept under `docs/results/` if wished.
    pub(crate) fn run(self, choice: &Choice, write: bool) -> Result<Value, String> {
        let keep = |raw: &Value| if write { results::write(self.name(), raw) } else { Ok(()) };
        let raw = match self {
            Self::Cifar => cifar::run(choice, &keep)?,
            Self::CifarClassification => cifar_classification::run(choice, &keep)?,
            Self::Classification => classification::run(&keep)?,
            Self::Conv => conv::run(choice.torch)?,
            Self::Cost => cost::run()?,
            Self::Depth => depth::run(&keep)?,
            Self::Edge => edge::run(choice.torch)?,
            Self::FewShot => few_shot::run()?,
            Self::Inference => inference::run(choice.torch)?,
            Self::Io => io::run()?,
            Self::Memory => memory::run(choice.torch)?,
            Self::Reconstruction => reconstruction::run(choice.torch)?,
            Self::Rules => rules::run(choice, &keep)?,
            Self::Silence => silence::run(choice, &keep)?,
            Self::Step => step::run(choice.torch)?,
        };
        keep(&raw)?;
        Ok(raw)
    }

    /// Sets what was measured beside what is promised.
    pub(crate) fn figures(self, raw: &Value, table: &mut Table) {
        match self {
            Self::Cifar => cifar::figures(raw, table),
            Self::CifarClassification => cifar_classification::figures(raw, table),
            Self::Classification => classification::figures(raw, table),
            Self::Conv => conv::figures(raw, table),
            Self::Cost => cost::figures(raw, table),
            Self::Depth => depth::figures(raw, table),
            Self::Edge => edge::figures(raw, table),
            Self::FewShot => few_shot::figures(raw, table),
            Self::Inference => inference::figures(raw, table),
            Self::Io => io::figures(raw, table),
            Self::Memory => memory::figures(raw, table),
            Self::Reconstruction => reconstruction::figures(raw, table),
            Self::Rules => rules::figures(raw, table),
            Self::Silence => silence::figures(raw, table),
            Self::Step => step::figures(raw, table),
        }
    }

    /// The images that it needs.
    pub(crate) fn data(self) -> Option<DataSetName> {
        match self {
            // The rule study needs both.
            Self::Cifar | Self::CifarClassification | Self::Reconstruction | Self::Rules => {
                Some(DataSetName::Cifar10)
            }
            Self::Classification | Self::Depth | Self::Edge | Self::FewShot | Self::Silence => {
                Some(DataSetName::FashionMnist)
            }
            Self::Conv | Self::Cost | Self::Inference | Self::Io | Self::Memory | Self::Step => {
                None
            }
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
                    suite = Suite::ALL.into_iter().find(|suite| suite.name() == *name);
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
    request.suite.figures(&raw, &mut table);
    table.print();
    println!("\n{}", remarks::of(request.suite));
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
pub(crate) fn noise(shape: [usize; 2]) -> Tensor<2> {
    let mut random = Random::seeded(1);
    Parameter::normal("noise", shape, 1.0, &mut random, &Device::flex()).value()
}
