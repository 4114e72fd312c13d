//! The Python package: a step and a call beside those of Rust, a step beside the same rule in
//! PyTorch, and the time of its import. The wheel of `cargo xtask wheel` is installed first.

use std::cell::RefCell;
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::core::{Network, Rule};
use zor::prelude::*;

use super::common::{noise, pixels, threads};
use super::peers::{self, Peer};
use super::rounds::{self, Contender};
use super::spread::Spread;
use super::suite::{Suite, SuiteFilter};
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "python", data: None, peer: None, run: |filter, _| run(filter), figures };

/// Rounds in which the contenders take turns, after a warm-up round.
const ROUNDS: usize = 15;
const SCRIPT: &str = "python_step.py";
const SIZES: [usize; 3] = [784, 64, 784];
const BATCHES: [usize; 2] = [10, 48];
/// Steps in a round.
const STEPS: usize = 1000;
/// Steps alone, and as many beside PyTorch.
const BESIDE: usize = 200;
/// Calls in a round.
const CALLS: usize = 2000;

const OWN: &str = "Rust, zor::Network";
const FIRST: &str = "Python, zor.Zor with the error matrix";
const NETWORK: &str = "Python, zor.Network";
const TORCH: &str = "the same rule in PyTorch";

/// Maximum time of a step in Python, relative to that in Rust.
const MAX_RATIO: f64 = 1.15;
/// Maximum time that a call from Python adds, in microseconds.
const MAX_CALL: f64 = 15.0;
/// Maximum time of the import beyond that of NumPy, in milliseconds.
const MAX_IMPORT: f64 = 30.0;
/// Maximum time of a step after work of PyTorch's threads, relative to a step alone.
const MAX_BESIDE: f64 = 1.5;

fn case(batch: usize) -> String {
    format!("784-64-784, batch {batch}")
}

fn run(_: &SuiteFilter) -> Result<Value, String> {
    peers::install_wheel(SCRIPT)?;
    let threads = threads();
    let peer = RefCell::new(Peer::start(SCRIPT, &[threads.to_string()])?);
    let ask = |question: Value| peer.borrow_mut().number(&question.to_string());
    let mut cases = Map::new();
    for batch in BATCHES {
        let mut own = Network::dense(&SIZES).rule(Rule::classic()).build(&Device::flex());
        let own = own.as_mut().map_err(|error| error.to_string())?;
        let input = pixels(&Device::flex(), [batch, SIZES[0]])?;
        let mut contenders: Vec<Contender<'_>> = vec![(
            OWN,
            Box::new(|| {
                let optimizer = AdamW::default();
                milliseconds(STEPS, || {
                    own.train_batch(&optimizer, input.clone(), input.clone()).map(drop)
                })
            }),
        )];
        for (name, kind) in [(FIRST, "zor"), (NETWORK, "network"), (TORCH, "classic")] {
            let question = json!({ "kind": kind, "sizes": SIZES, "batch": batch, "steps": STEPS });
            contenders.push((name, Box::new(move || ask(question.clone()))));
        }
        let times = rounds::run(ROUNDS, "ms", contenders)?;
        cases.insert(case(batch), times.report(&format!("a training step of {}", case(batch))));
    }
    let small = Network::dense(&[4, 2, 4]).build(&Device::flex()).map_err(text)?;
    let row: Tensor<2> = noise([1, 4]);
    let (mut added, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let here = milliseconds(CALLS, || small.predict(row.clone()).map(drop))? * 1e3;
        added.push(ask(json!({ "kind": "call", "steps": CALLS }))? - here);
        beside.push(ask(json!({ "kind": "beside", "steps": BESIDE }))?);
    }
    let import = ask(json!({ "kind": "import" }))?;
    let (added, beside) = (Spread::of(&added), Spread::of(&beside));
    println!("\na call from Python adds {}", added.with_unit(" us"));
    println!(
        "a step after work of PyTorch's threads takes {} times one alone",
        beside.with_unit("")
    );
    println!("the import takes {import:.1} ms beyond NumPy's");
    Ok(json!({
        "suite": "python",
        "threads": threads,
        "cases": cases,
        "call_us": added.json(),
        "beside_torch": beside.json(),
        "import_ms": import,
    }))
}

/// Returns the mean milliseconds of a repeated call.
fn milliseconds(
    times: usize,
    mut call: impl FnMut() -> zor::core::Result<()>,
) -> Result<f64, String> {
    let start = Instant::now();
    for _ in 0..times {
        call().map_err(text)?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3 / times as f64)
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
fn figures(raw: &Value, table: &mut Table) {
    for batch in BATCHES {
        for name in [FIRST, NETWORK] {
            let ratio = Spread::read(&raw["cases"][&case(batch)][name]["times_ours"]);
            table.add(
                &format!("step of {}: {name}", case(batch)),
                format!("at most {MAX_RATIO} times Rust"),
                ratio.with_unit(""),
                ratio.median <= MAX_RATIO,
            );
        }
        let ratio = Spread::read(&raw["cases"][&case(batch)][TORCH]["times_ours"]);
        table.add(
            &format!("step of {}: {TORCH}", case(batch)),
            "slower than Zor from Python".to_owned(),
            ratio.with_unit(" times Rust"),
            ratio.median > MAX_RATIO,
        );
    }
    let call = Spread::read(&raw["call_us"]);
    let beside = Spread::read(&raw["beside_torch"]);
    let import = raw["import_ms"].as_f64().unwrap_or(f64::NAN);
    for (name, limit, unit, found, measured) in [
        ("a call from Python adds", MAX_CALL, " us", call.median, call.with_unit(" us")),
        (
            "a step after work of PyTorch's threads, to one alone",
            MAX_BESIDE,
            "",
            beside.median,
            beside.with_unit(""),
        ),
        ("import beyond NumPy", MAX_IMPORT, " ms", import, format!("{import:.1} ms")),
    ] {
        table.add(name, format!("at most {limit}{unit}"), measured, found <= limit);
    }
}
