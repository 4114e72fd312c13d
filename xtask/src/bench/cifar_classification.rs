//! CIFAR-10 classification: the presets of three networks, whose rule coincides with
//! backpropagation, compared with the classic rule and the normalized one. Each has the cosine
//! between the updates of its layers and the gradient from burn's autodiff.
//!
//! Every run is kept with its commit. `--only TEXT` measures the rows whose names contain the text,
//! `--missing` the seeds that are not in the results file.

use serde_json::{Value, json};
use zor::backprop::alignment;
use zor::task::Plan;
use zor::tasks::parts::data_sets::Cifar10Set;
use zor::training::Method;

use super::spread::{Spread, mean};
use super::suite::{Keep, Suite, SuiteFilter};
use super::variants::{self, Variant};
use crate::clock::{add_training_time, training_times};
use crate::data::Loader;
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "cifar-classification", data: Some(&Cifar10Set), peer: None, run, figures };

/// A network under a rule, and its promises.
struct Row {
    network: &'static str,
    variant: Variant,
    method: Method,
    seeds: u64,
    /// Minimum of the mean top-1 over seeds, and the key of the top-1: with or without test-time
    /// flip.
    least: Option<(f64, &'static str)>,
    /// Maximum training time, as a multiple of the time of its matrix products.
    max_time: Option<f64>,
}

impl Row {
    fn new(network: &'static str, variant: Variant, seeds: u64) -> Self {
        Self { network, variant, method: Method::LocalRule, seeds, least: None, max_time: None }
    }

    fn plan(&self, seed: u64) -> Result<Plan, String> {
        let mut plan = Plan::parse(&format!(
            "task = 'cifar-classification'\nnetwork = '{}'\nseed = {seed}",
            self.network
        ))
        .map_err(text)?;
        plan.settings.rule_settings = self.variant.of(&plan.settings.rule_settings);
        Ok(plan)
    }

    fn name(&self) -> String {
        let network = if self.network == DENSE { "mlp" } else { self.network };
        match (self.method, self.variant) {
            (Method::Autodiff, _) => format!("{network}, burn's autodiff"),
            (Method::LocalRule, Variant::Preset) => network.to_owned(),
            (Method::LocalRule, variant) => format!("{network}, {}", variant.name()),
        }
    }
}

const DENSE: &str = "dense";
const CONV: &str = "conv";
const AIRBENCH: &str = "airbench";

/// Keys of top-1 without test-time flip and with it.
const PLAIN: &str = "top1";
const FLIP: &str = "top1_flip";
/// Key of top-1 from six views, which the author of airbench reports.
const SIX: &str = "top1_six_views";

/// All rows, cheapest first.
fn rows() -> Vec<Row> {
    let rows = |network, least, max_time, beside: &'static [Variant]| {
        let preset = Row { least: Some(least), max_time, ..Row::new(network, Variant::Preset, 3) };
        let beside = beside.iter().map(move |variant| Row::new(network, *variant, 1));
        std::iter::once(preset).chain(beside)
    };
    let beside = &[Variant::Normalised, Variant::Ungated, Variant::Classic];
    let mlp = rows(DENSE, (0.65, PLAIN), None, beside);
    let autodiff = Row { method: Method::Autodiff, ..Row::new(DENSE, Variant::Preset, 1) };
    let conv = rows(CONV, (0.88, PLAIN), Some(3.89), beside);
    let beside = &[Variant::Normalised, Variant::Classic];
    let airbench = rows(AIRBENCH, (0.935, FLIP), Some(0.36), beside);
    mlp.chain([autodiff]).chain(conv).chain(airbench).collect()
}

/// Trains the networks that the filter selects.
pub(crate) fn run(filter: &SuiteFilter, keep: Keep<'_>) -> Result<Value, String> {
    let mut loader = Loader::default();
    let kept = results::read("cifar-classification").unwrap_or_default();
    let mut all = kept["rows"].as_object().cloned().unwrap_or_default();
    for row in rows().into_iter().filter(|row| row.name().contains(&filter.only)) {
        let name = row.name();
        let known = kept["rows"][&name].as_array().filter(|_| filter.missing);
        let mut runs = known.cloned().unwrap_or_default();
        for seed in 0..row.seeds {
            if runs.iter().any(|run| run["seed"] == seed) {
                continue;
            }
            let plan = row.plan(seed)?;
            let data = loader.load(&plan)?;
            let run = variants::train(&plan, &data, row.method)?;
            println!("{name}, seed {seed}: {run}");
            runs.push(run);
            all.insert(name.clone(), runs.clone().into());
            keep(&json!({ "suite": "cifar-classification", "rows": all }))?;
        }
    }
    Ok(json!({ "suite": "cifar-classification", "rows": all }))
}

/// Returns the values of all seeds of a row.
fn values(raw: &Value, row: &Row, key: &str) -> Vec<f64> {
    let runs = raw["rows"][row.name()].as_array().into_iter().flatten();
    runs.filter_map(|run| run[key].as_f64()).collect()
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let rows = rows();
    for row in &rows {
        let (least, key) = row.least.map_or((None, PLAIN), |(least, key)| (Some(least), key));
        let found = values(raw, row, key);
        let (name, top1) = (row.name(), mean(&found));
        let shown = if key == FLIP { format!("{name}, with test-time flip") } else { name.clone() };
        let promised =
            least.map_or("-".to_owned(), |least| format!("at least {:.1} %", 100.0 * least));
        let kept = least.is_none_or(|least| top1 >= least);
        table.add(&shown, promised, percent(&found), kept);
        if key == FLIP {
            let six = percent(&values(raw, row, SIX));
            table.add(&format!("{name}, six views"), "-".to_owned(), six, true);
        }
        if let Some(max) = row.max_time {
            let runs = raw["rows"][&name].as_array().into_iter().flatten();
            add_training_time(table, &name, &training_times(runs), max);
        }
        let autodiff = rows
            .iter()
            .find(|other| other.method == Method::Autodiff && other.network == row.network);
        let least_cosine = cosines(raw, row).into_iter().fold(f64::INFINITY, f64::min);
        if let (Some(_), Some(autodiff)) = (least, autodiff) {
            let ahead = 100.0 * (top1 - mean(&values(raw, autodiff, key)));
            let name = format!("{name}: points ahead of burn's autodiff");
            table.add(&name, "at least -0.5".to_owned(), format!("{ahead:.2}"), ahead >= -0.5);
        } else if least.is_some() {
            // Without an autodiff row, the cosine shows that the rule is backpropagation.
            let name = format!("{name}: lowest cosine with backprop");
            let kept = least_cosine >= alignment::COINCIDES;
            table.add(&name, "at least 0.99".to_owned(), format!("{least_cosine:.4}"), kept);
        }
    }
}

/// Returns the means over seeds of the cosines at the start, in the middle and at the end.
fn cosines(raw: &Value, row: &Row) -> [f64; 3] {
    [0, 1, 2].map(|at| {
        let runs = raw["rows"][row.name()].as_array().into_iter().flatten();
        mean(&runs.filter_map(|run| run["cosines"][at].as_f64()).collect::<Vec<_>>())
    })
}

/// Formats mean and range in percent.
fn percent(shares: &[f64]) -> String {
    let all = Spread::of(shares).times(100.0);
    match shares.len() {
        0 => "not measured".to_owned(),
        1 => format!("{:.2} %, one seed", all.median),
        _ => format!("{:.2} % [{:.2}, {:.2}]", 100.0 * mean(shares), all.lowest, all.highest),
    }
}

/// Formats the lowest cosine, with a remark if the rule coincides with backpropagation.
fn alike(raw: &Value, row: &Row) -> String {
    let least = cosines(raw, row).into_iter().fold(f64::INFINITY, f64::min);
    let remark = if least >= alignment::COINCIDES { ": coincides with backprop" } else { "" };
    format!("{least:.2}{remark}")
}

/// Returns all rows with their rules and cosines in Markdown.
pub(crate) fn page(raw: &Value) -> String {
    let mut page = "| network, rule | top-1 | with mirror images | six views | cosine: start, middle, end | lowest | rule | training |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows() {
        let runs = &raw["rows"][row.name()];
        let plain = values(raw, &row, PLAIN);
        if plain.is_empty() {
            continue;
        }
        let [flip, six] = [FLIP, SIX].map(|key| percent(&values(raw, &row, key)));
        let shown: Vec<String> =
            cosines(raw, &row).iter().map(|cosine| format!("{cosine:.2}")).collect();
        page += &format!(
            "| {} | {} | {flip} | {six} | {} | {} | {} | {} steps, {:.0} s |\n",
            row.name(),
            percent(&plain),
            shown.join(", "),
            alike(raw, &row),
            variants::options(&runs[0]["rule"]),
            runs[0]["steps"],
            mean(&values(raw, &row, "train_seconds")),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_row_are_accepted() {
        for row in rows() {
            assert_eq!(row.plan(7).unwrap().settings.seed, 7);
        }
    }
}
