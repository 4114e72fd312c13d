//! Detection of anomalies in tables of ADBench (Han et al. 2022): the task `detection` compared
//! with detectors of scikit-learn and PyOD, each with its default settings.

mod alarms;
mod speed;
mod variants;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};
use zor::compile::DType;
use zor::core::Random;
use zor::data::table::Table as Cells;
use zor::detection::{Detector, DetectorConfig, metrics};
use zor::prelude::*;

use super::common::folder;
use super::peers::Peer;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite, SuiteFilter};
use crate::paths::{root, text};
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "detection", data: None, peer: Some("pyod"), run, figures };

/// Tables that settings were chosen on: every third one by number. Figures are of the others.
const DEVELOPMENT: [&str; 10] = [
    "5_campaign",
    "10_cover",
    "15_Hepatitis",
    "21_Lymphography",
    "25_musk",
    "29_Pima",
    "33_skin",
    "39_vertebral",
    "43_WDBC",
    "47_yeast",
];
/// Numbers of normal rows to learn from, with the numbers of random choices of them. The promises
/// are for the first.
const SIZES: [(usize, u64); 5] = [(64, 5), (16, 5), (256, 5), (2000, 2), (10_000, 1)];
/// Column with the labels of a table.
const LABELS: &str = "y";
/// Minimum mean lead over nearest neighbours, and the lead that is aimed at.
const LEAD: f64 = 0.010;
const GOAL: f64 = 0.025;
/// Maximum mean difference of the AUROC of programs in int8.
const INT8_LOSS: f64 = 0.005;
/// Resamples of the tables for the interval of the lead.
const RESAMPLES: usize = 10_000;

/// Returns the tables by number.
fn tables(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut tables: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "npz"))
        .collect();
    let number = |path: &PathBuf| name(path).split('_').next().and_then(|n| n.parse::<u32>().ok());
    tables.sort_by_key(number);
    Ok(tables)
}

/// True if no setting was chosen on a table.
fn is_reported(name: &str) -> bool {
    !DEVELOPMENT.contains(&name)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    // Neither Zor nor its peers use more than one thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(text)?;
    let tables = tables(&folder(
        "adbench",
        "the tables of ADBench (adbench/datasets/Classical of its repository)",
    )?)?;
    let asked: Vec<&str> = filter.only.split_whitespace().collect();
    let is_asked = |part: &str| asked.contains(&part);
    let is_left_out = |name: &str| {
        let is_reported = is_reported(name);
        (is_asked("development") && is_reported) || (is_asked("reported") && !is_reported)
    };
    // Parts that are not measured again stay, with the commits that they were measured on.
    let kept = if asked.is_empty() { Value::Null } else { results::read(SUITE.name)? };
    let mut all = json!({ "suite": SUITE.name });
    for part in ["commits", "speed", "alarms", "variants", "sizes"] {
        all[part] = if kept[part].is_null() { json!({}) } else { kept[part].clone() };
    }
    if asked.is_empty() || is_asked("speed") {
        all["speed"] = pool.install(speed::run)?;
        all["commits"]["speed"] = results::commit().into();
        keep(&all)?;
    }
    if asked.is_empty() || is_asked("alarms") {
        all["commits"]["alarms"] = results::commit().into();
        alarms::run(&tables, &pool, &mut |alarms| {
            all["alarms"] = alarms.clone();
            keep(&all)
        })?;
    }
    if asked.is_empty() || is_asked("variants") {
        all["commits"]["variants"] = results::commit().into();
        let reported = tables.iter().filter(|path| is_reported(&name(path)));
        variants::run(reported, &pool, &mut |variants| {
            all["variants"] = variants.clone();
            keep(&all)
        })?;
    }
    let sizes: Vec<(usize, u64)> = SIZES
        .into_iter()
        .filter(|(size, _)| asked.is_empty() || is_asked(&size.to_string()))
        .collect();
    if sizes.is_empty() {
        return Ok(all);
    }
    let mut peer = splitter("sizes")?;
    for (size, draws) in sizes {
        all["commits"][size.to_string()] = results::commit().into();
        let mut of_size = Map::new();
        for path in &tables {
            let table = name(path);
            if is_left_out(&table) {
                continue;
            }
            let mut runs = Vec::new();
            for draw in 0..draws {
                let question = json!({
                    "table": path.to_string_lossy(), "rows": size, "draw": draw, "peers": filter.peers,
                });
                let mut answer = peer.ask(&question.to_string())?;
                let split = Split::read(&answer)?;
                let own = match pool.install(|| detect(&split, draw)) {
                    Ok(found) => {
                        answer["auroc"]["zor"] = found.auroc.into();
                        answer["seconds"]["zor"] = found.seconds.into();
                        Some(found)
                    }
                    Err(error) => {
                        answer["failed"]["zor"] = error.into();
                        None
                    }
                };
                runs.push(json!({
                    "draw": draw, "rows": answer["rows"], "columns": answer["columns"],
                    "auroc": answer["auroc"], "seconds": answer["seconds"], "failed": answer["failed"],
                    "int8": own.as_ref().map(|own| json!({
                        "auroc": own.int8_auroc, "bytes": own.int8_bytes,
                        "difference": own.int8_auroc - own.auroc,
                    })),
                }));
            }
            let means: Vec<String> = mean_by_name(&runs, "auroc")
                .iter()
                .map(|(name, auroc)| format!("{name} {auroc:.3}"))
                .collect();
            let int8 = mean_by_name(&runs, "int8");
            let int8 = ["auroc", "difference", "bytes"].map(|key| int8.get(key).copied());
            let [Some(auroc), Some(difference), Some(bytes)] = int8 else {
                return Err(format!("{table}: the detector has no program in int8"));
            };
            println!(
                "{size} rows, {table}: {}; int8 program of {bytes:.0} bytes {auroc:.4} ({difference:+.4})",
                means.join(", ")
            );
            of_size.insert(table, runs.into());
            all["sizes"][size.to_string()] = of_size.clone().into();
            keep(&all)?;
        }
        let (means, count) = means(&Value::Object(of_size), |_| true);
        let said: Vec<String> =
            means.iter().map(|(name, auroc)| format!("{name} {auroc:.4}")).collect();
        let int8 = int8_difference(&all["sizes"][size.to_string()], |_| true).unwrap_or(f64::NAN);
        println!(
            "{size} rows, mean of {count} tables: {}; int8 program {int8:+.4}",
            said.join(", ")
        );
    }
    Ok(all)
}

/// Starts the peer that splits tables; its files go to a folder of this name.
fn splitter(name: &str) -> Result<Peer, String> {
    let files = root().join("target/detection").join(name);
    Peer::start("pyod_detection.py", &[files.to_string_lossy().into_owned()])
}

/// Rows to learn from, and rows to score with whether each is an anomaly.
struct Split {
    train: Cells,
    test: Cells,
    labels: Vec<bool>,
}

impl Split {
    /// Reads the files of the peer's answer.
    fn read(answer: &Value) -> Result<Self, String> {
        let table = |key: &str| {
            let path = answer[key].as_str().ok_or("the peer names no file")?;
            Cells::read(Path::new(path)).map_err(text)
        };
        let labels = table("labels")?;
        let is_anomaly = |row: usize| labels.number(row, 0) == Some(1.0);
        let labels = (0..labels.len()).map(is_anomaly).collect();
        Ok(Self { train: table("train")?, test: table("test")?, labels })
    }

    /// AUROC of scores of the test rows.
    fn auroc(&self, scores: &[f32]) -> Result<f64, String> {
        let auroc = metrics::auroc(scores, &self.labels);
        auroc.ok_or_else(|| "a test set has one kind of rows alone".to_owned())
    }
}

/// A trained detector, measured.
struct Measured {
    auroc: f64,
    /// Time of training.
    seconds: f64,
    /// The same detector as a program in int8, which is given the rows as they are.
    int8_auroc: f64,
    int8_bytes: usize,
}

/// Trains a detector and scores the test rows, also by its program in int8.
fn detect(split: &Split, seed: u64) -> Result<Measured, String> {
    let Split { train, test, .. } = split;
    let config = DetectorConfig::new().seed(seed);
    let start = Instant::now();
    let mut detector = Detector::fit(&config, train, &Device::flex()).map_err(text)?;
    let seconds = start.elapsed().as_secs_f64();
    let found = detector.score(test).map_err(text)?;
    let scores: Vec<f32> = found.iter().map(|found| found.score).collect();
    // The scores do not depend on the rate; this one can be promised from 7 rows.
    let program = detector.compile(DType::I8, 0.125, train).map_err(text)?;
    let small = program.detector().map_err(text)?;
    let mut scratch = vec![0.0; small.scratch_len()];
    let mut on_device = Vec::new();
    for row in 0..test.len() {
        let value = |column| test.number(row, column).map_or(f32::NAN, |value| value as f32);
        let row: Vec<f32> = (0..small.row_len()).map(value).collect();
        on_device.push(small.score(&row, &mut scratch).map_err(text)?);
    }
    let int8_bytes = program.bytes().len();
    Ok(Measured {
        auroc: split.auroc(&scores)?,
        seconds,
        int8_auroc: split.auroc(&on_device)?,
        int8_bytes,
    })
}

/// Mean difference of the AUROC of the program in int8 from the host's, over the selected tables;
/// `None` if there is none.
fn int8_difference(of_size: &Value, is_selected: impl Fn(&str) -> bool) -> Option<f64> {
    let tables = by_table(of_size, "int8", is_selected);
    let all: Vec<f64> =
        tables.iter().filter_map(|found| found.get("difference").copied()).collect();
    (!all.is_empty()).then(|| mean(&all))
}

/// Means over draws by detector.
fn mean_by_name(runs: &[Value], key: &str) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::<String, Vec<f64>>::new();
    for run in runs {
        for (name, value) in run[key].as_object().into_iter().flatten() {
            all.entry(name.clone()).or_default().extend(value.as_f64());
        }
    }
    all.into_iter().map(|(name, values)| (name, mean(&values))).collect()
}

/// Means over the selected tables by detector, of those that read every table; and the number of
/// tables.
fn means(of_size: &Value, is_selected: impl Fn(&str) -> bool) -> (BTreeMap<String, f64>, usize) {
    let tables = by_table(of_size, "auroc", is_selected);
    let mut all = BTreeMap::<String, Vec<f64>>::new();
    for found in &tables {
        found.iter().for_each(|(name, auroc)| all.entry(name.clone()).or_default().push(*auroc));
    }
    all.retain(|_, values| values.len() == tables.len());
    (all.into_iter().map(|(name, values)| (name, mean(&values))).collect(), tables.len())
}

/// Means over draws by detector, for each selected table.
fn by_table(
    of_size: &Value,
    key: &str,
    is_selected: impl Fn(&str) -> bool,
) -> Vec<BTreeMap<String, f64>> {
    let tables = of_size.as_object().into_iter().flatten();
    tables
        .filter(|(table, _)| is_selected(table))
        .map(|(_, runs)| mean_by_name(runs.as_array().map_or(&[], Vec::as_slice), key))
        .collect()
}

/// 95 % interval of the mean of differences, by resampling them (percentile bootstrap; Efron 1979).
fn bootstrap(differences: &[f64]) -> [f64; 2] {
    let mut random = Random::seeded(0);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let n = differences.len();
            (0..n).map(|_| differences[random.below(n)]).sum::<f64>() / n as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    [means[RESAMPLES * 25 / 1000], means[RESAMPLES * 975 / 1000]]
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for (index, (size, _)) in SIZES.iter().enumerate() {
        let of_size = &raw["sizes"][size.to_string()];
        let (means, count) = means(of_size, is_reported);
        let Some(own) = means.get("zor") else { continue };
        let rest = means.iter().filter(|(name, _)| *name != "zor");
        let best = rest.clone().max_by(|a, b| a.1.total_cmp(b.1));
        let others: Vec<String> = rest.map(|(name, auroc)| format!("{name} {auroc:.3}")).collect();
        let Some((best, best_auroc)) = best else { continue };
        let measured =
            format!("{own:.4}; best other {best} {best_auroc:.4} ({})", others.join(", "));
        let promised = if index == 0 { "the largest of all detectors" } else { "-" };
        let is_first = index > 0 || own > best_auroc;
        let name = format!("{size} normal rows: mean AUROC over {count} tables");
        table.add(&name, promised.to_owned(), measured, is_first);
        let tables = by_table(of_size, "auroc", is_reported);
        let leads: Vec<f64> =
            tables.iter().filter_map(|found| Some(found.get("zor")? - found.get("knn")?)).collect();
        let (lead, [low, high]) = (mean(&leads), bootstrap(&leads));
        let ahead = leads.iter().filter(|lead| **lead > 0.0).count();
        let measured = format!("{lead:+.4} [{low:+.4}, {high:+.4}], ahead on {ahead} of {count}");
        let promised = match index {
            0 => format!("at least {LEAD:.3} and interval above 0; goal {GOAL:.3}"),
            _ => "-".to_owned(),
        };
        let holds = index > 0 || (lead >= LEAD && low > 0.0);
        table.add(
            &format!("{size} normal rows: lead over nearest neighbours"),
            promised,
            measured,
            holds,
        );
        if let Some(difference) = int8_difference(of_size, is_reported) {
            let promised = format!("within {INT8_LOSS:.3}");
            let name = format!("{size} normal rows: AUROC of the int8 program, compared");
            let measured = format!("{difference:+.4}");
            table.add(&name, promised, measured, difference.abs() <= INT8_LOSS);
        }
        let seconds = |name: &str| {
            let all = by_table(of_size, "seconds", is_reported);
            Spread::of(&all.iter().filter_map(|found| found.get(name).copied()).collect::<Vec<_>>())
        };
        let (own, theirs) = (seconds("zor"), seconds("autoencoder"));
        let measured = format!("{} s vs {} s", own.with_unit(""), theirs.with_unit(""));
        let promised = if index == 0 { "less than PyOD's" } else { "-" };
        let holds = index > 0 || own.median < theirs.median;
        let name = format!("{size} normal rows: fit on one thread vs PyOD's AutoEncoder");
        table.add(&name, promised.to_owned(), measured, holds);
    }
    alarms::figures(&raw["alarms"], table);
    speed::figures(&raw["speed"], table);
    variants::figures(&raw["variants"], table);
}
