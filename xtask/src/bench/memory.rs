//! Peak memory of training beside PyTorch's, above what each process has after a first tiny step. A process a measurement.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};
use zor::core::{Network, Rule};
use zor::prelude::*;
use zor::train::Teacher;

use super::{Spread, noise, threads};
use super::{edge, peers};
use crate::figures::Table;
use crate::text;

const ROUNDS: usize = 7;
/// Of PyTorch's, at most.
const PROMISED: f64 = 0.6;
const BATCH: usize = 512;
/// What is measured begins so where a network is held, and not trained.
const HELD: &str = "held-by-";

/// Zor with the optimizer of the presets, which the promise is about, and with the peer's; and burn's autodiff with that.
const OWN: [&str; 3] = ["muon", "adamw", "autodiff"];

/// Networks by name, and whether something is promised of them.
fn cases() -> [(&'static str, Vec<usize>, bool); 4] {
    [
        ("3072-728-3072", vec![3072, 728, 3072], true),
        ("4 layers of 512", vec![512; 5], false),
        ("16 layers of 512", vec![512; 17], false),
        ("64 layers of 512", vec![512; 65], true),
    ]
}

pub(crate) fn run(torch: bool) -> Result<Value, String> {
    let threads = threads();
    let own = std::env::current_exe().map_err(text)?;
    let mut rows = Map::new();
    println!("{:<30}{:>20}{:>24}{:>24}", "batch 512", "MB", "PyTorch's, Adam", "ratio");
    for (name, sizes, _) in cases() {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let mut ours = OWN.map(|_| Vec::new());
        let mut theirs = Vec::new();
        for _ in 0..ROUNDS {
            for (optimizer, ours) in OWN.into_iter().zip(&mut ours) {
                let mut own = Command::new(&own);
                ours.push(megabytes(own.args(["memory-of", optimizer]).args(&sizes))?);
            }
            if torch {
                let mut peer = peers::command("memory.py")?;
                let settings = [threads.to_string(), BATCH.to_string()];
                theirs.push(megabytes(peer.args(settings).args(&sizes))?);
            }
        }
        let mut row = json!({ "torch_mb": Spread::of(&theirs).json() });
        for (optimizer, ours) in OWN.into_iter().zip(&ours) {
            let (mb, ratio) = (Spread::of(ours), Spread::of_ratios(ours, &theirs));
            println!(
                "{:<30}{:>20}{:>24}{:>24}",
                format!("{name}, {optimizer}"),
                mb.with_unit(""),
                Spread::of(&theirs).with_unit(""),
                ratio.with_unit("")
            );
            row[optimizer] = json!({ "mb": mb.json(), "ratio": ratio.json() });
        }
        rows.insert(name.to_owned(), row);
    }
    Ok(json!({ "suite": "memory", "batch": BATCH, "networks": rows }))
}

/// Megabytes that a network of these sizes takes in a process of its own, held by a runtime: see [`edge::held`].
pub(super) fn held(runtime: &str, sizes: &[usize]) -> Result<f64, String> {
    let mut own = Command::new(std::env::current_exe().map_err(text)?);
    own.args(["memory-of", &format!("{HELD}{runtime}")]);
    megabytes(own.args(sizes.iter().map(usize::to_string)))
}

/// What a process says that it took.
fn megabytes(command: &mut Command) -> Result<f64, String> {
    let output = command.output().map_err(text)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(text)?;
    let bytes = answer["bytes"].as_f64();
    Ok(1e-6 * bytes.ok_or_else(|| format!("the process answered {answer}"))?)
}

/// The process of one measurement: trains a network of these sizes for three steps, or holds it for a runtime, and prints what that took.
pub(crate) fn measure(kind: &str, sizes: &[&str]) -> Result<(), String> {
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().map_err(text)).collect::<Result<_, String>>()?;
    if let Some(runtime) = kind.strip_prefix(HELD) {
        println!("{}", json!({ "bytes": edge::held(runtime, &sizes)? }));
        return Ok(());
    }
    let (teacher, optimizer): (Teacher, Box<dyn Optimizer>) = match kind {
        "muon" => (Teacher::Rule, Box::new(Muon::new(0.02))),
        "adamw" => (Teacher::Rule, Box::new(AdamW::default())),
        _ => (Teacher::Autodiff, Box::new(AdamW::default())),
    };
    train(&[8, 8, 8], 2, teacher, optimizer.as_ref())?;
    let before = status("VmRSS")?;
    // From here on the highest is counted anew.
    fs::write("/proc/self/clear_refs", "5").map_err(|e| format!("/proc/self/clear_refs: {e}"))?;
    train(&sizes, BATCH, teacher, optimizer.as_ref())?;
    println!("{}", json!({ "bytes": status("VmHWM")?.saturating_sub(before) }));
    Ok(())
}

fn train(
    sizes: &[usize],
    batch: usize,
    teacher: Teacher,
    optimizer: &dyn Optimizer,
) -> Result<(), String> {
    let rule = if teacher == Teacher::Rule { Rule::default() } else { Rule::backprop() };
    let network = Network::dense(sizes).rule(rule);
    let mut network = network.build(&Device::flex()).map_err(text)?;
    let input = noise([batch, sizes[0]]);
    for _ in 0..3 {
        let (input, target) = (input.clone(), input.clone());
        teacher.train_batch(&mut network, optimizer, input, target).map_err(text)?;
    }
    Ok(())
}

/// Bytes that Linux counts for this process under a key.
pub(super) fn status(key: &str) -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/status")
        .map_err(|e| format!("/proc/self/status: {e}; memory is measured on Linux"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|n| n * 1024).ok_or_else(|| format!("/proc/self/status has no {key}"))
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (network, _, is_promised) in cases() {
        for (index, own) in OWN.into_iter().enumerate() {
            let ratio = Spread::read(&raw["networks"][network][own]["ratio"]);
            let name = format!("training memory of {network}, {own}, of PyTorch's");
            let most = (is_promised && index == 0).then_some(PROMISED);
            let promised = most.map_or("-".to_owned(), |most| format!("at most {most:.2}"));
            let kept = most.is_none_or(|most| ratio.median <= most);
            table.add(&name, promised, ratio.with_unit(""), kept);
        }
    }
}
