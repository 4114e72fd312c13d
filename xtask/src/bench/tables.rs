//! The tables that scikit-learn ships: the task `table` compared with the multilayer perceptrons of
//! scikit-learn, each with its default settings.

use std::path::Path;

use serde_json::{Map, Value, json};
use zor::data::table::{Rows, Table as Cells, WithTarget};
use zor::prelude::*;
use zor::settings::Options;
use zor::task::Plan;
use zor::training::Method;
use zor::training::evaluate::evaluate;

use super::common::train_to_end;
use super::peers::Peer;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite};
use crate::paths::{root, text};
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "tables", data: None, peer: Some("sklearn"), run: |_, keep| run(keep), figures };

/// Tables with classes, and one (diabetes) with a numeric target.
const SETS: [&str; 5] = ["iris", "wine", "breast_cancer", "digits", "diabetes"];
const SEEDS: u64 = 5;

/// Trains both on every table.
fn run(keep: Keep<'_>) -> Result<Value, String> {
    let folder = root().join("target/tables");
    let mut peer = Peer::start("sklearn_tables.py", &[folder.to_string_lossy().into_owned()])?;
    let mut all = Map::new();
    for set in SETS {
        let mut runs = Vec::new();
        for seed in 0..SEEDS {
            let theirs = peer.ask(&json!({ "set": set, "seed": seed }).to_string())?;
            let path =
                |key: &str| theirs[key].as_str().map(Path::new).ok_or("the peer named no file");
            let (own, seconds) = train(path("train")?, path("test")?, seed)?;
            let number = |key: &str| theirs[key].as_f64().unwrap_or(f64::NAN);
            let run = json!({
                "seed": seed, "zor": own, "zor_seconds": seconds, "plain": number("plain"),
                "scaled": number("scaled"), "scaled_seconds": number("scaled_seconds"),
                "train_rows": theirs["rows"],
            });
            println!("{set}, seed {seed}: {run}");
            runs.push(run);
        }
        all.insert(set.to_owned(), runs.into());
        keep(&json!({ "suite": "tables", "sets": all }))?;
    }
    Ok(json!({ "suite": "tables", "sets": all }))
}

/// Returns top-1 or R² of the test rows, and seconds of training.
fn train(train: &Path, test: &Path, seed: u64) -> Result<(f64, f64), String> {
    let mut options =
        Options::parse("task = 'table'\ntarget = 'target'\nhold_out = 1").map_err(text)?;
    options.set("data", train.to_string_lossy().into_owned()).map_err(text)?;
    options.set("seed", seed as i64).map_err(text)?;
    let plan = Plan::resolve(&options).map_err(text)?;
    let data = plan.task.load(&plan.settings, &mut |_| {}).map_err(text)?;
    let trained = train_to_end(&plan, &data, Method::LocalRule)?;
    let examples: &dyn std::any::Any = &*data.train;
    let rows = examples.downcast_ref::<Rows>().ok_or("the examples are not rows of a table")?;
    let cells = Cells::read(test).map_err(text)?;
    let test = rows.schema().encode(&cells, WithTarget::Required).map_err(text)?;
    let score = evaluate(&trained.network, &plan, &test, &Device::flex()).map_err(text)?;
    let figure = score.headline().map_or(f64::NAN, |figure| figure.value);
    Ok((figure, trained.train_seconds))
}

/// Returns the figures of all seeds of a table.
fn values(raw: &Value, set: &str, key: &str) -> Vec<f64> {
    let runs = raw["sets"][set].as_array().into_iter().flatten();
    runs.filter_map(|run| run[key].as_f64()).collect()
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns. Promised is on
/// every table a mean of at least that of the better perceptron, less half of the range of its
/// seeds.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for set in SETS {
        let all = ["zor", "plain", "scaled"].map(|key| values(raw, set, key));
        let [own, plain, scaled] = all.each_ref().map(|values| mean(values));
        let theirs = if scaled >= plain { &all[2] } else { &all[1] };
        let spread = Spread::of(theirs);
        let least = mean(theirs) - 0.5 * (spread.highest - spread.lowest);
        let unit = if set == "diabetes" { "R²" } else { "top-1" };
        let seconds = mean(&values(raw, set, "zor_seconds"));
        let name = format!("{set}: {unit} vs scikit-learn's MLP on scaled inputs");
        let promised = format!("at least {least:.4}");
        let measured = format!("{own:.4} vs {scaled:.4} ({plain:.4} unscaled), {seconds:.1} s");
        table.add(&name, promised, measured, own >= least);
    }
}
