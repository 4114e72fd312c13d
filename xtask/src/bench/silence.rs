//! What silence costs: quality against the share of hidden values that fire, and what images for small devices make of the same networks.
//!
//! Everything is measured by the runtime for small devices on the whole test set.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use zor::core::Network;
use zor::edge::{self, DType};
use zor::images::{self, Images, RunData};
use zor::options::{Count, DataSetName, ModelName, Options, Settings, TaskName};
use zor::prelude::*;
use zor::train::{self, Next, Teacher};
use zor::views::Views;

use super::spread::Spread;
use super::suite::{Choice, Keep, Suite};
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "silence",
    data: Some(DataSetName::FashionMnist),
    run,
    figures,
    remarks: include_str!("../../../docs/remarks/silence.md"),
};

/// Target spike rates; none leaves gates alone.
const TARGETS: [Option<f32>; 6] = [None, Some(0.5), Some(0.3), Some(0.2), Some(0.1), Some(0.05)];
/// Rates that several seeds are measured of.
const SEEDED: [Option<f32>; 2] = [None, Some(0.1)];
const SEEDS: u64 = 3;
/// Points that the sparse classifier may be behind its twin.
const BEHIND: f64 = 1.0;
/// Share of hidden values that fire in it, at most.
const RATE: f64 = 0.1;
/// Largest difference of an output of an f32 image.
const EXACT: f64 = 1e-5;
/// What an int8 image may lose, in dB and points, and its share of the f32 image's size.
const LOST: [f64; 2] = [0.2, 0.3];
const SIZE: f64 = 0.27;

const TASKS: [TaskName; 2] = [TaskName::FashionReconstruction, TaskName::FashionClassification];

fn name(task: TaskName, target: Option<f32>) -> String {
    let target = target.map_or("as it comes".to_owned(), |target| format!("target {target}"));
    format!("{task}, {target}")
}

/// Where all may fire, gates stay as they are, in the same network, trained in the same way.
fn options(task: TaskName, target: Option<f32>, seed: u64) -> Result<Settings, String> {
    let options = Options {
        task: Some(task),
        model: Some(ModelName::Dense),
        train_samples: Some(Count::All),
        seed: Some(seed),
        target_spike_rate: Some(target.unwrap_or(1.0)),
        ..Options::default()
    };
    Settings::resolve(&options).map_err(text)
}

pub(crate) fn run(choice: &Choice, keep: Keep<'_>) -> Result<Value, String> {
    let locations = Locations::from_environment(None);
    let kept = results::read("silence").unwrap_or_default();
    let mut rows: Map<String, Value> = kept["rows"].as_object().cloned().unwrap_or_default();
    for task in TASKS {
        let data = Images::load(task.data_set(), &locations).map_err(text)?;
        for target in TARGETS {
            let name = name(task, target);
            if !name.contains(&choice.only) {
                continue;
            }
            let known = rows.get(&name).and_then(Value::as_array).filter(|_| choice.missing);
            let mut runs = known.cloned().unwrap_or_default();
            let seeds = if SEEDED.contains(&target) { SEEDS } else { 1 };
            for seed in 0..seeds {
                if runs.iter().any(|run| run["seed"] == seed) {
                    continue;
                }
                let settings = options(task, target, seed)?;
                let data = images::choose(&data, &settings).map_err(text)?;
                let run = measure(&settings, &data)?;
                println!("{name}: {run}");
                runs.push(run);
                rows.insert(name.clone(), runs.clone().into());
                keep(&json!({ "suite": "silence", "rows": rows }))?;
            }
        }
    }
    Ok(json!({ "suite": "silence", "rows": rows }))
}

/// Trains, exports, and asks the images.
fn measure(settings: &Settings, data: &RunData) -> Result<Value, String> {
    let device = Device::flex();
    let trained = train::run(settings, data, &device, Teacher::Rule, &mut |_| Next::Continue);
    let trained = trained.map_err(text)?;
    let network = &trained.network;
    let whole =
        train::evaluate(network, settings.task, &data.evaluation, &device, Views::default());
    let export =
        |dtype| edge::export(network, settings.task, &data.train, dtype, &device).map_err(text);
    let (f32_image, int8_image) = (export(DType::F32)?, export(DType::Int8)?);
    let ask = |image| edge::evaluate(image, settings.task, &data.evaluation, &device).map_err(text);
    let (exact, small) = (ask(&f32_image)?, ask(&int8_image)?);
    let rates = |measured: &edge::Measured| -> Vec<f64> {
        measured.layers.iter().filter(|layer| layer.has_gate).map(|layer| layer.outputs).collect()
    };
    Ok(json!({
        "seed": settings.seed,
        "seconds": trained.train_seconds,
        "unit": exact.score.unit(),
        "model": whole.map_err(text)?.headline(),
        "f32": exact.score.headline(),
        "int8": small.score.headline(),
        "largest_difference": difference(network, &f32_image, data)?,
        "spike_rates": rates(&exact),
        "spike_rates_int8": rates(&small),
        "f32_bytes": f32_image.bytes().len(),
        "int8_bytes": int8_image.bytes().len(),
    }))
}

/// The largest difference of an output, by the largest output of its sample or 1.
fn difference(
    network: &Network,
    image: &zor::io::edge::Image,
    data: &RunData,
) -> Result<f64, String> {
    let small = image.network().map_err(text)?;
    let outputs: usize = small.output_shape().iter().product();
    let (mut output, mut scratch) = (vec![0.0; outputs], vec![0.0; small.scratch_len()]);
    let mut largest = 0.0f64;
    let set = &data.evaluation;
    for from in (0..set.len()).step_by(100) {
        let part = set.range(from..(from + 100).min(set.len())).map_err(text)?;
        let pixels = part.pixels();
        let answers = network
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

fn runs(raw: &Value, task: TaskName, target: Option<f32>) -> Vec<Value> {
    raw["rows"][name(task, target)].as_array().cloned().unwrap_or_default()
}

fn all(runs: &[Value], what: &str) -> Vec<f64> {
    runs.iter().filter_map(|run| run[what].as_f64()).collect()
}

/// The largest rate of any hidden layer.
fn highest_rate(run: &Value) -> f64 {
    let rates = run["spike_rates"].as_array().cloned().unwrap_or_default();
    rates.iter().filter_map(Value::as_f64).fold(0.0, f64::max)
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (task, lost) in TASKS.into_iter().zip(LOST) {
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
                "{}: spike rate of the liveliest hidden layer {:.1} %",
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
            &format!("{task}: outputs of f32 images differ by"),
            format!("at most {EXACT:.0e}"),
            found,
            exact <= EXACT,
        );
        let worst = most(&|run| number(run, "model") - number(run, "int8"));
        let found = format!("{worst:.3}");
        table.add(
            &format!("{task}: int8 images are behind by"),
            format!("at most {lost}"),
            found,
            worst <= lost,
        );
        let size = most(&|run| number(run, "int8_bytes") / number(run, "f32_bytes"));
        let found = format!("{size:.3}");
        table.add(
            &format!("{task}: size of int8 images by f32"),
            format!("at most {SIZE}"),
            found,
            size <= SIZE,
        );
    }
    let task = TaskName::FashionClassification;
    let [twin, sparse] = SEEDED.map(|target| Spread::of(&all(&runs(raw, task, target), "model")));
    let behind = twin.median - sparse.median;
    let found = format!("{behind:.2} points");
    table.add(
        "the sparse classifier is behind its twin by",
        format!("at most {BEHIND:.1} point"),
        found,
        behind <= BEHIND,
    );
    let rate = runs(raw, task, SEEDED[1]).iter().map(highest_rate).fold(f64::NAN, f64::max);
    let found = format!("{:.2} %", 100.0 * rate);
    table.add(
        "hidden values that fire in it",
        format!("at most {:.0} % of a layer", 100.0 * RATE),
        found,
        rate <= RATE,
    );
}

/// The trade-off as a picture: quality against spike rate, a panel a task.
pub(crate) fn picture(raw: &Value) -> String {
    let (width, height) = (760.0, 300.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"Quality against spike rate\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let panels = [("PSNR, dB", [14.0, 22.0]), ("top-1, %", [80.0, 92.0])];
    for (panel, (task, (label, [low, high]))) in TASKS.into_iter().zip(panels).enumerate() {
        let (left, top, wide, tall) = (60.0 + 380.0 * panel as f64, 30.0, 290.0, 210.0);
        // Rates from 0.02 to 1, each factor as wide as the next.
        let x = |rate: f64| left + wide * (rate.max(0.02) / 0.02).ln() / 50f64.ln();
        let y = |score: f64| top + tall * (high - score) / (high - low);
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"{:.0}\">{task}: {label}</text>", top - 10.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{tall}\" fill=\"none\" stroke=\"#999\"/>"
        );
        for rate in [0.02, 0.05, 0.1, 0.2, 0.5, 1.0] {
            let x = x(rate);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{:.0}\" stroke=\"#eee\"/>",
                top + tall
            );
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{:.0} %</text>",
                top + tall + 16.0,
                100.0 * rate
            );
        }
        for step in 0..=4 {
            let score = low + (high - low) * f64::from(step) / 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{score:.0}</text>",
                left - 6.0,
                y(score) + 4.0
            );
        }
        let mut points: Vec<(f64, f64, bool)> = Vec::new();
        for target in TARGETS {
            for run in runs(raw, task, target) {
                let score = run["model"].as_f64().unwrap_or(low);
                points.push((highest_rate(&run), score, target.is_none()));
            }
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let line: Vec<String> = points
            .iter()
            .map(|(rate, score, _)| format!("{:.1},{:.1}", x(*rate), y(*score)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#d8a020\" stroke-width=\"1.5\"/>",
            line.join(" ")
        );
        for (rate, score, plain) in points {
            let fill = if plain { "#fff" } else { "#d8a020" };
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"#d8a020\" stroke-width=\"1.5\"/>",
                x(rate),
                y(score)
            );
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555\">share of the liveliest hidden layer's values that fire, test set; open circles: gates as they come</text>\n</svg>",
        width / 2.0,
        height - 12.0
    );
    svg
}
