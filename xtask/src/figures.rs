//! Every promised figure beside what is measured now.
//!
//! The short ones take about a minute; `--long` adds twenty random draws with their baselines. `--write` keeps the raw numbers under
//! `docs/results/`. Figures that need the full data set are skipped, and said to be, where only the sample is there.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use zor::baseline::{self, Output};
use zor::core::{Activation, Network, Optimizer, Rule};
use zor::data::{Batch, Batches, FashionMnist, Locations, Order};
use zor::fashion::{self, RunData};
use zor::optim::{AdamW, Muon, Schedule};
use zor::options::{Choice, Count, Options, RuleName, Settings, TaskName};
use zor::prelude::{Deviation, Device, matrix};
use zor::train::{self, Next, Teacher};

use crate::recorder::{cosine, updates};
use crate::{parity, results, root};

const SEEDS: std::ops::Range<u64> = 0..5;
const DRAWS: std::ops::Range<u64> = 0..20;
/// PCA with 64 components, fitted on all 60,000 training images, on the test set.
const PCA_64_DB: f64 = 19.84;

/// One row of the table.
struct Figure {
    name: String,
    promised: String,
    measured: String,
    kept: bool,
}

struct Bench {
    data: FashionMnist,
    device: Device,
    figures: Vec<Figure>,
    raw: serde_json::Map<String, Value>,
}

/// Measures, prints the table, and fails if a figure falls short.
pub(crate) fn run(long: bool, write: bool) -> Result<(), String> {
    let data = FashionMnist::load(&Locations::from_environment(None)).map_err(text)?;
    println!("data: {}", data.source);
    let mut bench =
        Bench { data, device: Device::flex(), figures: Vec::new(), raw: serde_json::Map::new() };
    bench.parity()?;
    bench.ten_images()?;
    if bench.data.test.is_some() {
        bench.quick_start()?;
        bench.all_images()?;
        bench.distance_from_backpropagation()?;
    } else {
        println!("skipped: the quick start and all images need the full data set (ZOR_DATA_DIR)");
    }
    if long {
        bench.draws()?;
    }
    bench.print();
    if write {
        bench.write()?;
    }
    let short: Vec<_> = bench.figures.iter().filter(|f| !f.kept).map(|f| f.name.as_str()).collect();
    if short.is_empty() {
        Ok(())
    } else {
        Err(format!("short of what is promised: {}", short.join("; ")))
    }
}

impl Bench {
    fn parity(&mut self) -> Result<(), String> {
        let folder = root().join("xtask/golden");
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let (mut followed, mut all) = (0, 0);
        for entry in entries.flatten() {
            all += 1;
            followed += usize::from(parity::replay(&entry.path())?.failure().is_none());
        }
        self.add(
            "reference traces followed",
            format!("{all}"),
            followed.to_string(),
            followed == all,
        );
        Ok(())
    }

    fn ten_images(&mut self) -> Result<(), String> {
        for (augment, least, name) in
            [(false, 13.4, "ten images, no augmentation"), (true, 17.3, "ten images, augmented")]
        {
            let mut runs = Vec::new();
            for seed in SEEDS {
                runs.push(self.train(Options {
                    augment: Some(augment),
                    seed: Some(seed),
                    ..task()
                })?);
            }
            self.add_at_least(name, least, &runs);
            if augment {
                let slowest = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
                let name = "ten images, augmented: training time";
                self.add(name, "at most 3 s".to_owned(), format!("{slowest:.2} s"), slowest <= 3.0);
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
                let accuracy = median(runs.iter().map(|run| run.deviation.accuracy()));
                let measured = format!("{:.2} %", 100.0 * accuracy);
                let name = "quick start, classic rule: 1 - MAE";
                self.add(
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
        let batches = Batches::new(images.into(), 48, Order::Random, None, seed).map_err(text)?;
        let mut network = Network::dense_with(&[784, 64, 784], activations)
            .rule(rule.clone())
            .seed(seed)
            .build(&self.device)
            .map_err(text)?;
        let mut batch = Batch::default();
        let start = Instant::now();
        for step in 0..500 {
            batches.fill(step, &mut batch);
            let input = matrix(&batch.inputs, batch.rows, &self.device);
            network.train_batch(optimizer, input.clone(), input).map_err(text)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let test = self.data.test.as_ref().ok_or("no test images")?;
        let task = TaskName::FashionReconstruction;
        let score = train::evaluate(&network, task, test, &self.device).map_err(text)?;
        let deviation = score.deviation;
        Ok(Run { seed, deviation, seconds })
    }

    fn all_images(&mut self) -> Result<(), String> {
        let mut runs = Vec::new();
        for seed in SEEDS.take(3) {
            let all = Options { train_samples: Some(Count::All), seed: Some(seed), ..task() };
            runs.push(self.train(all)?);
        }
        self.add_at_least("all 60,000 images, test set", PCA_64_DB - 0.15, &runs);
        let slowest = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
        let name = "all 60,000 images: training time";
        self.add(name, "under 60 s".to_owned(), format!("{slowest:.1} s"), slowest < 60.0);
        Ok(())
    }

    /// Cosine between what each layer learns under the default rule and backpropagation's gradient, same weights and batch.
    fn distance_from_backpropagation(&mut self) -> Result<(), String> {
        for (name, steps) in [("at first", 0), ("after 500 steps", 500)] {
            let images = self.data.train.clone();
            let batches = Batches::new(images.into(), 256, Order::Random, None, 1).map_err(text)?;
            let mut batch = Batch::default();
            let sizes = [784, 128, 64, 784];
            let mut network = Network::dense(&sizes).build(&self.device).map_err(text)?;
            let optimizer = Muon::new(Schedule::linear(0.02, 500));
            for step in 0..=steps {
                batches.fill(step, &mut batch);
                let input = matrix(&batch.inputs, batch.rows, &self.device);
                if step < steps {
                    network.train_batch(&optimizer, input.clone(), input).map_err(text)?;
                    continue;
                }
                let learned = |rule: Rule| {
                    let twin =
                        Network::dense(&sizes).rule(rule).build(&self.device).map_err(text)?;
                    updates(&network, twin, input.clone(), input.clone())
                };
                let (ours, theirs) = (learned(Rule::default())?, learned(Rule::backprop())?);
                // The signal passes the top first.
                let cosines: Vec<String> = ours
                    .iter()
                    .zip(&theirs)
                    .rev()
                    .map(|(a, b)| format!("{:.2}", cosine(&a.1, &b.1)))
                    .collect();
                let name = format!("cosine with backprop, default rule, {name}");
                self.add(&name, "-".to_owned(), cosines.join(" "), true);
            }
        }
        Ok(())
    }

    /// Twenty random draws of ten images, beside both networks with backpropagation on the same batches.
    fn draws(&mut self) -> Result<(), String> {
        for augment in [false, true] {
            let (mut ours, mut sigmoid, mut linear) = (Vec::new(), Vec::new(), Vec::new());
            for seed in DRAWS {
                let options = Options {
                    samples: Some(Choice::Random),
                    augment: Some(augment),
                    seed: Some(seed),
                    ..task()
                };
                let (settings, data) = self.prepare(&options)?;
                ours.push(self.run(&settings, &data)?);
                for (output, runs) in
                    [(Output::Sigmoid, &mut sigmoid), (Output::Linear, &mut linear)]
                {
                    let trained =
                        baseline::train(&settings, &data, output, &self.device, &mut |_| {
                            Next::Continue
                        })
                        .map_err(text)?;
                    let (deviation, seconds) = (trained.best, trained.train_seconds);
                    runs.push(Run { seed, deviation, seconds });
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
            self.add(&name, "20".to_owned(), ahead.to_string(), ahead == DRAWS.count());
        }
        Ok(())
    }

    fn prepare(&self, options: &Options) -> Result<(Settings, RunData), String> {
        let settings = Settings::resolve(options).map_err(text)?;
        let data = fashion::choose(&self.data, &settings).map_err(text)?;
        Ok((settings, data))
    }

    fn train(&self, options: Options) -> Result<Run, String> {
        let (settings, data) = self.prepare(&options)?;
        self.run(&settings, &data)
    }

    fn run(&self, settings: &Settings, data: &RunData) -> Result<Run, String> {
        let trained =
            train::run(settings, data, &self.device, Teacher::Rule, &mut |_| Next::Continue)
                .map_err(text)?;
        let (deviation, seconds) = (trained.evaluation().deviation, trained.train_seconds);
        Ok(Run { seed: settings.seed, deviation, seconds })
    }

    fn add(&mut self, name: &str, promised: String, measured: String, kept: bool) {
        println!("{name}: {measured}");
        self.figures.push(Figure { name: name.to_owned(), promised, measured, kept });
    }

    fn add_at_least(&mut self, name: &str, least: f64, runs: &[Run]) {
        let kept = median(runs.iter().map(Run::psnr)) >= least;
        self.add_runs(name, format!("at least {least:.2} dB"), runs, kept);
    }

    fn add_runs(&mut self, name: &str, promised: String, runs: &[Run], kept: bool) {
        let all = || runs.iter().map(Run::psnr);
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        let measured = format!("{:.2} dB [{low:.2}, {high:.2}]", median(all()));
        let raw: Vec<Value> = runs
            .iter()
            .map(|run| {
                json!({
                    "seed": run.seed, "psnr_db": run.psnr(), "mae": run.deviation.mean_absolute(),
                    "train_seconds": run.seconds,
                })
            })
            .collect();
        self.raw.insert(name.to_owned(), raw.into());
        self.add(name, promised, measured, kept);
    }

    fn print(&self) {
        println!("\n{:<44}{:>20}{:>28}", "figure", "promised", "measured");
        for figure in &self.figures {
            let mark = if figure.kept { "" } else { "   SHORT" };
            println!("{:<44}{:>20}{:>28}{mark}", figure.name, figure.promised, figure.measured);
        }
    }

    fn write(&self) -> Result<(), String> {
        let object = json!({
            "data": if self.data.test.is_some() { "full" } else { "sample" },
            "runs": self.raw,
        });
        results::write("fashion-reconstruction", &object)
    }
}

/// One training and its evaluation.
struct Run {
    seed: u64,
    deviation: Deviation,
    seconds: f64,
}

impl Run {
    fn psnr(&self) -> f64 {
        self.deviation.psnr_db()
    }
}

fn task() -> Options {
    Options {
        task: Some(TaskName::FashionReconstruction),
        rule: Some(RuleName::Default),
        baseline: Some(false),
        ..Options::default()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = |from: usize| values.get(from).copied().unwrap_or(f64::NAN);
    (middle(values.len().saturating_sub(1) / 2) + middle(values.len() / 2)) / 2.0
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
