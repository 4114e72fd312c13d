//! Ten images: how long a perceptron in PyTorch takes to its best, by how long Zor takes to pass that.
//!
//! Data and initial weights are in memory when the clocks start, and the clocks stand while validation images are looked at. Settings of
//! the strongest perceptron are chosen on training images 10,000 to 11,000; both are validated on 2,000 to 3,000.

use std::fs;
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::autodiff;
use zor::core::{Network, Workspace};
use zor::images::{self, Images};
use zor::options::{DataSetName, Options, RuleName, Settings, TaskName};
use zor::prelude::*;
use zor::train;

use super::peers::Peer;
use super::{ranged, spread};
use crate::figures::Table;
use crate::{root, text};

/// Seeds, one a round; a round more warms up.
const SEEDS: u64 = 9;
/// Times that a perceptron's time has to be of ours.
const PROMISED: f64 = 30.0;
/// dB below its best at which burn's autodiff is compared.
const NEAR: f64 = 0.1;
const CHOSEN_ON: std::ops::Range<usize> = 10_000..11_000;

pub(crate) fn run() -> Result<Value, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let data = Images::load(DataSetName::FashionMnist, &Locations::from_environment(None));
    let few = Few::new(&data.map_err(text)?)?;
    let mut peer = Peer::start("few_shot.py", &[threads.to_string(), few.file.clone()])?;
    let mut ask = |kind: &str, seed: u64| {
        let answer = peer.ask(&json!({ "kind": kind, "seed": seed }).to_string())?;
        let number = |name: &str| answer[name].as_f64().unwrap_or(f64::NAN);
        Ok::<_, String>((number("psnr_db"), number("seconds"), answer))
    };
    let mut rows: Map<String, Value> = Map::new();
    println!("{:<44}{:>22}{:>24}{:>24}", "peer", "its best, dB", "its ms", "times ours");
    for kind in ["mlp", "best"] {
        let mut pairs = Pairs::default();
        let mut settings = Value::Null;
        for round in 0..=SEEDS {
            let (psnr, seconds, answer) = ask(kind, round)?;
            let own = few.seconds_to_pass(psnr, round, Teacher::Rule)?;
            settings = answer["settings"].clone();
            if round > 0 {
                pairs.add(psnr, seconds, own.0, own.1);
            }
        }
        let name = if kind == "mlp" {
            "PyTorch, ReLU/sigmoid, Adam 1e-3".to_owned()
        } else {
            "PyTorch, best of a sweep".to_owned()
        };
        rows.insert(kind.to_owned(), pairs.report(&name, settings));
    }
    let mut pairs = Pairs::default();
    for round in 0..=SEEDS {
        // Both end at the same limit: what counts is when they are near it.
        let near = few.best(round)? - NEAR;
        let theirs = few.seconds_to_pass(near, round, Teacher::Autodiff)?;
        let own = few.seconds_to_pass(near, round, Teacher::Rule)?;
        if round > 0 {
            pairs.add(near, theirs.0, own.0, own.1);
        }
    }
    let name = "burn's autodiff, our optimizer, to 0.1 dB less";
    rows.insert("burn".to_owned(), pairs.report(name, Value::Null));
    let mut times = Vec::new();
    let mut reached = f64::NAN;
    for _ in 0..=SEEDS {
        let (psnr, seconds, _) = ask("projection", 0)?;
        times.push(seconds * 1e3);
        reached = psnr;
    }
    let closed = spread(&times[1..]);
    println!(
        "closed-form projection on the span: {reached:.2} dB in {} (Zor's last step: {:.2} dB)",
        ranged(closed, " ms"),
        few.last(0)?
    );
    rows.insert(
        "projection".to_owned(),
        json!({ "psnr_db": reached, "median_ms": closed.0, "fastest_ms": closed.1, "slowest_ms": closed.2 }),
    );
    fs::remove_file(&few.file).map_err(|e| format!("{}: {e}", few.file))?;
    let ratio = rows["mlp"]["times_ours"]["median"].clone();
    Ok(
        json!({ "suite": "few-shot", "threads": threads, "ratio_time_to_peer_best": ratio, "peers": rows }),
    )
}

/// Whose steps are timed.
#[derive(Clone, Copy, PartialEq)]
enum Teacher {
    Rule,
    Autodiff,
}

/// Ten images, and what is validated on, in memory.
struct Few {
    settings: Settings,
    images: Tensor<2>,
    validation: Tensor<2>,
    data: images::RunData,
    /// Where a peer reads the same numbers.
    file: String,
}

impl Few {
    fn new(data: &Images) -> Result<Self, String> {
        let options = Options {
            task: Some(TaskName::FashionReconstruction),
            rule: Some(RuleName::Default),
            augment: Some(false),
            ..Options::default()
        };
        let settings = Settings::resolve(&options).map_err(text)?;
        let rest = data.train.range(CHOSEN_ON).map_err(text)?;
        let data = images::choose(data, &settings).map_err(text)?;
        let sets = [&*data.train, &data.evaluation, &rest].map(|set| set.pixels());
        let path = root().join("target/peers/few_shot.f32");
        let bytes: Vec<u8> = sets.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        let device = Device::flex();
        Ok(Self {
            settings,
            images: matrix(&sets[0], data.train.len(), &device),
            validation: matrix(&sets[1], data.evaluation.len(), &device),
            data,
            file: path.to_string_lossy().into_owned(),
        })
    }

    /// Trains until told to stop; `after` hears PSNR on validation images and seconds of training after each step.
    fn train(
        &self,
        seed: u64,
        teacher: Teacher,
        mut after: impl FnMut(u64, f64, f64) -> bool,
    ) -> Result<(), String> {
        let settings = Settings { seed, ..self.settings.clone() };
        let mut network: Network =
            train::build_network(&settings, &self.data.train, &Device::flex()).map_err(text)?;
        let optimizer = settings.build_optimizer();
        let mut workspace = Workspace::new(&Device::flex());
        let mut seconds = 0.0;
        for step in 1..=settings.steps {
            let start = Instant::now();
            let (input, target) = (self.images.clone(), self.images.clone());
            match teacher {
                Teacher::Rule => network.train_batch(optimizer.as_ref(), input, target),
                Teacher::Autodiff => {
                    autodiff::train_batch(&mut network, optimizer.as_ref(), input, target)
                        .map_err(text)?;
                    Ok(Deviation::default())
                }
            }
            .map_err(text)?;
            seconds += start.elapsed().as_secs_f64();
            let output = network
                .predict_with(self.validation.clone(), &mut workspace)
                .map_err(text)?
                .into_data();
            let target = self.validation.clone().into_data();
            let slices = (target.as_slice::<f32>(), output.as_slice::<f32>());
            let (Ok(target), Ok(output)) = slices else { return Err("no f32".to_owned()) };
            if !after(step, Deviation::between(target, output).psnr_db(), seconds) {
                break;
            }
        }
        Ok(())
    }

    /// Seconds and steps of training until validation images are reconstructed better than this.
    fn seconds_to_pass(
        &self,
        psnr: f64,
        seed: u64,
        teacher: Teacher,
    ) -> Result<(f64, u64), String> {
        let mut found = (f64::INFINITY, 0);
        self.train(seed, teacher, |step, reached, seconds| {
            if reached > psnr {
                found = (seconds, step);
            }
            reached <= psnr
        })?;
        Ok(found)
    }

    /// The best that the same network reaches under autodiff.
    fn best(&self, seed: u64) -> Result<f64, String> {
        let mut best = f64::NEG_INFINITY;
        self.train(seed, Teacher::Autodiff, |_, reached, _| {
            best = reached.max(best);
            true
        })?;
        Ok(best)
    }

    /// PSNR after the last step.
    fn last(&self, seed: u64) -> Result<f64, String> {
        let mut last = f64::NAN;
        self.train(seed, Teacher::Rule, |_, reached, _| {
            last = reached;
            true
        })?;
        Ok(last)
    }
}

/// A peer's runs beside ours.
#[derive(Default)]
struct Pairs {
    reached: Vec<f64>,
    theirs: Vec<f64>,
    ours: Vec<f64>,
    steps: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, psnr: f64, theirs: f64, ours: f64, steps: u64) {
        self.reached.push(psnr);
        self.theirs.push(theirs * 1e3);
        self.ours.push(ours * 1e3);
        self.steps.push(steps as f64);
    }

    fn report(&self, name: &str, settings: Value) -> Value {
        let ratios: Vec<f64> = self.theirs.iter().zip(&self.ours).map(|(a, b)| a / b).collect();
        let ratio = spread(&ratios);
        let (reached, theirs, ours) =
            (spread(&self.reached), spread(&self.theirs), spread(&self.ours));
        println!(
            "{name:<44}{:>22}{:>24}{:>24}",
            ranged(reached, ""),
            ranged(theirs, ""),
            ranged(ratio, "")
        );
        println!("{:<44}{:>22}{:>24}", "  Zor, until past it", "", ranged(ours, ""));
        let object =
            |(median, low, high)| json!({ "median": median, "lowest": low, "highest": high });
        json!({
            "peer_best_psnr_db": object(reached), "peer_ms": object(theirs), "zor_ms": object(ours),
            "zor_steps": object(spread(&self.steps)), "times_ours": object(ratio), "settings": settings,
        })
    }
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let names = [
        ("mlp", "ten images: time to a PyTorch perceptron's best, by ours", Some(PROMISED)),
        ("best", "ten images: the same of the best of a sweep", None),
        ("burn", "ten images: the same of burn's autodiff", None),
    ];
    for (key, name, least) in names {
        let ratio = &raw["peers"][key]["times_ours"];
        let at = |name: &str| ratio[name].as_f64().unwrap_or(f64::NAN);
        let promised = least.map_or("-".to_owned(), |least| format!("at least {least:.0} times"));
        let kept = least.is_none_or(|least| at("median") >= least);
        table.add(name, promised, ranged((at("median"), at("lowest"), at("highest")), ""), kept);
    }
}
