//! Peak memory of training compared with PyTorch, above that of the process after a first tiny
//! step. Each measurement runs in its own process.

use serde_json::{Map, Value, json};
use zor::core::{Network, Rule};
use zor::prelude::*;
use zor::training::Method;

use super::common::{noise, threads};
use super::peers;
use super::process_memory;
use super::spread::Spread;
use super::suite::Suite;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "memory",
    data: None,
    peer: Some("torch"),
    run: |filter, _| run(filter.peers),
    figures,
};

const ROUNDS: usize = 7;
/// Maximum memory, relative to that of PyTorch.
const PROMISED: f64 = 0.6;
const BATCH: usize = 512;

/// Zor with Muon, the optimizer of the presets and of the promise; Zor with AdamW, the optimizer of
/// the peer; and burn's autodiff with AdamW.
const OWN: [&str; 3] = ["muon", "adamw", "autodiff"];

/// Networks by name, and whether they have a promise.
fn cases() -> [(&'static str, Vec<usize>, bool); 4] {
    [
        ("3072-728-3072", vec![3072, 728, 3072], true),
        ("4 layers of 512", vec![512; 5], false),
        ("16 layers of 512", vec![512; 17], false),
        ("64 layers of 512", vec![512; 65], true),
    ]
}

pub(crate) fn run(peers: bool) -> Result<Value, String> {
    let threads = threads();
    let mut rows = Map::new();
    println!("{:<30}{:>20}{:>24}{:>24}", "batch 512", "MB", "PyTorch's, Adam", "ratio");
    for (name, sizes, _) in cases() {
        let mut ours = OWN.map(|_| Vec::new());
        let mut theirs = Vec::new();
        for _ in 0..ROUNDS {
            for (optimizer, ours) in OWN.into_iter().zip(&mut ours) {
                ours.push(process_memory::of_network(optimizer, &sizes)?);
            }
            if peers {
                let mut peer = peers::command("memory.py")?;
                let settings = [threads.to_string(), BATCH.to_string()];
                peer.args(settings).args(sizes.iter().map(usize::to_string));
                theirs.push(process_memory::megabytes(&mut peer)?);
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

/// Returns the peak memory in bytes of this process while a network of these sizes trains for three
/// steps.
pub(super) fn highest(kind: &str, sizes: &[usize]) -> Result<u64, String> {
    let (method, optimizer): (Method, Box<dyn Optimizer>) = match kind {
        "muon" => (Method::LocalRule, Box::new(Muon::new(0.02))),
        "adamw" => (Method::LocalRule, Box::new(AdamW::default())),
        _ => (Method::Autodiff, Box::new(AdamW::default())),
    };
    train(&[8, 8, 8], 2, method, optimizer.as_ref())?;
    process_memory::peak_of(|| train(sizes, BATCH, method, optimizer.as_ref()))
}

fn train(
    sizes: &[usize],
    batch: usize,
    method: Method,
    optimizer: &dyn Optimizer,
) -> Result<(), String> {
    let rule = if method == Method::LocalRule { Rule::default() } else { Rule::backprop() };
    let network = Network::dense(sizes).rule(rule);
    let mut network = network.build(&Device::flex()).map_err(text)?;
    let input = noise([batch, sizes[0]]);
    for _ in 0..3 {
        let (input, target) = (input.clone(), input.clone());
        method.train_batch(&mut network, optimizer, input, target).map_err(text)?;
    }
    Ok(())
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (network, _, is_promised) in cases() {
        for (index, own) in OWN.into_iter().enumerate() {
            let ratio = Spread::read(&raw["networks"][network][own]["ratio"]);
            let name = format!("training memory of {network}, {own}, relative to PyTorch");
            let most = (is_promised && index == 0).then_some(PROMISED);
            let promised = most.map_or("-".to_owned(), |most| format!("at most {most:.2}"));
            let kept = most.is_none_or(|most| ratio.median <= most);
            table.add(&name, promised, ratio.with_unit(""), kept);
        }
    }
}
