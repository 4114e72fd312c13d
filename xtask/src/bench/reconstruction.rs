//! CIFAR-10 autoencoder with a code of 728 values, compared with the same algorithm in PyTorch:
//! both train to the last step in turns.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks::parts::data_sets::Cifar10Set;
use zor::tasks::parts::images;
use zor::training::{Method, Training};

use super::common::threads;
use super::peers::{Numbers, Peer};
use super::spread::Spread;
use super::suite::Suite;
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "reconstruction",
    data: Some(&Cifar10Set),
    peer: Some("torch"),
    run: |filter, _| run(filter.peers),
    figures,
};

/// Number of turns of each.
const TURNS: u64 = 10;
/// Minimum PSNR in dB.
const REACHED: f64 = 32.4;
/// Maximum time, relative to that of PyTorch.
const PROMISED: f64 = 0.5;

pub(crate) fn run(peers: bool) -> Result<Value, String> {
    let plan = Plan::parse("task = 'cifar-reconstruction'").map_err(text)?;
    let data = Loader::default().load(&plan)?;
    let train = images::of(&*data.train).map_err(text)?;
    let evaluation = images::of(&*data.evaluation).map_err(text)?;
    let mut peer = peers.then(|| Program::start(&plan, train, evaluation)).transpose()?;
    let turn = plan.settings.steps / TURNS;
    let mut training = Training::start(&plan, &data, &Device::flex()).map_err(text)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    println!("{:>6}{:>14}{:>20}{:>10}", "steps", "Zor's s", "PyTorch's s", "ratio");
    while training.steps < plan.settings.steps {
        let before = training.train_seconds;
        let mut stop = |training: &mut Training| match training.steps.is_multiple_of(turn) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        training = training.run(&plan, &data, Method::LocalRule, &mut stop).map_err(text)?;
        ours.push(training.train_seconds - before);
        if let Some(peer) = &mut peer {
            theirs.push(peer.number("train", turn)?);
        }
        let last = |times: &[f64]| times.last().copied().unwrap_or(f64::NAN);
        let (own, other) = (last(&ours), last(&theirs));
        println!("{:>6}{own:>14.2}{other:>20.2}{:>10.2}", training.steps, own / other);
    }
    let psnr = training.evaluation().deviation.psnr_db();
    let their_psnr = peer.as_mut().map(|peer| peer.number("evaluate", 0)).transpose()?;
    let sum = |times: &[f64]| times.iter().sum::<f64>();
    let ratio = Spread::of_ratios(&ours, &theirs);
    println!(
        "Zor: {psnr:.2} dB in {:.0} s; PyTorch: {:.2} dB in {:.0} s; ratio by turn {}",
        sum(&ours),
        their_psnr.unwrap_or(f64::NAN),
        sum(&theirs),
        ratio.with_unit("")
    );
    Ok(json!({
        "suite": "reconstruction", "threads": threads(), "steps": plan.settings.steps, "seed": plan.settings.seed,
        "zor": { "psnr_db": psnr, "seconds": sum(&ours) },
        "torch": { "psnr_db": their_psnr, "seconds": sum(&theirs) },
        "ratio": ratio.json(),
    }))
}

/// The PyTorch program with its data.
struct Program {
    peer: Peer,
    _numbers: [Numbers; 2],
}

impl Program {
    fn start(plan: &Plan, train: &Images, evaluation: &Images) -> Result<Self, String> {
        let numbers = [
            Numbers::write("train.f32", &[&train.pixels()])?,
            Numbers::write("evaluation.f32", &[&evaluation.pixels()])?,
        ];
        let task = json!({
            "threads": threads(), "train": numbers[0].path(), "evaluation": numbers[1].path(),
            "values": train.shape().len(), "hidden": plan.settings.hidden, "batch": plan.settings.batch, "steps": plan.settings.steps,
            "learning_rate": plan.settings.learning_rate, "momentum": plan.settings.momentum,
            "threshold": plan.settings.rule_settings.threshold,
            "initial_scale": plan.settings.rule_settings.initial_scale,
        });
        Ok(Self { peer: Peer::start("reconstruction.py", &[task.to_string()])?, _numbers: numbers })
    }

    fn number(&mut self, kind: &str, steps: u64) -> Result<f64, String> {
        self.peer.number(&json!({ "kind": kind, "steps": steps }).to_string())
    }
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let number = |who: &str, what: &str| raw[who][what].as_f64().unwrap_or(f64::NAN);
    for (who, name) in
        [("zor", "CIFAR-10 autoencoder, Zor"), ("torch", "CIFAR-10 autoencoder, PyTorch")]
    {
        let psnr = number(who, "psnr_db");
        let kept = psnr >= REACHED || who == "torch";
        let promised =
            if who == "zor" { format!("at least {REACHED:.2} dB") } else { "-".to_owned() };
        table.add(name, promised, format!("{psnr:.2} dB"), kept);
    }
    let ratio = number("zor", "seconds") / number("torch", "seconds");
    let promised = format!("at most {PROMISED:.2}");
    table.add("its time, relative to PyTorch", promised, format!("{ratio:.2}"), ratio <= PROMISED);
}
