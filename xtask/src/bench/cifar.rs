//! CIFAR-10 reconstruction by size of the pool, and colorization: the tasks as their presets say,
//! beside backpropagation, the classic rule and the limit of linear codes.
//!
//! Every row is kept with the commit it was measured at; `--only WORDS` measures the rows whose
//! names have these words, `--missing` the seeds that are not kept yet.

use std::ops::ControlFlow;

use serde_json::{Map, Value, json};
use zor::prelude::*;
use zor::settings::{OptimizerName, RuleName};
use zor::task::{Data, Plan};
use zor::tasks::parts::data_sets::Cifar10Set;
use zor::tasks::parts::{colorization_baselines, images};
use zor::training::{self, Method, Training};

use super::peers::{Numbers, Peer};
use super::spread::Spread;
use super::suite::{Choice, Keep, Suite};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "cifar",
    data: Some(&Cifar10Set),
    run,
    figures,
    remarks: include_str!("../../../docs/remarks/cifar.md"),
};

/// Pools of training images, the dB that an autoencoder that learned from each has to reach without
/// augmentation, and PCA's figure where augmentation has to go beyond it.
const POOLS: [(usize, f64, Option<f64>); 4] = [
    (64, 17.9, Some(17.91)),
    (500, 25.5, Some(25.79)),
    (1000, 29.0, Some(29.26)),
    (5000, 31.5, None),
];
/// Augmented images that stand for an augmented pool.
const AUGMENTED: usize = 20_000;

/// One training and its promises.
struct Row {
    name: String,
    seeds: u64,
    method: Method,
    /// Settings as TOML.
    settings: String,
    /// Least PSNR in dB.
    least: Option<f64>,
    /// Most seconds of training.
    most: Option<f64>,
    /// Whether colours have to differ less from the truth than every guess's.
    truer: bool,
}

impl Row {
    fn new(name: impl Into<String>, task: &str, settings: &str) -> Self {
        let settings = format!("task = '{task}'\n{settings}");
        let (seeds, method) = (1, Method::LocalRule);
        Self { name: name.into(), seeds, method, settings, least: None, most: None, truer: false }
    }

    fn seeds(self, seeds: u64) -> Self {
        Self { seeds, ..self }
    }

    fn at_least(self, least: f64) -> Self {
        Self { least: Some(least), ..self }
    }

    fn at_most(self, most: f64) -> Self {
        Self { most: Some(most), ..self }
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

/// Everything that is measured, cheapest first.
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
        reconstruct(dense.to_owned(), "").at_least(32.4).at_most(300.0),
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
        reconstruct(name.to_owned(), &conv(OptimizerName::Muon, "")).at_least(32.2).at_most(3600.0),
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

/// Trains all chosen networks; with peers the limits of linear codes are computed too.
pub(crate) fn run(choice: &Choice, keep: Keep<'_>) -> Result<Value, String> {
    let mut loader = Loader::default();
    let mut peer = if choice.torch { Some(Peer::start("pca.py", &[])?) } else { None };
    let kept = results::read("cifar").unwrap_or_default();
    let mut all = kept["rows"].as_object().cloned().unwrap_or_default();
    for row in rows().into_iter().filter(|row| row.name.contains(&choice.only)) {
        let known = kept["rows"][&row.name].as_array().filter(|_| choice.missing);
        let mut runs = known.cloned().unwrap_or_default();
        for seed in 0..row.seeds {
            if runs.iter().any(|run| run["seed"] == seed) {
                continue;
            }
            let plan = Plan::parse(&format!("seed = {seed}\n{}", row.settings));
            let plan = plan.map_err(text)?;
            let data = loader.load(&plan)?;
            let continues = &mut |_: &mut Training| ControlFlow::Continue(());
            let trained = training::run(&plan, &data, &Device::flex(), row.method, continues);
            let trained = trained.map_err(text)?;
            let mut found = report(&plan, &trained);
            if plan.task.name() == COLORIZATION {
                colours(&mut found, &data, &trained)?;
            }
            // Once for a pool; what else learns from it has the same limit.
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
        "steps": trained.steps, "samples_seen": trained.samples_seen,
        "parameters": trained.network.n_parameters(), "optimizer": plan.settings.optimizer,
    });
    found.as_object().cloned().unwrap_or_default()
}

/// Colour differences, the network's and the guesses', and the best PSNR of a guess.
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

/// PSNR of as many principal components of the training images as a code has numbers, on the
/// evaluation images.
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

/// The pool as it is, or as many augmented images as stand for it.
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

/// Promises, beside the numbers that [`run`] returns.
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
        // Every seed has to reach it; a row that was not measured has not.
        let kept = row.least.is_none_or(|least| psnr.lowest >= least);
        table.add(&row.name, promised, measured, kept);
        if let Some(most) = row.most {
            let slowest = Spread::of(&all("train_seconds")).highest;
            let name = format!("{}: training time", row.name);
            let promised = format!("at most {most:.0} s");
            table.add(&name, promised, format!("{slowest:.0} s"), slowest <= most);
        }
        if let Some(pca) = runs[0]["pca_psnr_db"].as_f64() {
            let name = format!("{}: PCA of the same", row.name);
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
    // No worse: seeds that are apart by more than the two rules are cannot tell them apart.
    let ours = seeds("colorization, 5,000 images").median;
    let theirs = seeds("colorization, 5,000 images, backprop");
    let name = "colorization, 5,000 images: median ahead of backprop's by";
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
