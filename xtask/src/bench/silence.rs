//! The cost of silence: quality against the share of hidden values that fire, of networks and of
//! their programs for small devices.
//!
//! The runtime for small devices measures all of it on the whole test set.

use serde_json::{Map, Value, json};
use zor::export::{self, DType};
use zor::prelude::*;
use zor::svg::{Anchor, Lettering, Paint, Svg};
use zor::task::{Data, Figure, Model, Plan, Score};
use zor::tasks::parts::data_sets::FashionMnistSet;
use zor::tasks::parts::images;
use zor::training::Method;
use zor::training::evaluate::evaluate;

use super::common::{model, train_to_end};
use super::spread::Spread;
use super::suite::{Keep, Suite, SuiteFilter};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "silence", data: Some(&FashionMnistSet), peer: None, run, figures };

/// Target spike rates; `None` leaves gates without a target.
const TARGETS: [Option<f32>; 6] = [None, Some(0.5), Some(0.3), Some(0.2), Some(0.1), Some(0.05)];
/// Target rates with several seeds.
const SEEDED: [Option<f32>; 2] = [None, Some(0.1)];
const SEEDS: u64 = 3;
/// Maximum percentage points of top-1 by which the sparse classifier is behind the one without a
/// target.
const MAX_BEHIND: f64 = 1.0;
/// Maximum share of hidden values that fire in it.
const MAX_RATE: f64 = 0.1;
/// Maximum difference of an output of an f32 program.
const MAX_DIFFERENCE: f64 = 1e-5;
/// Maximum loss of an int8 program in dB and percentage points, for the two tasks.
const MAX_LOSS: [f64; 2] = [0.2, 0.3];
/// Maximum size of an int8 program, relative to the f32 program.
const MAX_SIZE: f64 = 0.27;

const CLASSIFICATION: &str = "fashion-classification";
const TASKS: [&str; 2] = ["fashion-reconstruction", CLASSIFICATION];

fn name(task: &str, target: Option<f32>) -> String {
    let target = target.map_or("as it comes".to_owned(), |target| format!("target {target}"));
    format!("{task}, {target}")
}

/// Returns the settings of a network. Without a target the rate is 1, which changes no gate: the
/// network and its training are otherwise equal.
fn plan(task: &str, target: Option<f32>, seed: u64) -> Result<Plan, String> {
    Plan::parse(&format!(
        "task = '{task}'
         network = 'dense'
         train_samples = 'all'
         seed = {seed}
         target_spike_rate = {:?}",
        target.unwrap_or(1.0)
    ))
    .map_err(text)
}

pub(crate) fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let mut loader = Loader::default();
    let kept = results::read("silence").unwrap_or_default();
    let mut rows: Map<String, Value> = kept["rows"].as_object().cloned().unwrap_or_default();
    for task in TASKS {
        for target in TARGETS {
            let name = name(task, target);
            if !name.contains(&filter.only) {
                continue;
            }
            let known = rows.get(&name).and_then(Value::as_array).filter(|_| filter.missing);
            let mut runs = known.cloned().unwrap_or_default();
            let seeds = if SEEDED.contains(&target) { SEEDS } else { 1 };
            for seed in 0..seeds {
                if runs.iter().any(|run| run["seed"] == seed) {
                    continue;
                }
                let plan = plan(task, target, seed)?;
                let run = measure(&plan, &loader.load(&plan)?)?;
                println!("{name}: {run}");
                runs.push(run);
                rows.insert(name.clone(), runs.clone().into());
                keep(&json!({ "suite": "silence", "rows": rows }))?;
            }
        }
    }
    Ok(json!({ "suite": "silence", "rows": rows }))
}

/// Trains, exports, and evaluates the programs.
fn measure(plan: &Plan, data: &Data) -> Result<Value, String> {
    let device = Device::flex();
    let trained = train_to_end(plan, data, Method::LocalRule)?;
    let (seconds, model) = (trained.train_seconds, model(trained.network, plan));
    let whole = evaluate(&model.network, plan, &*data.evaluation, &device).map_err(text)?;
    let export = |dtype| export::export(&model, data, dtype, &device).map_err(text);
    let (f32_image, int8_image) = (export(DType::F32)?, export(DType::I8)?);
    let measure = |image| export::evaluate(image, &model, data, &device).map_err(text);
    let (exact, small) = (measure(&f32_image)?, measure(&int8_image)?);
    let headline = |score: &Score| score.headline().map(Figure::shown_value);
    let rates = |measured: &export::Measured| -> Vec<f64> {
        measured.layers.iter().filter(|layer| layer.has_gate).map(|layer| layer.outputs).collect()
    };
    Ok(json!({
        "seed": plan.settings.seed,
        "seconds": seconds,
        "unit": exact.score.headline().map(Figure::symbol),
        "model": headline(&whole),
        "f32": headline(&exact.score),
        "int8": headline(&small.score),
        "largest_difference": difference(&model, &f32_image, data)?,
        "spike_rates": rates(&exact),
        "spike_rates_int8": rates(&small),
        "f32_bytes": f32_image.bytes().len(),
        "int8_bytes": int8_image.bytes().len(),
    }))
}

/// Returns the maximum difference of an output, relative to the largest output of its sample or 1.
fn difference(model: &Model, image: &zor::compile::Program, data: &Data) -> Result<f64, String> {
    let small = image.network().map_err(text)?;
    let outputs: usize = small.output_shape().iter().product();
    let (mut output, mut scratch) = (vec![0.0; outputs], vec![0.0; small.scratch_len()]);
    let mut largest = 0.0f64;
    let set = images::of(&*data.evaluation).map_err(text)?;
    for from in (0..set.len()).step_by(100) {
        let part = set.range(from..(from + 100).min(set.len())).map_err(text)?;
        let pixels = part.pixels();
        let answers = model
            .network
            .predict(matrix(&pixels, part.len(), &Device::flex()).map_err(text)?)
            .map_err(text)?;
        let answers: Vec<f32> = answers.into_data().iter::<f32>().collect();
        let samples = pixels.chunks_exact(pixels.len() / part.len());
        for (sample, expected) in samples.zip(answers.chunks_exact(outputs)) {
            small.run(sample, &mut output, &mut scratch).map_err(text)?;
            let scale = expected.iter().fold(1.0f32, |most, value| most.max(value.abs()));
            let worst =
                expected.iter().zip(&output).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            largest = largest.max(f64::from(worst / scale));
        }
    }
    Ok(largest)
}

fn runs(raw: &Value, task: &str, target: Option<f32>) -> Vec<Value> {
    raw["rows"][name(task, target)].as_array().cloned().unwrap_or_default()
}

fn all(runs: &[Value], what: &str) -> Vec<f64> {
    runs.iter().filter_map(|run| run[what].as_f64()).collect()
}

/// Returns the maximum spike rate of the hidden layers.
fn highest_rate(run: &Value) -> f64 {
    let rates = run["spike_rates"].as_array().cloned().unwrap_or_default();
    rates.iter().filter_map(Value::as_f64).fold(0.0, f64::max)
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (task, lost) in TASKS.into_iter().zip(MAX_LOSS) {
        let mut every = Vec::new();
        for target in TARGETS {
            let runs = runs(raw, task, target);
            if runs.is_empty() && !SEEDED.contains(&target) {
                continue;
            }
            let unit = runs.first().and_then(|run| run["unit"].as_str()).unwrap_or("").to_owned();
            let score = Spread::of(&all(&runs, "model"));
            let rate = runs.iter().map(highest_rate).fold(0.0, f64::max);
            let name = format!(
                "{}: highest spike rate of a hidden layer {:.1} %",
                name(task, target),
                100.0 * rate
            );
            let seeds = if runs.len() > 1 { "" } else { ", one seed" };
            table.add(
                &name,
                "-".to_owned(),
                score.with_unit(&format!(" {unit}")) + seeds,
                !runs.is_empty(),
            );
            every.extend(runs);
        }
        let most = |what: &dyn Fn(&Value) -> f64| every.iter().map(what).fold(f64::NAN, f64::max);
        let number = |run: &Value, what: &str| run[what].as_f64().unwrap_or(f64::NAN);
        let exact = most(&|run| number(run, "largest_difference"));
        let found = format!("{exact:.1e}");
        table.add(
            &format!("{task}: outputs of f32 programs differ by"),
            format!("at most {MAX_DIFFERENCE:.0e}"),
            found,
            exact <= MAX_DIFFERENCE,
        );
        let worst = most(&|run| number(run, "model") - number(run, "int8"));
        let found = format!("{worst:.3}");
        table.add(
            &format!("{task}: int8 programs are behind by"),
            format!("at most {lost}"),
            found,
            worst <= lost,
        );
        let size = most(&|run| number(run, "int8_bytes") / number(run, "f32_bytes"));
        let found = format!("{size:.3}");
        table.add(
            &format!("{task}: size of int8 programs, relative to f32"),
            format!("at most {MAX_SIZE}"),
            found,
            size <= MAX_SIZE,
        );
    }
    let task = CLASSIFICATION;
    let [plain, sparse] = SEEDED.map(|target| Spread::of(&all(&runs(raw, task, target), "model")));
    let behind = plain.median - sparse.median;
    let found = format!("{behind:.2} points");
    table.add(
        "points of the classifier with target 0.1 behind the one without",
        format!("at most {MAX_BEHIND:.1}"),
        found,
        behind <= MAX_BEHIND,
    );
    let rate = runs(raw, task, SEEDED[1]).iter().map(highest_rate).fold(f64::NAN, f64::max);
    let found = format!("{:.2} %", 100.0 * rate);
    table.add(
        "hidden values that fire in the classifier with target 0.1",
        format!("at most {:.0} % of a layer", 100.0 * MAX_RATE),
        found,
        rate <= MAX_RATE,
    );
}

/// Returns the trade-off as an SVG: quality against spike rate, a panel per task.
pub(crate) fn picture(raw: &Value) -> String {
    let (width, height) = (760.0, 300.0);
    let mut svg = Svg::new(width, height).labelled("Quality against spike rate");
    let (start, middle, end) = (
        Lettering::new(Anchor::Start),
        Lettering::new(Anchor::Middle),
        Lettering::new(Anchor::End),
    );
    let panels = [("PSNR, dB", [14.0, 22.0]), ("top-1, %", [80.0, 92.0])];
    for (panel, (task, (label, [low, high]))) in TASKS.into_iter().zip(panels).enumerate() {
        let (left, top, wide, tall) = (60.0 + 380.0 * panel as f64, 30.0, 290.0, 210.0);
        // Rates from 0.02 to 1 on a logarithmic axis.
        let x = |rate: f64| left + wide * (rate.max(0.02) / 0.02).ln() / 50f64.ln();
        let y = |score: f64| top + tall * (high - score) / (high - low);
        svg.text([left, top - 10.0], &format!("{task}: {label}"), start);
        svg.rect([left, top], [wide, tall], Paint::stroke("#999", 1.0));
        for rate in [0.02, 0.05, 0.1, 0.2, 0.5, 1.0] {
            let (x, bottom) = (x(rate), top + tall);
            svg.line(&[[x, top], [x, bottom]], Paint::stroke("#eee", 1.0));
            svg.text([x, bottom + 16.0], &format!("{:.0} %", 100.0 * rate), middle);
        }
        for step in 0..=4 {
            let score = low + (high - low) * f64::from(step) / 4.0;
            svg.text([left - 6.0, y(score) + 4.0], &format!("{score:.0}"), end);
        }
        let mut points: Vec<(f64, f64, bool)> = Vec::new();
        for target in TARGETS {
            for run in runs(raw, task, target) {
                let score = run["model"].as_f64().unwrap_or(low);
                points.push((highest_rate(&run), score, target.is_none()));
            }
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let line: Vec<[f64; 2]> =
            points.iter().map(|(rate, score, _)| [x(*rate), y(*score)]).collect();
        svg.line(&line, Paint::stroke("#d8a020", 1.5));
        for (rate, score, plain) in points {
            let fill = if plain { "#fff" } else { "#d8a020" };
            svg.circle([x(rate), y(score)], 4.0, Paint::fill(fill).outlined("#d8a020", 1.5));
        }
    }
    svg.text(
        [width / 2.0, height - 12.0],
        "highest share of values of a hidden layer that fire, test set; open circles: gates without a target",
        middle.fill("#555"),
    );
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_row_are_accepted() {
        for (task, target) in
            TASKS.into_iter().flat_map(|task| TARGETS.map(|target| (task, target)))
        {
            let plan = plan(task, target, 7).unwrap();
            assert_eq!(plan.settings.rule_settings.target_spike_rate, target.or(Some(1.0)));
        }
    }
}
