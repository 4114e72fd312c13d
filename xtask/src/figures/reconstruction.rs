//! Reconstruction: PSNR of held-out Fashion-MNIST images, compared with references, MLPs and the
//! limits of linear codes.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use zor::backprop::alignment;
use zor::backprop::baseline::{self, Output};
use zor::core::{Activation, Network, Optimizer, Rule};
use zor::data::{Batch, Batches, Order};
use zor::optim::{AdamW, Muon, Schedule};
use zor::prelude::{Device, ErrorMetrics, matrix};
use zor::task::{Data, Plan};
use zor::tasks::parts::loaded_set::LoadedSet;
use zor::training::Method;
use zor::training::evaluate::evaluate;

use crate::bench::{Spread, train_to_end};
use crate::clock::{Machine, TIMES_PRODUCTS, add_training_time};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

const SEEDS: std::ops::Range<u64> = 0..5;
const DRAWS: std::ops::Range<u64> = 0..20;
/// PSNR in dB on the test set of PCA with 64 components, fitted to all 60,000 training images.
const PCA_64_DB: f64 = 19.84;
/// Maximum training time of all 60,000 images, as a multiple of the time of its matrix products.
const MAX_TIME_OF_ALL: f64 = 8.35;

struct Bench<'a> {
    data: &'a LoadedSet,
    loader: Loader,
    device: Device,
    table: &'a mut Table,
    raw: serde_json::Map<String, Value>,
}

/// Adds the figures to the table. `long` and `write` add twenty random draws with their baselines;
/// `write` writes the results file.
pub(crate) fn measure(
    data: &LoadedSet,
    table: &mut Table,
    long: bool,
    write: bool,
) -> Result<(), String> {
    let (loader, device, raw) = (Loader::default(), Device::flex(), serde_json::Map::new());
    let mut bench = Bench { data, loader, device, table, raw };
    bench.ten_images()?;
    if bench.data.test.is_some() {
        bench.quick_start()?;
        bench.all_images()?;
        bench.distance_from_backpropagation()?;
    }
    if long || write {
        bench.draws()?;
    }
    if write {
        let kind = if data.test.is_some() { "full" } else { "sample" };
        let object = json!({ "data": kind, "runs": bench.raw });
        results::write("fashion-reconstruction", &object)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn ten_images(&mut self) -> Result<(), String> {
        for (augment, least, name) in
            [(false, 13.4, "ten images, no augmentation"), (true, 17.3, "ten images, augmented")]
        {
            let mut runs = Vec::new();
            for seed in SEEDS {
                runs.push(self.train(&format!("augment = {augment}\nseed = {seed}"))?);
            }
            self.add_at_least(name, least, &runs);
            if augment {
                // Handing work to threads takes most of so short a training, not its products. Its
                // time is promised relative to PyTorch's, in suite few-shot.
                let seconds = Spread::of(&runs.iter().map(|run| run.seconds).collect::<Vec<_>>());
                let name = format!("{name}: training time");
                self.table.add(&name, "-".to_owned(), seconds.with_unit(" s"), true);
            }
        }
        Ok(())
    }

    fn quick_start(&mut self) -> Result<(), String> {
        let relu = [Activation::None, Activation::None, Activation::Relu];
        let none = [Activation::None, Activation::None, Activation::None];
        let classic = AdamW::default();
        let muon = Muon::new(Schedule::linear(0.02, 500));
        let backprop = Rule { initial_scale: 0.5, ..Rule::backprop() };
        let rows: [(_, Rule, _, &dyn Optimizer, Option<f64>); 5] = [
            ("quick start, classic rule", Rule::classic(), &none, &classic, Some(18.45)),
            ("quick start, default rule", Rule::default(), &relu, &muon, Some(19.4)),
            ("quick start, default rule, linear output", Rule::default(), &none, &muon, Some(19.4)),
            ("quick start, backprop rule", backprop.clone(), &relu, &muon, None),
            ("quick start, backprop rule, linear output", backprop, &none, &muon, None),
        ];
        for (name, rule, activations, optimizer, least) in rows {
            let mut runs = Vec::new();
            for seed in SEEDS {
                runs.push(self.quick_run(&rule, activations, optimizer, seed)?);
            }
            match least {
                Some(least) => self.add_at_least(name, least, &runs),
                None => self.add_runs(name, "-".to_owned(), &runs, true),
            }
            if name.contains("classic") {
                let all: Vec<f64> = runs.iter().map(|run| 1.0 - run.deviation.mae()).collect();
                let accuracy = Spread::of(&all).median;
                let measured = format!("{:.2} %", 100.0 * accuracy);
                let name = "quick start, classic rule: 1 - MAE";
                self.table.add(
                    name,
                    "92.4 % ± 0.2".to_owned(),
                    measured,
                    (accuracy - 0.924).abs() < 0.002,
                );
            }
        }
        Ok(())
    }

    fn quick_run(
        &self,
        rule: &Rule,
        activations: &[Activation],
        optimizer: &dyn Optimizer,
        seed: u64,
    ) -> Result<Run, String> {
        let images = self.data.train.clone();
        let batches = Batches::new(images, 48, Order::Random, seed).map_err(text)?;
        let mut network = Network::dense_with(&[784, 64, 784], activations)
            .rule(rule.clone())
            .seed(seed)
            .build(&self.device)
            .map_err(text)?;
        let mut batch = Batch::default();
        let start = Instant::now();
        for step in 0..500 {
            batches.fill(step, &mut batch);
            let input = matrix(batch.inputs.numbers(), batch.rows, &self.device).map_err(text)?;
            network.train_batch(optimizer, input.clone(), input).map_err(text)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let test = self.data.test.as_ref().ok_or("no test images")?;
        let score = evaluate(&network, &plan("")?, test, &self.device).map_err(text)?;
        let deviation = score.deviation;
        Ok(Run { seed, deviation, seconds, times_products: None })
    }

    fn all_images(&mut self) -> Result<(), String> {
        let mut runs = Vec::new();
        for seed in SEEDS.take(3) {
            runs.push(self.train(&format!("train_samples = 'all'\nseed = {seed}"))?);
        }
        self.add_at_least("all 60,000 images, test set", PCA_64_DB - 0.15, &runs);
        add_training_time(self.table, "all 60,000 images", &times(&runs), MAX_TIME_OF_ALL);
        Ok(())
    }

    /// Adds the cosine between the update of each layer under the default rule and the gradient of
    /// backpropagation, for the same weights and batch.
    fn distance_from_backpropagation(&mut self) -> Result<(), String> {
        for (name, steps) in [("at first", 0), ("after 500 steps", 500)] {
            let images = self.data.train.clone();
            let batches = Batches::new(images, 256, Order::Random, 1).map_err(text)?;
            let mut batch = Batch::default();
            let sizes = [784, 128, 64, 784];
            let mut network = Network::dense(&sizes).build(&self.device).map_err(text)?;
            let optimizer = Muon::new(Schedule::linear(0.02, 500));
            for step in 0..=steps {
                batches.fill(step, &mut batch);
                let input =
                    matrix(batch.inputs.numbers(), batch.rows, &self.device).map_err(text)?;
                if step < steps {
                    network.train_batch(&optimizer, input.clone(), input).map_err(text)?;
                    continue;
                }
                let found = alignment::cosines(&network, input.clone(), input).map_err(text)?;
                let cosines: Vec<String> = found.iter().map(|x| format!("{x:.2}")).collect();
                let name = format!("cosine with backprop, default rule, {name}");
                self.table.add(&name, "-".to_owned(), cosines.join(" "), true);
            }
        }
        Ok(())
    }

    /// Adds twenty random draws of ten images, and two MLPs trained by backpropagation on the same
    /// batches.
    fn draws(&mut self) -> Result<(), String> {
        for augment in [false, true] {
            let (mut ours, mut sigmoid, mut linear) = (Vec::new(), Vec::new(), Vec::new());
            for seed in DRAWS {
                let drawn = format!("samples = 'random'\naugment = {augment}\nseed = {seed}");
                let plan = plan(&drawn)?;
                let data = self.loader.load(&plan)?;
                ours.push(self.run(&plan, &data)?);
                for (output, runs) in
                    [(Output::Sigmoid, &mut sigmoid), (Output::Linear, &mut linear)]
                {
                    let trained = baseline::train(&plan, &data, output, &self.device, &mut |_| {
                        ControlFlow::Continue(())
                    })
                    .map_err(text)?;
                    let (deviation, seconds) = (trained.best, trained.train_seconds);
                    runs.push(Run { seed, deviation, seconds, times_products: None });
                }
            }
            let kind = if augment { "augmented" } else { "no augmentation" };
            let ahead = ours
                .iter()
                .zip(sigmoid.iter().zip(&linear))
                .filter(|(own, (a, b))| own.psnr() > a.psnr() && own.psnr() > b.psnr())
                .count();
            for (name, runs) in [("Zor", &ours), ("MLP sigmoid", &sigmoid), ("MLP linear", &linear)]
            {
                self.add_runs(&format!("20 draws, {kind}: {name}"), "-".to_owned(), runs, true);
            }
            let name = format!("20 draws, {kind}: ahead of both MLPs");
            self.table.add(&name, "20".to_owned(), ahead.to_string(), ahead == DRAWS.count());
        }
        Ok(())
    }

    /// Trains with the given settings in TOML.
    fn train(&mut self, given: &str) -> Result<Run, String> {
        let plan = plan(given)?;
        let data = self.loader.load(&plan)?;
        self.run(&plan, &data)
    }

    fn run(&self, plan: &Plan, data: &Data) -> Result<Run, String> {
        let trained = train_to_end(plan, data, Method::LocalRule)?;
        let (deviation, seconds) = (trained.evaluation().deviation, trained.train_seconds);
        let times_products = Some(Machine::measured().times_products(&trained));
        Ok(Run { seed: plan.settings.seed, deviation, seconds, times_products })
    }

    fn add_at_least(&mut self, name: &str, least: f64, runs: &[Run]) {
        let median = Spread::of(&runs.iter().map(Run::psnr).collect::<Vec<_>>()).median;
        self.add_runs(name, format!("at least {least:.2} dB"), runs, median >= least);
    }

    fn add_runs(&mut self, name: &str, promised: String, runs: &[Run], kept: bool) {
        let all: Vec<f64> = runs.iter().map(Run::psnr).collect();
        let measured = Spread::of(&all).with_unit(" dB");
        let raw: Vec<Value> = runs
            .iter()
            .map(|run| {
                json!({
                    "seed": run.seed, "psnr_db": run.psnr(), "mae": run.deviation.mae(),
                    "train_seconds": run.seconds, TIMES_PRODUCTS: run.times_products,
                })
            })
            .collect();
        self.raw.insert(name.to_owned(), raw.into());
        self.table.add(name, promised, measured, kept);
    }
}

/// A training and its evaluation.
struct Run {
    seed: u64,
    deviation: ErrorMetrics,
    seconds: f64,
    /// Time as a multiple of that of the matrix products, where it was counted.
    times_products: Option<f64>,
}

impl Run {
    fn psnr(&self) -> f64 {
        self.deviation.psnr_db()
    }
}

/// Times of runs, for [`add_training_time`].
fn times(runs: &[Run]) -> Vec<(f64, Option<f64>)> {
    runs.iter().map(|run| (run.seconds, run.times_products)).collect()
}

/// Settings of the task, with some given in TOML.
fn plan(given: &str) -> Result<Plan, String> {
    let task = "task = 'fashion-reconstruction'\nrule = 'default'\nbaseline = false";
    Plan::parse(&format!("{task}\n{given}")).map_err(text)
}
