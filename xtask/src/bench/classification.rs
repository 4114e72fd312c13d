//! The preset of `fashion-classification` with three seeds, and once under burn's autodiff.

use serde_json::{Value, json};
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks::parts::data_sets::{DataSet, FashionMnistSet};
use zor::training::Method;

use super::common::train_to_end;
use super::spread::Spread;
use super::suite::{Keep, Suite};
use crate::clock::{Machine, TIMES_PRODUCTS, add_training_time, training_times};
use crate::data::Loader;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite = Suite {
    name: "classification",
    data: Some(&FashionMnistSet),
    peer: None,
    run: |_, keep| run(keep),
    figures,
};

const SEEDS: std::ops::Range<u64> = 0..3;
/// Maximum training time, as a multiple of the time of its matrix products.
const MAX_TIME: f64 = 0.73;

/// Trains all networks.
pub(crate) fn run(keep: Keep<'_>) -> Result<Value, String> {
    let locations = Locations::from_environment(None);
    if FashionMnistSet.find(&locations).map_err(text)?.is_none() {
        return Err("the classification suite needs the full Fashion-MNIST (ZOR_DATA_DIR)".into());
    }
    let mut loader = Loader::default();
    let own = SEEDS.map(|seed| (Method::LocalRule, seed));
    let mut runs: Vec<Value> = Vec::new();
    for (method, seed) in own.chain([(Method::Autodiff, 0)]) {
        let settings = format!("task = 'fashion-classification'\nseed = {seed}");
        let plan = Plan::parse(&settings).map_err(text)?;
        let data = loader.load(&plan)?;
        let trained = train_to_end(&plan, &data, method)?;
        let top1 = trained.evaluation().figure("top1").unwrap_or(0.0);
        let seconds = trained.train_seconds;
        println!("{}, seed {seed}: {:.2} % in {seconds:.0} s", name(method), 100.0 * top1);
        runs.push(json!({
            "teacher": name(method), "seed": seed, "top1": top1, "train_seconds": seconds,
            TIMES_PRODUCTS: Machine::measured().times_products(&trained),
            "steps": trained.steps, "samples_seen": trained.samples_seen,
            "parameters": trained.network.n_parameters(),
        }));
        keep(&json!({ "suite": "classification", "runs": runs }))?;
    }
    Ok(json!({ "suite": "classification", "runs": runs }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let all = |method: Method, key: &str| -> Vec<f64> {
        let runs = raw["runs"].as_array().into_iter().flatten();
        let own = runs.filter(|run| run["teacher"] == name(method));
        own.filter_map(|run| run[key].as_f64()).collect()
    };
    let top1 = Spread::of(&all(Method::LocalRule, "top1"));
    let measured = top1.times(100.0).with_unit(" %");
    let task = "fashion-classification";
    table.add(
        &format!("{task}, test set"),
        "at least 93.50 %".to_owned(),
        measured,
        top1.median >= 0.935,
    );
    let runs = raw["runs"].as_array().into_iter().flatten();
    let own = runs.filter(|run| run["teacher"] == name(Method::LocalRule));
    add_training_time(table, task, &training_times(own), MAX_TIME);
    let autodiff = Spread::of(&all(Method::Autodiff, "top1")).median;
    let name = format!("{task}, burn's autodiff");
    table.add(&name, "-".to_owned(), format!("{:.2} %", 100.0 * autodiff), true);
}

fn name(method: Method) -> &'static str {
    match method {
        Method::LocalRule => "rule",
        Method::Autodiff => "autodiff",
    }
}
