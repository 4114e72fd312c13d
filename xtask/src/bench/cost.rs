//! Time of a training step, predicted from its operations, its memory traffic and the limits of the
//! machine, and measured; see `docs/cost.md`.

use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::core::{Network, Rule};
use zor::prelude::*;

use super::common::{noise, threads};
use super::spread::Spread;
use super::suite::Suite;
use crate::clock::Machine;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "cost", data: None, peer: None, run: |_, _| run(), figures };

const ROUNDS: usize = 7;
/// Approximate seconds of a round.
const ROUND: f64 = 0.2;

/// Sizes of the layers, and batch sizes.
fn cases() -> Vec<(Vec<usize>, usize)> {
    let width = [64, 256, 1024].map(|hidden| (vec![784, hidden, 784], 128));
    let batch = [10, 48, 256, 1024].map(|batch| (vec![784, 256, 784], batch));
    let depth = [2, 8, 32].map(|depth| (vec![512; depth + 1], 256));
    width.into_iter().chain(batch).chain(depth).collect()
}

fn name(sizes: &[usize], batch: usize) -> String {
    let same = sizes.windows(2).all(|pair| pair[0] == pair[1]);
    let shape = if same {
        format!("{} layers of {}", sizes.len() - 1, sizes[0])
    } else {
        sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    };
    format!("{shape}, batch {batch}")
}

/// Returns the floating-point operations and bytes of a step, by the formulas of `docs/cost.md`.
fn count(sizes: &[usize], batch: usize) -> (f64, f64) {
    let weights: usize = sizes.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let lowest = sizes[0] * sizes[1];
    let units: usize = sizes.iter().sum();
    let flops = 2 * batch * (3 * weights - lowest);
    let bytes = 4 * (2 * weights - lowest + 6 * weights) + 4 * 12 * batch * units;
    (flops as f64, bytes as f64)
}

pub(crate) fn run() -> Result<Value, String> {
    let machine = Machine::measured();
    let (flops_rate, bytes_rate) = (1e9 * machine.gflops, 1e9 * machine.gb_per_s);
    println!("{machine}");
    println!(
        "{:<34}{:>12}{:>10}{:>14}{:>30}",
        "AdamW, default rule", "MFLOP", "MB", "predicted ms", "measured ms"
    );
    let mut rows = Map::new();
    for (sizes, batch) in cases() {
        let (flops, bytes) = count(&sizes, batch);
        let predicted = 1e3 * (flops / flops_rate + bytes / bytes_rate);
        let measured = measure(&sizes, batch)?;
        let name = name(&sizes, batch);
        println!(
            "{name:<34}{:>12.1}{:>10.1}{predicted:>14.3}{:>30}",
            flops * 1e-6,
            bytes * 1e-6,
            measured.with_unit("")
        );
        let row = json!({ "mflop": flops * 1e-6, "mb": bytes * 1e-6, "predicted_ms": predicted, "measured_ms": measured.json() });
        rows.insert(name, row);
    }
    Ok(json!({
        "suite": "cost", "threads": threads(), "product_gflops": machine.gflops,
        "memory_gb_per_s": machine.gb_per_s, "steps": rows,
    }))
}

fn measure(sizes: &[usize], batch: usize) -> Result<Spread, String> {
    let network = Network::dense(sizes).rule(Rule::default());
    let mut network = network.build(&Device::flex()).map_err(text)?;
    let (input, optimizer) = (noise([batch, sizes[0]]), AdamW::default());
    let target = noise([batch, sizes[sizes.len() - 1]]);
    let mut milliseconds = |steps: usize| {
        let start = Instant::now();
        for _ in 0..steps {
            network.train_batch(&optimizer, input.clone(), target.clone()).map_err(text)?;
        }
        Ok::<_, String>(1e3 * start.elapsed().as_secs_f64() / steps as f64)
    };
    milliseconds(3)?;
    let steps = (1e3 * ROUND / milliseconds(3)?).ceil() as usize;
    let times: Result<Vec<f64>, String> = (0..ROUNDS).map(|_| milliseconds(steps)).collect();
    Ok(Spread::of(&times?))
}

/// Adds the predicted and the measured times, without promises.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (sizes, batch) in cases() {
        let name = name(&sizes, batch);
        let row = &raw["steps"][&name];
        let predicted = row["predicted_ms"].as_f64().unwrap_or(f64::NAN);
        let measured = Spread::read(&row["measured_ms"]).with_unit(" ms");
        table.add(
            &format!("step of {name}"),
            format!("predicted {predicted:.2} ms"),
            measured,
            true,
        );
    }
}
