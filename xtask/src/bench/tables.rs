//! The tables that scikit-learn ships: the task `table` and scikit-learn's multilayer perceptrons,
//! each with its default settings.

use std::path::Path;

use serde_json::{Map, Value, json};
use zor::data::table::{Rows, Table as Cells, WithTarget};
use zor::prelude::*;
use zor::settings::Options;
use zor::task::Plan;
use zor::training::evaluate::evaluate;
use zor::training::{self, Method};

use super::peers::Peer;
use super::spread::{Spread, mean};
use super::suite::{Keep, Suite};
use crate::paths::{root, text};
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "tables",
    data: None,
    run: |_, keep| run(keep),
    figures,
    remarks: include_str!("../../../docs/remarks/tables.md"),
};

/// Sets with classes, and one with numbers.
const SETS: [&str; 5] = ["iris", "wine", "breast_cancer", "digits", "diabetes"];
const SEEDS: u64 = 5;

/// Trains both on every set.
fn run(keep: Keep<'_>) -> Result<Value, String> {
    let folder = root().join("target/tables");
    let mut peer = Peer::start("sklearn_tables.py", &[folder.to_string_lossy().into_owned()])?;
    let mut all = Map::new();
    for set in SETS {
        let mut runs = Vec::new();
        for seed in 0..SEEDS {
            let theirs = peer.ask(&json!({ "set": set, "seed": seed }).to_string())?;
            let path = |key: &str| theirs[key].as_str().map(Path::new).ok_or("no file is named");
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

/// Top-1 or R² of test rows, and seconds of training.
fn train(train: &Path, test: &Path, seed: u64) -> Result<(f64, f64), String> {
    let mut options =
        Options::parse("task = 'table'\ntarget = 'target'\nhold_out = 1").map_err(text)?;
    options.set("data", train.to_string_lossy().into_owned()).map_err(text)?;
    options.set("seed", seed as i64).map_err(text)?;
    let plan = Plan::resolve(&options).map_err(text)?;
    let data = plan.task.load(&plan.settings, &mut |_| {}).map_err(text)?;
    let device = Device::flex();
    let go_on = &mut |_: &mut _| std::ops::ControlFlow::Continue(());
    let trained = training::run(&plan, &data, &device, Method::LocalRule, go_on).map_err(text)?;
    let examples: &dyn std::any::Any = &*data.train;
    let rows = examples.downcast_ref::<Rows>().ok_or("the examples are no rows of a table")?;
    let cells = Cells::read(test).map_err(text)?;
    let test = rows.schema().encode(&cells, WithTarget::Required).map_err(text)?;
    let score = evaluate(&trained.network, &plan, &test, &device).map_err(text)?;
    let figure = score.headline().map_or(f64::NAN, |figure| figure.value);
    Ok((figure, trained.train_seconds))
}

/// The figures of all seeds of a set.
fn values(raw: &Value, set: &str, key: &str) -> Vec<f64> {
    let runs = raw["sets"][set].as_array().into_iter().flatten();
    runs.filter_map(|run| run[key].as_f64()).collect()
}

/// What is promised of the numbers that [`run`] returns: on every set a mean at least that of the
/// better perceptron, less half of the distance between the lowest and the highest of its seeds.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    for set in SETS {
        let all = ["zor", "plain", "scaled"].map(|key| values(raw, set, key));
        let [own, plain, scaled] = all.each_ref().map(|values| mean(values));
        let theirs = if scaled >= plain { &all[2] } else { &all[1] };
        let spread = Spread::of(theirs);
        let least = mean(theirs) - 0.5 * (spread.highest - spread.lowest);
        let unit = if set == "diabetes" { "R²" } else { "top-1" };
        let seconds = mean(&values(raw, set, "zor_seconds"));
        let name = format!("{set}: {unit} beside scikit-learn's MLP, scaled");
        let promised = format!("at least {least:.4}");
        let measured =
            format!("{own:.4} beside {scaled:.4} ({plain:.4} not scaled), {seconds:.1} s");
        table.add(&name, promised, measured, own >= least);
    }
}
