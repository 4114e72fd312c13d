//! Peak memory of training beside PyTorch's, above what each process has after a first tiny step. A process a measurement.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};
use zor::core::{Network, Rule};
use zor::prelude::*;

use super::peers;
use super::{Spread, noise, threads};
use crate::figures::Table;
use crate::text;

const ROUNDS: usize = 7;
/// Of PyTorch's, at most.
const PROMISED: f64 = 0.6;
const BATCH: usize = 512;

/// Sizes of the networks by name.
fn cases() -> [(&'static str, Vec<usize>); 2] {
    [("3072-728-3072", vec![3072, 728, 3072]), ("64 layers of 512", vec![512; 65])]
}

pub(crate) fn run(torch: bool) -> Result<Value, String> {
    let threads = threads().to_string();
    let own = std::env::current_exe().map_err(text)?;
    let mut rows = Map::new();
    println!("{:<24}{:>14}{:>16}{:>24}", "batch 512", "Zor, MB", "PyTorch, MB", "ratio");
    for (name, sizes) in cases() {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(bytes(Command::new(&own).arg("memory-of").args(&sizes))?);
            if torch {
                let mut peer = peers::command("memory.py")?;
                theirs.push(bytes(peer.arg(&threads).arg(BATCH.to_string()).args(&sizes))?);
            }
        }
        let ratio = Spread::of_ratios(&ours, &theirs);
        let (own, other) = (Spread::of(&ours).times(1e-6), Spread::of(&theirs).times(1e-6));
        println!("{name:<24}{:>14.1}{:>16.1}{:>24}", own.median, other.median, ratio.with_unit(""));
        let found = json!({
            "zor_mb": own.json(), "torch_mb": other.json(), "ratio": ratio.json(),
        });
        rows.insert(name.to_owned(), found);
    }
    Ok(json!({ "suite": "memory", "batch": BATCH, "networks": rows }))
}

/// What a process says that it took.
fn bytes(command: &mut Command) -> Result<f64, String> {
    let output = command.output().map_err(text)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(text)?;
    answer["bytes"].as_f64().ok_or_else(|| format!("the process answered {answer}"))
}

/// The process of one measurement: trains a network of these sizes for three steps and prints what that took.
pub(crate) fn measure(sizes: &[&str]) -> Result<(), String> {
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().map_err(text)).collect::<Result<_, String>>()?;
    train(&[8, 8, 8], 2)?;
    let before = status("VmRSS")?;
    // From here on the highest is counted anew.
    fs::write("/proc/self/clear_refs", "5").map_err(|e| format!("/proc/self/clear_refs: {e}"))?;
    train(&sizes, BATCH)?;
    println!("{}", json!({ "bytes": status("VmHWM")?.saturating_sub(before) }));
    Ok(())
}

fn train(sizes: &[usize], batch: usize) -> Result<(), String> {
    let device = Device::flex();
    let mut network = Network::dense(sizes).rule(Rule::default()).build(&device).map_err(text)?;
    let input = noise([batch, sizes[0]]);
    for _ in 0..3 {
        network.train_batch(&AdamW::default(), input.clone(), input.clone()).map_err(text)?;
    }
    Ok(())
}

/// Bytes that Linux counts for this process under a key.
fn status(key: &str) -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/status")
        .map_err(|e| format!("/proc/self/status: {e}; memory is measured on Linux"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|n| n * 1024).ok_or_else(|| format!("/proc/self/status has no {key}"))
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (name, _) in cases() {
        let ratio = Spread::read(&raw["networks"][name]["ratio"]);
        let name = format!("training memory of {name}, of PyTorch's");
        let promised = format!("at most {PROMISED:.2}");
        table.add(&name, promised, ratio.with_unit(""), ratio.median <= PROMISED);
    }
}
