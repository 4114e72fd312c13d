//! The streaming benchmark NAB (Lavin and Ahmad 2015): a detector that learns as it scores, on 58
//! series with one threshold.
//!
//! `--published FOLDER` reads the folder `results` of NAB's repository and computes the scores of
//! the detectors in it, as a check of the scorer.

mod scorer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::data::table::{Table as Cells, series::time};
use zor::detection::{OnlineConfig, OnlineDetector};
use zor::prelude::*;

use self::scorer::Series;
use super::common::folder;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite, SuiteFilter};
use crate::clock::Machine;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite { name: "nab", data: None, peer: None, run, figures };

const SEEDS: u64 = 3;
/// Minimum mean score, and the score that is aimed at.
const LEAST: f64 = 52.0;
const GOAL: f64 = 65.0;
/// Largest difference of a computed score from a published one that counts as equal.
const EQUAL: f64 = 0.01;

/// A series with its labels.
struct Stream {
    /// Category and file.
    name: String,
    times: Vec<f64>,
    values: Vec<f64>,
    labels: Series,
}

fn json_of(path: &Path) -> Result<Value, String> {
    let read = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&read).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads all series.
fn streams(folder: &Path) -> Result<Vec<Stream>, String> {
    let windows = json_of(&folder.join("combined_windows.json"))?;
    let windows = windows.as_object().ok_or("combined_windows.json is not an object")?;
    windows.iter().map(|(name, windows)| stream(folder, name, windows)).collect()
}

fn stream(folder: &Path, name: &str, windows: &Value) -> Result<Stream, String> {
    let table = Cells::read(&folder.join(name)).map_err(text)?;
    let [stamp, value] = ["timestamp", "value"].map(|column| table.find(column));
    let (stamp, value) = (stamp.map_err(text)?, value.map_err(text)?);
    let mut stamps = Vec::new();
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for row in 0..table.len() {
        stamps.push(table.cell(row, stamp).unwrap_or_default().to_owned());
        times.push(time(&table.record(row), stamp)?.unwrap_or(f64::NAN));
        values.push(table.number(row, value).unwrap_or(f64::NAN));
    }
    // Time stamps of one form are in the order of their text; those of windows have a fraction.
    let place = |end: &Value| {
        let end = end.as_str().unwrap_or_default().split('.').next().unwrap_or_default();
        stamps.partition_point(|stamp| stamp.as_str() < end)
    };
    let windows: Vec<_> = windows
        .as_array()
        .into_iter()
        .flatten()
        .map(|window| place(&window[0])..=place(&window[1]))
        .collect();
    let labels = Series::new(values.len(), &windows);
    Ok(Stream { name: name.to_owned(), times, values, labels })
}

/// Scores every row of a series as it arrives.
fn detect(stream: &Stream, seed: u64) -> Result<Vec<f64>, String> {
    let warm_up = scorer::probation(stream.values.len());
    let config = OnlineConfig { seed, warm_up, ..OnlineConfig::default() };
    let mut detector = OnlineDetector::new(&config, 1, &Device::flex()).map_err(text)?;
    let rows = stream.values.iter().zip(&stream.times);
    rows.map(|(value, time)| {
        detector.push(&[*value], Some(*time)).map(|found| f64::from(found.score)).map_err(text)
    })
    .collect()
}

/// Scores of all series, and of each category at the threshold for all of them.
fn evaluate(streams: &[Stream], scores: &[Vec<f64>]) -> Value {
    let all: Vec<(&Series, &[f64])> =
        streams.iter().zip(scores).map(|(stream, scores)| (&stream.labels, &scores[..])).collect();
    let best = scorer::best(&all);
    let mut categories = BTreeMap::<&str, Vec<(&Series, &[f64])>>::new();
    for (stream, scored) in streams.iter().zip(&all) {
        let category = stream.name.split('/').next().unwrap_or_default();
        categories.entry(category).or_default().push(*scored);
    }
    let categories: Map<String, Value> = categories
        .into_iter()
        .map(|(name, of)| (name.to_owned(), scorer::at(&of, best.threshold).into()))
        .collect();
    json!({ "score": best.score, "threshold": best.threshold, "categories": categories })
}

fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(text)?;
    let streams = streams(&folder(
        "nab",
        "the series of NAB (the folders of data and labels/combined_windows.json of its repository)",
    )?)?;
    let rows: usize = streams.iter().map(|stream| stream.values.len()).sum();
    println!("{} series, {rows} rows", streams.len());
    let published = match &filter.published {
        Some(folder) => published(folder, &streams)?,
        None => Map::new(),
    };
    let results = |runs: &[Value]| {
        json!({
            "suite": "nab", "machine": Machine::measured().json(), "series": streams.len(),
            "rows": rows, "runs": runs, "published": published,
        })
    };
    let mut runs = Vec::new();
    for seed in 0..SEEDS {
        let start = Instant::now();
        let scored = |stream| pool.install(|| detect(stream, seed));
        let scores: Vec<Vec<f64>> = streams.iter().map(scored).collect::<Result<_, _>>()?;
        let micros = 1e6 * start.elapsed().as_secs_f64() / rows as f64;
        let mut found = evaluate(&streams, &scores);
        found["seed"] = seed.into();
        found["us_per_row"] = micros.into();
        println!("seed {seed}: {found}");
        runs.push(found);
        keep(&results(&runs))?;
    }
    Ok(results(&runs))
}

/// Computes the scores of detectors from the published scores of rows.
fn published(folder: &Path, streams: &[Stream]) -> Result<Map<String, Value>, String> {
    let told = json_of(&folder.join("final_results.json"))?;
    let mut found = Map::new();
    for (detector, told) in told.as_object().into_iter().flatten() {
        let file = |stream: &Stream| {
            let (category, name) = stream.name.split_once('/')?;
            Some(folder.join(detector).join(category).join(format!("{detector}_{name}")))
        };
        let files: Option<Vec<PathBuf>> = streams.iter().map(file).collect();
        let Some(files) = files.filter(|files| files.iter().all(|file| file.is_file())) else {
            println!("{detector}: no scores of rows");
            continue;
        };
        let scores = |path: &PathBuf| {
            let table = Cells::read(path).map_err(text)?;
            let column = table.find("anomaly_score").map_err(text)?;
            let score = |row| table.number(row, column).unwrap_or(0.0);
            Ok((0..table.len()).map(score).collect())
        };
        let scores: Vec<Vec<f64>> = files.iter().map(scores).collect::<Result<_, String>>()?;
        let computed = evaluate(streams, &scores)["score"].as_f64().unwrap_or(f64::NAN);
        let told = told["standard"].as_f64().unwrap_or(f64::NAN);
        println!("{detector}: {computed:.3}, published {told:.3}");
        found.insert(detector.clone(), json!({ "computed": computed, "published": told }));
    }
    Ok(found)
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let runs = raw["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let values = |key: &str| runs.iter().filter_map(|run| run[key].as_f64()).collect::<Vec<f64>>();
    let scores = values("score");
    let (score, range) = (mean(&scores), Spread::of(&scores));
    let name = format!("{} series: NAB score, standard profile, mean of seeds", raw["series"]);
    let promised = format!("at least {LEAST}; goal {GOAL}");
    let measured = format!("{score:.1} [{:.1}, {:.1}]", range.lowest, range.highest);
    table.add(&name, promised, measured, score >= LEAST);
    let categories = runs.first().and_then(|run| run["categories"].as_object());
    let categories: Vec<String> = categories
        .into_iter()
        .flatten()
        .filter(|(_, score)| score.is_number())
        .map(|(category, _)| {
            let of = runs.iter().filter_map(|run| run["categories"][category].as_f64());
            format!("{category} {:.1}", mean(&of.collect::<Vec<_>>()))
        })
        .collect();
    table.add("by category", "-".to_owned(), categories.join(", "), true);
    let micros = Spread::of(&values("us_per_row")).with_unit(" us");
    table.add("time per row on one thread, learning included", "-".to_owned(), micros, true);
    let published = raw["published"].as_object().filter(|published| !published.is_empty());
    if let Some(published) = published {
        let pairs = published
            .values()
            .filter_map(|found| Some((found["computed"].as_f64()?, found["published"].as_f64()?)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let equal = pairs.iter().filter(|(a, b)| (a - b).abs() < EQUAL).count();
        let measured = format!("{equal} of {}", pairs.len());
        let name = "published scores that the scorer computes again";
        table.add(name, "-".to_owned(), measured, true);
    }
}
