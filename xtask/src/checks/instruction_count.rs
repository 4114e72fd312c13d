//! Detects slower training steps by their number of instructions, which valgrind counts
//! reproducibly even on a noisy machine.
//!
//! Only the steps count, on one thread and with the vectors that valgrind supports (AVX2), so that
//! the numbers are equal on all x86 machines with the same compiler. Another compiler generates
//! other instructions: counts may rise by a fifth.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use zor::core::{Network, Rule, Workspace};
use zor::prelude::*;
use zor::tasks::parts::networks;

use crate::bench::noise;
use crate::paths::{root, text};

/// Maximum ratio of a count to the kept one.
const MAX_RATIO: f64 = 1.2;
const FILE: &str = "xtask/guard.json";
/// Computations whose instructions are counted.
const CASES: [&str; 5] = [
    "step of 784-64-784, batch 10, classic rule",
    "step of 784-64-784, batch 48, default rule",
    "step of 784-64-784, batch 10, Muon without momentum",
    "step of a small convolutional network, batch 4",
    "one sample through 784-64-784",
];

/// Compares the counts with the kept ones, or with `write` keeps them.
pub(crate) fn run(write: bool) -> Result<(), String> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed (apt-get install valgrind)");
        return Ok(());
    }
    let path = root().join(FILE);
    let kept: BTreeMap<String, u64> = match fs::read_to_string(&path) {
        Ok(kept) => serde_json::from_str(&kept).map_err(|e| format!("{FILE}: {e}"))?,
        Err(_) if write => BTreeMap::new(),
        Err(e) => return Err(format!("{FILE}: {e}")),
    };
    let (mut counts, mut risen) = (BTreeMap::new(), Vec::new());
    println!("{:<56}{:>16}{:>16}{:>8}", "instructions", "kept", "now", "ratio");
    for (index, name) in CASES.into_iter().enumerate() {
        let (few, many) = (instructions(index, 2)?, instructions(index, 6)?);
        let now = many.saturating_sub(few) / 4;
        let before = kept.get(name).copied().unwrap_or(0);
        let ratio = now as f64 / before as f64;
        println!("{name:<56}{before:>16}{now:>16}{ratio:>8.2}");
        if ratio > MAX_RATIO {
            risen.push(name);
        }
        counts.insert(name, now);
    }
    if write {
        let text = serde_json::to_string_pretty(&counts).map_err(text)?;
        return fs::write(&path, text + "\n").map_err(|e| format!("{FILE}: {e}"));
    }
    if risen.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions than in {FILE}: {}; make it faster, or run `cargo xtask guard --write` and give the reason in the commit",
        risen.join("; ")
    ))
}

/// Counts the instructions of a process that runs a case a number of times.
fn instructions(case: usize, times: usize) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(text)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["count-of", &case.to_string(), &times.to_string()])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected =
        report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("no instruction count in the output of valgrind:\n{report}"))
}

/// Body of the process whose instructions are counted.
pub(crate) fn repeat(case: &str, times: &str) -> Result<(), String> {
    let (case, times): (usize, usize) = (case.parse().map_err(text)?, times.parse().map_err(text)?);
    let device = Device::flex();
    let dense = |rule| Network::dense(&[784, 64, 784]).rule(rule).build(&device).map_err(text);
    let muon = Muon::new(0.5).with_momentum(0.0);
    let (rule, batch, optimizer): (Rule, usize, &dyn Optimizer) = match case {
        0 => (Rule::classic(), 10, &AdamW::default()),
        1 => (Rule::default(), 48, &AdamW::default()),
        2 => (Rule::default(), 10, &muon),
        3 => {
            let mut network =
                networks::small_conv(&[28, 28, 1], 10).build(&device).map_err(text)?;
            let input = noise([4, 784]);
            for _ in 0..times {
                let classes = vec![0, 1, 2, 3];
                network.train_batch(&AdamW::default(), input.clone(), classes).map_err(text)?;
            }
            return Ok(());
        }
        _ => {
            let (network, input) = (dense(Rule::default())?, noise([1, 784]));
            let mut workspace = Workspace::new(&device);
            for _ in 0..times {
                let output = network.predict_in(input.clone(), &mut workspace).map_err(text)?;
                workspace.give(output);
            }
            return Ok(());
        }
    };
    let (mut network, input) = (dense(rule)?, noise([batch, 784]));
    for _ in 0..times {
        network.train_batch(optimizer, input.clone(), input.clone()).map_err(text)?;
    }
    Ok(())
}
