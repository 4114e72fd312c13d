//! CIFAR-10 reconstruction by number of training images, and colorization: the presets of the
//! tasks, compared with backpropagation, the classic rule and the limit of linear codes.
//!
//! Every run is kept with its commit. `--only TEXT` measures the rows whose names contain the text,
//! `--missing` the seeds that are not in the results file.

use serde_json::{Map, Value, json};
use zor::prelude::*;
use zor::settings::{OptimizerName, RuleName};
use zor::task::{Data, Plan};
use zor::tasks::parts::data_sets::Cifar10Set;
use zor::tasks::parts::{colorization_baselines, images};
use zor::training::{self, Method, Training};

use super::common::train_to_end;
use super::peers::{Numbers, Peer};
use super::spread::Spread;
use super::suite::{Keep, Suite, SuiteFilter};
use crate::clock::{Machine, TIMES_PRODUCTS, add_training_time, training_times};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "cifar", data: Some(&Cifar10Set), peer: Some("torch"), run, figures };

/// Numbers of training images, each with the minimum PSNR in dB without augmentation, and with the
/// PSNR of PCA where training with augmentation must exceed it.
const POOLS: [(usize, f64, Option<f64>); 4] = [
    (64, 17.9, Some(17.91)),
    (500, 25.5, Some(25.79)),
    (1000, 29.0, Some(29.26)),
    (5000, 31.5, None),
];
/// Number of augmented images that PCA is fitted to, for a training with augmentation.
const AUGMENTED: usize = 20_000;

/// A training and its promises.
struct Row {
    name: String,
    seeds: u64,
    method: Method,
    /// Settings as TOML.
    settings: String,
    /// Minimum PSNR in dB.
    least: Option<f64>,
    /// Maximum training time, as a multiple of the time of its matrix products.
    max_time: Option<f64>,
    /// Whether the color difference (CIEDE2000) must be below that of every guess.
    truer: bool,
}

impl Row {
    fn new(name: impl Into<String>, task: &str, settings: &str) -> Self {
        let settings = format!("task = '{task}'\n{settings}");
        let (seeds, method) = (1, Method::LocalRule);
        Self {
            name: name.into(),
            seeds,
            method,
            settings,
            least: None,
            max_time: None,
            truer: false,
        }
    }

    fn seeds(self, seeds: u64) -> Self {
        Self { seeds, ..self }
    }

    fn at_least(self, least: f64) -> Self {
        Self { least: Some(least), ..self }
    }

    fn time_at_most(self, max: f64) -> Self {
        Self { max_time: Some(max), ..self }
    }

    fn truer_than_guesses(self) -> Self {
        Self { truer: true, ..self }
    }

    fn autodiff(self) -> Self {
        Self { method: Method::Autodiff, ..self }
    }
}

const RECONSTRUCTION: &str = "cifar-reconstruction";
const COLORIZATION: &str = "cifar-colorization";

/// All rows, cheapest first.
fn rows() -> Vec<Row> {
    let reconstruct = |name: String, settings: &str| Row::new(name, RECONSTRUCTION, settings);
    let mut rows = Vec::new();
    for (n, least, pca) in POOLS {
        for augment in [false, true] {
            let settings = format!("train_samples = {n}\naugment = {augment}");
            let row = reconstruct(pool(n, augment), &settings);
            rows.push(match (augment, pca) {
                // Half a minute each.
                (false, _) if n < 100 => row.at_least(least).seeds(3),
                (false, _) => row.at_least(least),
                (true, Some(pca)) => row.at_least(pca),
                (true, None) => row,
            });
        }
    }
    let dense = "reconstruction, all images";
    rows.extend([
        reconstruct(dense.to_owned(), "").at_least(32.4).time_at_most(4.68),
        reconstruct(format!("{dense}, autodiff, Muon"), "optimizer = 'muon'").autodiff(),
        reconstruct(format!("{dense}, autodiff, Adam"), "optimizer = 'adam'").autodiff(),
        reconstruct(format!("{dense}, classic rule"), "rule = 'classic'"),
    ]);
    let color = |name: &str, n: usize, rule: RuleName| {
        Row::new(name, COLORIZATION, &format!("train_samples = {n}\nrule = '{rule}'"))
    };
    rows.extend([
        color("colorization, 1,000 images", 1000, RuleName::Default).at_least(22.23),
        color("colorization, 5,000 images", 5000, RuleName::Default)
            .at_least(22.9)
            .seeds(3)
            .truer_than_guesses(),
        color("colorization, 5,000 images, backprop", 5000, RuleName::Backprop).seeds(3),
    ]);
    let conv = |optimizer: OptimizerName, more: &str| {
        // Adam with the rate that such networks are usually trained with.
        let rate = if optimizer == OptimizerName::Adam { "learning_rate = 2e-3" } else { "" };
        format!("network = 'conv'\noptimizer = '{optimizer}'\n{rate}\n{more}")
    };
    let name = "reconstruction, conv";
    rows.extend([
        reconstruct(name.to_owned(), &conv(OptimizerName::Muon, ""))
            .at_least(32.2)
            .time_at_most(8.7),
        reconstruct(format!("{name}, 2,500 steps"), &conv(OptimizerName::Muon, "steps = 2500")),
        reconstruct(
            format!("{name}, 2,500 steps, Adam"),
            &conv(OptimizerName::Adam, "steps = 2500"),
        ),
    ]);
    rows
}

fn pool(n: usize, augment: bool) -> String {
    let kind = if augment { "augmented" } else { "as they are" };
    format!("reconstruction, {n} images {kind}")
}

/// Trains the networks that the filter selects; with peers, also computes the limits of linear
/// codes.
pub(crate) fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let mut loader = Loader::default();
    let mut peer = if filter.peers { Some(Peer::start("pca.py", &[])?) } else { None };
    let kept = results::read("cifar").unwrap_or_default();
    let mut all = kept["rows"].as_object().cloned().unwrap_or_default();
    for row in rows().into_iter().filter(|row| row.name.contains(&filter.only)) {
        let known = kept["rows"][&row.name].as_array().filter(|_| filter.missing);
        let mut runs = known.cloned().unwrap_or_default();
        for seed in 0..row.seeds {
            if runs.iter().any(|run| run["seed"] == seed) {
                continue;
            }
            let plan = Plan::parse(&format!("seed = {seed}\n{}", row.settings));
            let plan = plan.map_err(text)?;
            let data = loader.load(&plan)?;
            let trained = train_to_end(&plan, &data, row.method)?;
            let mut found = report(&plan, &trained);
            if plan.task.name() == COLORIZATION {
                colours(&mut found, &data, &trained)?;
            }
            // Once per set of images: other networks have the same limit.
            let plain = plan.settings.rule == RuleName::Default && row.method == Method::LocalRule;
            let linear = seed == 0 && plain && plan.settings.network == "dense";
            if let Some(peer) = peer.as_mut().filter(|_| linear) {
                found.insert("pca_psnr_db".to_owned(), pca(peer, &plan, &data)?.into());
            }
            println!("{}, seed {seed}: {}", row.name, Value::from(found.clone()));
            runs.push(Value::from(found));
            all.insert(row.name.clone(), runs.clone().into());
            keep(&json!({ "suite": "cifar", "rows": all }))?;
        }
    }
    Ok(json!({ "suite": "cifar", "rows": all }))
}

fn report(plan: &Plan, trained: &Training) -> Map<String, Value> {
    let deviation = trained.evaluation().deviation;
    let found = json!({
        "commit": results::commit(), "seed": plan.settings.seed, "psnr_db": deviation.psnr_db(),
        "mae": deviation.mae(), "train_seconds": trained.train_seconds,
        TIMES_PRODUCTS: Machine::measured().times_products(trained),
        "steps": trained.steps, "samples_seen": trained.samples_seen,
        "parameters": trained.network.n_parameters(), "optimizer": plan.settings.optimizer,
    });
    found.as_object().cloned().unwrap_or_default()
}

/// Adds the color difference of the network, and PSNR and color difference of each guess.
fn colours(found: &mut Map<String, Value>, data: &Data, trained: &Training) -> Result<(), String> {
    let networks = [("Zor", &trained.network)];
    let all = colorization_baselines::compare(data, &networks, &Device::flex()).map_err(text)?;
    for colours in all {
        let (psnr_db, difference) = (colours.deviation.psnr_db(), colours.difference);
        if colours.name == "Zor" {
            found.insert("ciede2000".to_owned(), difference.into());
        } else {
            let guess = json!({ "psnr_db": psnr_db, "ciede2000": difference });
            found.entry("guesses").or_insert_with(|| json!({}))[colours.name] = guess;
        }
    }
    Ok(())
}

/// PSNR in dB on the evaluation images of PCA that is fitted to the training images, with as many
/// components as the code has values.
fn pca(peer: &mut Peer, plan: &Plan, data: &Data) -> Result<f64, String> {
    let train = images::of(&*data.train).map_err(text)?;
    let evaluated = images::of(&*data.evaluation).map_err(text)?;
    let pool = Numbers::write("pool.f32", &[&learned_from(plan, data, train)?])?;
    let evaluation = Numbers::write("evaluation.f32", &[&evaluated.pixels()])?;
    let question = json!({
        "pool": pool.path(), "evaluation": evaluation.path(), "values": train.shape().len(),
        "components": plan.settings.hidden,
    });
    let answer = peer.ask(&question.to_string())?;
    answer["psnr_db"].as_f64().ok_or_else(|| format!("the peer answered {answer}"))
}

/// Returns the training images, or augmented ones where the training augments.
fn learned_from(plan: &Plan, data: &Data, train: &Images) -> Result<Vec<f32>, String> {
    if !plan.settings.augment {
        return Ok(train.pixels());
    }
    let batches = training::batches(plan, data).map_err(text)?;
    let (mut batch, mut values) = (Batch::default(), Vec::new());
    let mut step = 0;
    while values.len() < AUGMENTED * train.shape().len() {
        batches.fill(step, &mut batch);
        values.extend_from_slice(batch.inputs.numbers());
        step += 1;
    }
    Ok(values)
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for row in rows() {
        let runs = &raw["rows"][&row.name];
        let all = |key: &str| -> Vec<f64> {
            runs.as_array().into_iter().flatten().filter_map(|run| run[key].as_f64()).collect()
        };
        let found = all("psnr_db");
        let psnr = Spread::of(&found);
        let measured = match found.len() {
            0 => "not measured".to_owned(),
            1 => format!("{:.2} dB, one seed", psnr.median),
            _ => psnr.with_unit(" dB"),
        };
        let promised = row.least.map_or("-".to_owned(), |least| format!("at least {least:.2} dB"));
        // Every seed must reach it; a row without runs misses it.
        let kept = row.least.is_none_or(|least| psnr.lowest >= least);
        table.add(&row.name, promised, measured, kept);
        if let Some(max) = row.max_time {
            let times = training_times(runs.as_array().into_iter().flatten());
            add_training_time(table, &row.name, &times, max);
        }
        if let Some(pca) = runs[0]["pca_psnr_db"].as_f64() {
            let name = format!("{}: PCA of the same images", row.name);
            table.add(&name, "-".to_owned(), format!("{pca:.2} dB"), true);
        }
        if let Some(guesses) = runs[0]["guesses"].as_object() {
            let best = |key: &str, better: fn(f64, f64) -> f64| {
                guesses.values().filter_map(|guess| guess[key].as_f64()).reduce(better)
            };
            let (best_psnr, least) =
                (best("psnr_db", f64::max).unwrap_or(f64::NAN), best("ciede2000", f64::min));
            let least = least.unwrap_or(f64::NAN);
            let difference = Spread::of(&all("ciede2000")).highest;
            let name = format!("{}: CIEDE2000", row.name);
            let promised = if row.truer { format!("below {least:.2}") } else { "-".to_owned() };
            let kept = !row.truer || difference < least;
            table.add(&name, promised, format!("{difference:.2}"), kept);
            let name = format!("{}: best guess", row.name);
            table.add(&name, "-".to_owned(), format!("{best_psnr:.2} dB"), psnr.lowest > best_psnr);
        }
    }
    let seeds = |name: &str| {
        let runs = raw["rows"][name].as_array().into_iter().flatten();
        Spread::of(&runs.filter_map(|run| run["psnr_db"].as_f64()).collect::<Vec<_>>())
    };
    // No worse: the seeds of a rule spread wider than the difference of the two rules.
    let ours = seeds("colorization, 5,000 images").median;
    let theirs = seeds("colorization, 5,000 images, backprop");
    let name = "colorization, 5,000 images: median ahead of backprop by";
    let promised = format!("at least {:.3} dB, its lowest seed", theirs.lowest - theirs.median);
    let measured = format!("{:.3} dB", ours - theirs.median);
    table.add(name, promised, measured, ours >= theirs.lowest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_row_are_accepted() {
        for row in rows() {
            Plan::parse(&row.settings).unwrap();
        }
    }
}
