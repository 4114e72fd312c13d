//! The rule study: variants of the rule under AdamW and Muon, in short trainings of four tasks.
//!
//! Evaluations use held-out training images: the presets are chosen by these numbers. A learning
//! rate belongs to an optimizer and a task, and is equal for all rules: the steps of both
//! optimizers depend on directions alone, so that no rule can lengthen them.

use serde_json::{Map, Value, json};
use zor::settings::OptimizerName;
use zor::svg::{Anchor, Lettering, Paint, Svg};
use zor::task::Plan;
use zor::tasks::parts::data_sets::Cifar10Set;
use zor::training::Method;

use super::spread::Spread;
use super::suite::{Keep, Suite, SuiteFilter};
use super::variants::{self, Variant};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "rules", data: Some(&Cifar10Set), peer: None, run, figures };

/// A short training of a task.
struct Short {
    task: &'static str,
    network: &'static str,
    steps: u64,
    batch: usize,
    /// Learning rates of AdamW and Muon.
    rates: [f32; 2],
    seeds: u64,
}

impl Short {
    fn plan(&self, optimizer: OptimizerName, rate: f32, seed: u64) -> Result<Plan, String> {
        let Self { task, network, steps, batch, .. } = self;
        Plan::parse(&format!(
            "task = '{task}'
             network = '{network}'
             steps = {steps}
             batch = {batch}
             optimizer = '{optimizer}'
             learning_rate = {rate:?}
             weight_decay = 0.0
             seed = {seed}
             train_samples = 'all'
             hold_out = {HELD_OUT}"
        ))
        .map_err(text)
    }
}

const OPTIMIZERS: [OptimizerName; 2] = [OptimizerName::AdamW, OptimizerName::Muon];
/// Number of held-out training images for evaluations.
const HELD_OUT: usize = 2000;

fn tasks() -> [Short; 4] {
    let short = |task, steps, batch, rates, seeds| {
        let network = "dense";
        Short { task, network, steps, batch, rates, seeds }
    };
    [
        short("fashion-reconstruction", 300, 256, [2e-3, 0.02], 5),
        short("fashion-classification", 150, 256, [2e-3, 0.02], 5),
        short("cifar-reconstruction", 50, 512, [1e-3, 0.05], 3),
        Short { network: "conv", ..short("cifar-classification", 80, 128, [2e-3, 0.05], 3) },
    ]
}

fn name(task: &Short, optimizer: OptimizerName, variant: Variant) -> String {
    format!("{}, {optimizer}, {}", task.task, variant.name())
}

/// Trains the networks that the filter selects.
pub(crate) fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let mut loader = Loader::default();
    let kept = results::read("rules").unwrap_or_default();
    let mut all: Map<String, Value> = kept["rows"].as_object().cloned().unwrap_or_default();
    for short in tasks() {
        for (optimizer, rate) in OPTIMIZERS.into_iter().zip(short.rates) {
            for variant in Variant::STUDIED {
                let name = name(&short, optimizer, variant);
                if !name.contains(&filter.only) {
                    continue;
                }
                let known = kept["rows"][&name].as_array().filter(|_| filter.missing);
                let mut runs = known.cloned().unwrap_or_default();
                for seed in 0..short.seeds {
                    if runs.iter().any(|run| run["seed"] == seed) {
                        continue;
                    }
                    let mut plan = short.plan(optimizer, rate, seed)?;
                    plan.settings.rule_settings = variant.of(&plan.settings.rule_settings);
                    let data = loader.load(&plan)?;
                    runs.push(variants::train(&plan, &data, Method::LocalRule)?);
                }
                let runs = Value::from(runs);
                println!("{name:<72}{}", summary(&runs));
                all.insert(name, runs);
            }
            keep(&json!({ "suite": "rules", "rows": all }))?;
        }
    }
    Ok(json!({ "suite": "rules", "rows": all }))
}

/// Returns PSNR in dB or top-1 in percent of all seeds, and the unit.
fn scores(runs: &Value) -> (Vec<f64>, &'static str) {
    let runs: Vec<&Value> = runs.as_array().into_iter().flatten().collect();
    let top1 = runs.iter().filter_map(|run| run["top1"].as_f64());
    let top1: Vec<f64> = top1.map(|share| 100.0 * share).collect();
    if !top1.is_empty() {
        return (top1, "%");
    }
    (runs.iter().filter_map(|run| run["psnr_db"].as_f64()).collect(), "dB")
}

/// Returns the mean over seeds of the cosine at the start, in the middle or at the end.
fn cosine(runs: &Value, at: usize) -> f64 {
    let all: Vec<f64> = runs
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|run| run["cosines"][at].as_f64())
        .collect();
    all.iter().sum::<f64>() / all.len() as f64
}

fn summary(runs: &Value) -> String {
    let (scores, unit) = scores(runs);
    format!("{}, cosine {:.2}", Spread::of(&scores).with_unit(&format!(" {unit}")), cosine(runs, 1))
}

/// Maximum cosine, at any time, of a rule that stays apart from backpropagation.
const MAX_COSINE_APART: f64 = 0.9;

/// Returns the best rule of a task with its optimizer, among all or among those that stay apart
/// from backpropagation.
fn best(raw: &Value, short: &Short, apart: bool) -> Option<(OptimizerName, Variant)> {
    let runs = |(optimizer, variant)| &raw["rows"][name(short, optimizer, variant)];
    let median = |rule| Spread::of(&scores(runs(rule)).0).median;
    let all = OPTIMIZERS
        .into_iter()
        .flat_map(|optimizer| Variant::STUDIED.map(|variant| (optimizer, variant)));
    all.filter(|rule| !median(*rule).is_nan())
        .filter(|rule| !apart || (0..3).all(|at| cosine(runs(*rule), at) < MAX_COSINE_APART))
        .max_by(|a, b| median(*a).total_cmp(&median(*b)))
}

/// Adds the best rules of each task, without promises.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for short in tasks() {
        for (apart, which) in [(false, "best rule"), (true, "best rule below cosine 0.9")] {
            let Some((optimizer, variant)) = best(raw, &short, apart) else { continue };
            let runs = &raw["rows"][name(&short, optimizer, variant)];
            let row = format!("{}, {which}: {}, {optimizer}", short.task, variant.name());
            table.add(&row, "-".to_owned(), summary(runs), true);
        }
    }
}

/// Returns a table for each task in Markdown.
pub(crate) fn page(raw: &Value) -> String {
    let mut page = String::new();
    for short in tasks() {
        let Short { task, steps, batch, seeds, .. } = short;
        page += &format!(
            "### {task}, {steps} steps of {batch}, {seeds} seeds\n\n\
             | rule | AdamW | cosine: start, middle, end | Muon | cosine |\n|---|---|---|---|---|\n"
        );
        for variant in Variant::STUDIED {
            page += &format!("| {}", variant.name());
            for optimizer in OPTIMIZERS {
                let runs = &raw["rows"][name(&short, optimizer, variant)];
                let (scores, unit) = scores(runs);
                if scores.is_empty() {
                    page += " | not measured | ";
                    continue;
                }
                let cosines: Vec<String> =
                    (0..3).map(|at| format!("{:.2}", cosine(runs, at))).collect();
                let spread = Spread::of(&scores).with_unit(&format!(" {unit}"));
                page += &format!(" | {spread} | {}", cosines.join(", "));
            }
            page += " |\n";
        }
        page += "\n";
        for (apart, which) in [(false, "Best"), (true, "Best whose cosine stays below 0.9")] {
            page += &match best(raw, &short, apart) {
                Some((optimizer, variant)) => {
                    let runs = &raw["rows"][name(&short, optimizer, variant)];
                    format!("- {which}: {} with {optimizer}, {}.\n", variant.name(), summary(runs))
                }
                None => format!("- {which}: none.\n"),
            };
        }
        page += "\n";
    }
    page
}

/// Returns the scores of all rules on all tasks as an SVG.
pub(crate) fn picture(raw: &Value) -> String {
    let (left, width, line, gap) = (230.0, 360.0, 22.0, 46.0);
    let tasks = tasks();
    let block = line * Variant::STUDIED.len() as f64 + gap;
    let height = block * tasks.len() as f64 + 40.0;
    let mut svg = Svg::new(left + width + 40.0, height);
    let (start, end) = (Lettering::new(Anchor::Start), Lettering::new(Anchor::End));
    let colours = ["#64748b", "#c2410c"];
    for (index, (optimizer, colour)) in OPTIMIZERS.iter().zip(colours).enumerate() {
        let x = left + 110.0 * index as f64;
        svg.circle([x, 18.0], 5.0, Paint::fill(colour));
        svg.text([x + 10.0, 22.0], &optimizer.to_string(), start);
    }
    for (index, short) in tasks.iter().enumerate() {
        let top = 40.0 + block * index as f64;
        let all = |variant, optimizer| scores(&raw["rows"][name(short, optimizer, variant)]);
        let every: Vec<f64> = Variant::STUDIED
            .into_iter()
            .flat_map(|variant| OPTIMIZERS.map(|optimizer| all(variant, optimizer).0).concat())
            .filter(|score| score.is_finite())
            .collect();
        let Spread { lowest, highest, .. } = Spread::of(&every);
        let unit = all(Variant::Gated, OPTIMIZERS[0]).1;
        let at = |score: f64| left + width * (score - lowest) / (highest - lowest).max(1e-9);
        svg.text([left, top + 12.0], short.task, start.bold());
        let range = format!("{lowest:.1} to {highest:.1} {unit}");
        svg.text([left + width, top + 12.0], &range, end.fill("#64748b"));
        for (row, variant) in Variant::STUDIED.into_iter().enumerate() {
            let y = top + 30.0 + line * row as f64;
            svg.text([left - 10.0, y + 4.0], variant.name(), end);
            svg.line(&[[left, y], [left + width, y]], Paint::stroke("#e2e8f0", 1.0));
            for (optimizer, colour) in OPTIMIZERS.into_iter().zip(colours) {
                for score in all(variant, optimizer).0 {
                    svg.circle([at(score), y], 5.0, Paint::fill(colour).opacity(0.6));
                }
            }
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_row_are_accepted() {
        for short in tasks() {
            for (optimizer, rate) in OPTIMIZERS.into_iter().zip(short.rates) {
                let plan = short.plan(optimizer, rate, 7).unwrap();
                assert_eq!(
                    (plan.settings.optimizer, plan.settings.learning_rate),
                    (optimizer, rate)
                );
            }
        }
    }
}
