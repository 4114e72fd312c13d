//! `fashion-classification` as its preset says, with three seeds, and once under burn's autodiff.

use serde_json::{Value, json};
use zor::images::{self, Images};
use zor::options::{DataSetName, Options, Settings, TaskName};
use zor::prelude::*;
use zor::train::{self, Next, Teacher};

use super::spread::Spread;
use super::suite::{Keep, Suite};
use crate::paths::text;
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "classification",
    data: Some(DataSetName::FashionMnist),
    run: |_, keep| run(keep),
    figures,
    remarks: include_str!("../../../docs/remarks/classification.md"),
};

const SEEDS: std::ops::Range<u64> = 0..3;

/// Trains all networks.
pub(crate) fn run(keep: Keep<'_>) -> Result<Value, String> {
    let locations = Locations::from_environment(None);
    let data = Images::load(DataSetName::FashionMnist, &locations).map_err(text)?;
    if data.test.is_none() {
        return Err("the classification suite needs the full Fashion-MNIST (ZOR_DATA_DIR)".into());
    }
    let own = SEEDS.map(|seed| (Teacher::Rule, seed));
    let mut runs: Vec<Value> = Vec::new();
    for (teacher, seed) in own.chain([(Teacher::Autodiff, 0)]) {
        let task = Some(TaskName::FashionClassification);
        let options = Options { task, seed: Some(seed), ..Options::default() };
        let settings = Settings::resolve(&options).map_err(text)?;
        let data = images::choose(&data, &settings).map_err(text)?;
        let go_on = &mut |_: &mut train::Training| Next::Continue;
        let trained =
            train::run(&settings, &data, &Device::flex(), teacher, go_on).map_err(text)?;
        let (top1, seconds) = (trained.evaluation().top1().unwrap_or(0.0), trained.train_seconds);
        println!("{}, seed {seed}: {:.2} % in {seconds:.0} s", name(teacher), 100.0 * top1);
        runs.push(json!({
            "teacher": name(teacher), "seed": seed, "top1": top1, "train_seconds": seconds,
            "steps": trained.steps, "samples_seen": trained.samples_seen,
            "parameters": trained.network.n_parameters(),
        }));
        keep(&json!({ "suite": "classification", "runs": runs }))?;
    }
    Ok(json!({ "suite": "classification", "runs": runs }))
}

/// What is promised of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let all = |teacher: Teacher, key: &str| -> Vec<f64> {
        let runs = raw["runs"].as_array().into_iter().flatten();
        let own = runs.filter(|run| run["teacher"] == name(teacher));
        own.filter_map(|run| run[key].as_f64()).collect()
    };
    let top1 = Spread::of(&all(Teacher::Rule, "top1"));
    let measured = top1.times(100.0).with_unit(" %");
    let task = "fashion-classification";
    table.add(
        &format!("{task}, test set"),
        "at least 93.50 %".to_owned(),
        measured,
        top1.median >= 0.935,
    );
    let slowest = Spread::of(&all(Teacher::Rule, "train_seconds")).highest;
    let measured = format!("{slowest:.0} s");
    let name = format!("{task}: training time");
    table.add(&name, "at most 600 s".to_owned(), measured, slowest <= 600.0);
    let twin = Spread::of(&all(Teacher::Autodiff, "top1")).median;
    let name = format!("{task}, burn's autodiff");
    table.add(&name, "-".to_owned(), format!("{:.2} %", 100.0 * twin), true);
}

fn name(teacher: Teacher) -> &'static str {
    match teacher {
        Teacher::Rule => "rule",
        Teacher::Autodiff => "autodiff",
    }
}
