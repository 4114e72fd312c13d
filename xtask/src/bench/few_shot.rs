//! Ten images: the time in which a PyTorch perceptron reaches its best PSNR, relative to the time
//! in which Zor exceeds it.
//!
//! Data and initial weights are in memory before the timing starts, and evaluations on validation
//! images are not timed. Settings of the best perceptron are chosen on training images 10,000 to
//! 11,000; both are validated on 2,000 to 3,000.

use std::time::Instant;

use serde_json::{Value, json};
use zor::core::Network;
use zor::prelude::*;
use zor::task::{Data, Plan};
use zor::tasks::parts::data_sets::{DataSet, FashionMnistSet};
use zor::tasks::parts::images;
use zor::training::{Method, build_network};

use super::common::threads;
use super::peers::{Numbers, Peer};
use super::spread::Spread;
use super::suite::Suite;
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "few-shot",
    data: Some(&FashionMnistSet),
    peer: Some("torch"),
    run: |_, _| run(),
    figures,
};

/// Seeds, one per round after a warm-up round.
const SEEDS: u64 = 9;
/// Minimum time of the perceptron, relative to that of Zor.
const PROMISED: f64 = 30.0;
/// Decibels below its best PSNR at which burn's autodiff is compared.
const NEAR: f64 = 0.1;
const CHOSEN_ON: std::ops::Range<usize> = 10_000..11_000;

pub(crate) fn run() -> Result<Value, String> {
    let threads = threads();
    let few = Few::new()?;
    let mut peer = Peer::start("few_shot.py", &[threads.to_string(), few.numbers.path()])?;
    let mut ask = |kind: &str, seed: u64| {
        let answer = peer.ask(&json!({ "kind": kind, "seed": seed }).to_string())?;
        let number = |name: &str| answer[name].as_f64().unwrap_or(f64::NAN);
        Ok::<_, String>((number("psnr_db"), number("seconds"), answer["settings"].clone()))
    };
    println!("{:<44}{:>22}{:>24}{:>24}", "peer", "its best, dB", "its ms", "times ours");
    let mlp = few.compare("PyTorch, ReLU/sigmoid, Adam 1e-3", |seed| ask("mlp", seed))?;
    let best = few.compare("PyTorch, best of a sweep", |seed| ask("best", seed))?;
    let burn = few.compare("burn's autodiff, our optimizer, to 0.1 dB less", |seed| {
        // Both converge to the same limit: the time to come near it is compared.
        let near = few.best(seed)? - NEAR;
        Ok((near, few.seconds_to_pass(near, seed, Method::Autodiff)?.0, Value::Null))
    })?;
    let mut times = Vec::new();
    let mut reached = f64::NAN;
    for _ in 0..=SEEDS {
        let (psnr, seconds, _) = ask("projection", 0)?;
        times.push(seconds * 1e3);
        reached = psnr;
    }
    let closed = Spread::of(&times[1..]);
    println!(
        "closed-form projection on the span: {reached:.2} dB in {} (Zor's last step: {:.2} dB)",
        closed.with_unit(" ms"),
        few.last(0)?
    );
    let ratio = mlp["times_ours"]["median"].clone();
    let projection = json!({ "psnr_db": reached, "ms": closed.json() });
    Ok(json!({
        "suite": "few-shot", "threads": threads, "ratio_time_to_peer_best": ratio,
        "peers": { "mlp": mlp, "best": best, "burn": burn, "projection": projection },
    }))
}

/// Ten training images and the validation images, in memory.
struct Few {
    plan: Plan,
    images: Tensor<2>,
    validation: Tensor<2>,
    data: Data,
    /// All images, as a file for the peer.
    numbers: Numbers,
}

impl Few {
    fn new() -> Result<Self, String> {
        let settings = "task = 'fashion-reconstruction'\nrule = 'default'\naugment = false";
        let plan = Plan::parse(settings).map_err(text)?;
        let whole = FashionMnistSet.load(&Locations::from_environment(None)).map_err(text)?;
        let rest = whole.train.range(CHOSEN_ON).map_err(text)?;
        let data = Loader::default().load(&plan)?;
        let [train, evaluation] =
            [&data.train, &data.evaluation].map(|set| images::of(&**set).map_err(text));
        let sets = [train?, evaluation?, &rest].map(Images::pixels);
        let numbers = Numbers::write("few_shot.f32", &sets.each_ref().map(Vec::as_slice))?;
        let device = Device::flex();
        let images = matrix(&sets[0], data.train.len(), &device).map_err(text)?;
        let validation = matrix(&sets[1], data.evaluation.len(), &device).map_err(text)?;
        Ok(Self { plan, images, validation, data, numbers })
    }

    /// Runs a peer, which returns its PSNR, seconds and settings, and then Zor until it exceeds
    /// that PSNR, for each seed.
    fn compare(
        &self,
        name: &str,
        mut peer: impl FnMut(u64) -> Result<(f64, f64, Value), String>,
    ) -> Result<Value, String> {
        let mut settings = Value::Null;
        let (mut reached, mut theirs, mut ours, mut steps) = (vec![], vec![], vec![], vec![]);
        for round in 0..=SEEDS {
            let (psnr, seconds, with) = peer(round)?;
            let own = self.seconds_to_pass(psnr, round, Method::LocalRule)?;
            if round > 0 {
                reached.push(psnr);
                theirs.push(1e3 * seconds);
                ours.push(1e3 * own.0);
                steps.push(own.1 as f64);
            }
            settings = with;
        }
        let ratio = Spread::of_ratios(&theirs, &ours);
        let [reached, theirs, ours, steps] =
            [reached, theirs, ours, steps].map(|values| Spread::of(&values));
        println!(
            "{name:<44}{:>22}{:>24}{:>24}",
            reached.with_unit(""),
            theirs.with_unit(""),
            ratio.with_unit("")
        );
        println!("{:<44}{:>22}{:>24}", "  Zor, until it exceeds that", "", ours.with_unit(""));
        Ok(json!({
            "peer_best_psnr_db": reached.json(), "peer_ms": theirs.json(), "zor_ms": ours.json(),
            "zor_steps": steps.json(), "times_ours": ratio.json(), "settings": settings,
        }))
    }

    /// Trains until `after` returns false: it is called after each step with the step, the PSNR on
    /// validation images and the seconds of training.
    fn train(
        &self,
        seed: u64,
        method: Method,
        mut after: impl FnMut(u64, f64, f64) -> bool,
    ) -> Result<(), String> {
        let mut plan = self.plan.clone();
        plan.settings.seed = seed;
        let (shape, outputs) = (self.data.train.input_shape(), self.data.outputs);
        let mut network: Network =
            build_network(&plan, &shape, outputs, &Device::flex()).map_err(text)?;
        let optimizer = plan.settings.build_optimizer();
        let mut seconds = 0.0;
        for step in 1..=plan.settings.steps {
            let start = Instant::now();
            let (input, target) = (self.images.clone(), self.images.clone());
            method.train_batch(&mut network, optimizer.as_ref(), input, target).map_err(text)?;
            seconds += start.elapsed().as_secs_f64();
            let (input, target) = (self.validation.clone(), self.validation.clone());
            let reached = network.evaluate(input, target).map_err(text)?.psnr_db();
            if !after(step, reached, seconds) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the seconds and steps of training until the PSNR on validation images exceeds
    /// `psnr`.
    fn seconds_to_pass(&self, psnr: f64, seed: u64, method: Method) -> Result<(f64, u64), String> {
        let mut found = (f64::INFINITY, 0);
        self.train(seed, method, |step, reached, seconds| {
            if reached > psnr {
                found = (seconds, step);
            }
            reached <= psnr
        })?;
        Ok(found)
    }

    /// Returns the best PSNR of the same network under autodiff.
    fn best(&self, seed: u64) -> Result<f64, String> {
        let mut best = f64::NEG_INFINITY;
        self.train(seed, Method::Autodiff, |_, reached, _| {
            best = reached.max(best);
            true
        })?;
        Ok(best)
    }

    /// Returns the PSNR after the last step.
    fn last(&self, seed: u64) -> Result<f64, String> {
        let mut last = f64::NAN;
        self.train(seed, Method::LocalRule, |_, reached, _| {
            last = reached;
            true
        })?;
        Ok(last)
    }
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let names = [
        (
            "mlp",
            "ten images: time of a PyTorch perceptron to its best, relative to Zor",
            Some(PROMISED),
        ),
        ("best", "ten images: best perceptron of a sweep, relative to Zor", None),
        ("burn", "ten images: burn's autodiff, relative to Zor", None),
    ];
    for (key, name, least) in names {
        let ratio = Spread::read(&raw["peers"][key]["times_ours"]);
        let promised = least.map_or("-".to_owned(), |least| format!("at least {least:.0} times"));
        let kept = least.is_none_or(|least| ratio.median >= least);
        table.add(name, promised, ratio.with_unit(""), kept);
    }
}
