//! CIFAR-10 classification: three networks as their presets say, whose rule is backpropagation's, beside the classic rule and the normalised
//! one; with each the cosine of what its layers learn with the gradient that burn's autodiff finds.
//!
//! Every row is kept with the commit it was measured at; `--only WORDS` measures the rows whose names have these words, `--missing` the seeds
//! that are not kept yet.

use serde_json::{Value, json};
use zor::alignment;
use zor::images::{self, Images};
use zor::options::{DataSetName, ModelName, Options, Settings, TaskName};
use zor::prelude::Locations;
use zor::train::Teacher;

use super::spread::Spread;
use super::suite::{Choice, Keep, Suite};
use super::variants::{self, Variant};
use crate::paths::text;
use crate::results;
use crate::table::Table;

/// The suite and its place among the others.
pub(crate) const SUITE: Suite = Suite {
    name: "cifar-classification",
    data: Some(DataSetName::Cifar10),
    run,
    figures,
    remarks: include_str!("../../../docs/remarks/cifar-classification.md"),
};

/// One network under one rule, and what is promised of it.
struct Row {
    model: ModelName,
    variant: Variant,
    teacher: Teacher,
    seeds: u64,
    /// Least top-1 of the mean of the seeds; with images' mirror images if it says so.
    least: Option<(f64, &'static str)>,
    /// Most seconds of training.
    most: Option<f64>,
}

impl Row {
    fn new(model: ModelName, variant: Variant, seeds: u64) -> Self {
        Self { model, variant, teacher: Teacher::Rule, seeds, least: None, most: None }
    }

    fn name(&self) -> String {
        let model = match self.model {
            ModelName::Dense => "mlp",
            other => other.name(),
        };
        match (self.teacher, self.variant) {
            (Teacher::Autodiff, _) => format!("{model}, burn's autodiff"),
            (Teacher::Rule, Variant::Preset) => model.to_owned(),
            (Teacher::Rule, variant) => format!("{model}, {}", variant.name()),
        }
    }
}

/// The key of top-1 without mirror images, and with.
const PLAIN: &str = "top1";
const FLIP: &str = "top1_flip";
/// And from six views, as airbench's author reports it.
const SIX: &str = "top1_six_views";

/// Everything that is measured, cheapest first.
fn rows() -> Vec<Row> {
    let rows = |model, least, most, beside: &'static [Variant]| {
        let preset = Row { least: Some(least), most, ..Row::new(model, Variant::Preset, 3) };
        let beside = beside.iter().map(move |variant| Row::new(model, *variant, 1));
        std::iter::once(preset).chain(beside)
    };
    let beside = &[Variant::Normalised, Variant::Ungated, Variant::Classic];
    let mlp = rows(ModelName::Dense, (0.65, PLAIN), None, beside);
    let twin = Row { teacher: Teacher::Autodiff, ..Row::new(ModelName::Dense, Variant::Preset, 1) };
    let conv = rows(ModelName::Conv, (0.88, PLAIN), Some(3600.0), beside);
    let beside = &[Variant::Normalised, Variant::Classic];
    let airbench = rows(ModelName::Airbench, (0.935, FLIP), Some(960.0), beside);
    mlp.chain([twin]).chain(conv).chain(airbench).collect()
}

/// Trains all chosen networks.
pub(crate) fn run(choice: &Choice, keep: Keep<'_>) -> Result<Value, String> {
    let locations = Locations::from_environment(None);
    let data = Images::load(DataSetName::Cifar10, &locations).map_err(text)?;
    let kept = results::read("cifar-classification").unwrap_or_default();
    let mut all = kept["rows"].as_object().cloned().unwrap_or_default();
    for row in rows().into_iter().filter(|row| row.name().contains(&choice.only)) {
        let name = row.name();
        let known = kept["rows"][&name].as_array().filter(|_| choice.missing);
        let mut runs = known.cloned().unwrap_or_default();
        for seed in 0..row.seeds {
            if runs.iter().any(|run| run["seed"] == seed) {
                continue;
            }
            let options = Options {
                task: Some(TaskName::CifarClassification),
                model: Some(row.model),
                seed: Some(seed),
                ..Options::default()
            };
            let mut settings = Settings::resolve(&options).map_err(text)?;
            settings.rule = row.variant.of(&settings.rule);
            let data = images::choose(&data, &settings).map_err(text)?;
            let run = variants::train(&settings, &data, row.teacher)?;
            println!("{name}, seed {seed}: {run}");
            runs.push(run);
            all.insert(name.clone(), runs.clone().into());
            keep(&json!({ "suite": "cifar-classification", "rows": all }))?;
        }
    }
    Ok(json!({ "suite": "cifar-classification", "rows": all }))
}

/// All seeds' values of a row.
fn values(raw: &Value, row: &Row, key: &str) -> Vec<f64> {
    let runs = raw["rows"][row.name()].as_array().into_iter().flatten();
    runs.filter_map(|run| run[key].as_f64()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What is promised of the numbers that [`run`] returns.
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
        if let Some(most) = row.most {
            let slowest = Spread::of(&values(raw, row, "train_seconds")).highest;
            let name = format!("{name}: training time");
            let promised = format!("at most {most:.0} s");
            table.add(&name, promised, format!("{slowest:.0} s"), slowest <= most);
        }
        let twin = rows.iter().find(|twin| twin.teacher != row.teacher && twin.model == row.model);
        let least_cosine = cosines(raw, row).into_iter().fold(f64::INFINITY, f64::min);
        if let (Some(_), Some(twin)) = (least, twin) {
            let ahead = 100.0 * (top1 - mean(&values(raw, twin, key)));
            let name = format!("{name}: points ahead of burn's autodiff");
            table.add(&name, "at least -0.5".to_owned(), format!("{ahead:.2}"), ahead >= -0.5);
        } else if least.is_some() {
            // Then it is the same network under backpropagation.
            let name = format!("{name}: least cosine with backprop");
            let kept = least_cosine >= alignment::COINCIDES;
            table.add(&name, "at least 0.99".to_owned(), format!("{least_cosine:.4}"), kept);
        }
    }
}

/// Means over seeds of the cosines at the start, in the middle and at the end.
fn cosines(raw: &Value, row: &Row) -> [f64; 3] {
    [0, 1, 2].map(|at| {
        let runs = raw["rows"][row.name()].as_array().into_iter().flatten();
        mean(&runs.filter_map(|run| run["cosines"][at].as_f64()).collect::<Vec<_>>())
    })
}

/// Mean and range in percent.
fn percent(shares: &[f64]) -> String {
    let all = Spread::of(shares).times(100.0);
    match shares.len() {
        0 => "not measured".to_owned(),
        1 => format!("{:.2} %, one seed", all.median),
        _ => format!("{:.2} % [{:.2}, {:.2}]", 100.0 * mean(shares), all.lowest, all.highest),
    }
}

/// What the cosines say: their least, and that the rule coincides with backpropagation if it does.
fn alike(raw: &Value, row: &Row) -> String {
    let least = cosines(raw, row).into_iter().fold(f64::INFINITY, f64::min);
    let said = if least >= alignment::COINCIDES { ": coincides with backprop" } else { "" };
    format!("{least:.2}{said}")
}

/// The README's rows, in Markdown.
pub(crate) fn readme(raw: &Value) -> String {
    let mut table =
        "| `train cifar-classification` | test set | least cosine with backprop | beside it |\n\
                     |---|---|---|---|\n"
            .to_owned();
    for row in rows() {
        let runs = &raw["rows"][row.name()];
        let shown: Vec<String> =
            [(PLAIN, ""), (FLIP, " with mirror images"), (SIX, " from six views")]
                .into_iter()
                .filter(|(key, _)| *key == PLAIN || row.model == ModelName::Airbench)
                .map(|(key, views)| (values(raw, &row, key), views))
                .filter(|(shares, _)| !shares.is_empty())
                .map(|(shares, views)| percent(&shares) + views)
                .collect();
        if shown.is_empty() {
            continue;
        }
        let network = match (row.teacher, row.variant) {
            (Teacher::Rule, Variant::Preset) => {
                let name = row.name();
                let millions = runs[0]["parameters"].as_f64().unwrap_or(f64::NAN) / 1e6;
                let epochs = runs[0]["samples_seen"].as_f64().unwrap_or(f64::NAN)
                    / runs[0]["train_samples"].as_f64().unwrap_or(f64::NAN);
                let minutes = mean(&values(raw, &row, "train_seconds")) / 60.0;
                format!(
                    "`--model {name}`: {millions:.2} million parameters, {epochs:.0} epochs, {minutes:.0} minutes"
                )
            }
            (Teacher::Rule, Variant::Classic) => "the same, the classic rule".to_owned(),
            (Teacher::Rule, variant) => format!("the same, {}", variant.name()),
            (Teacher::Autodiff, _) => "the same under burn's autodiff".to_owned(),
        };
        let beside = if row.variant == Variant::Preset && row.teacher == Teacher::Rule {
            published(row.model)
        } else {
            ""
        };
        let shown = shown.join("; ");
        table += &format!("| {network} | {shown} | {} | {beside} |\n", alike(raw, &row));
    }
    table
}

/// What others have published of such a network.
fn published(model: ModelName) -> &'static str {
    match model {
        ModelName::Dense => {
            "the best dense network with local losses 69.07, backprop on the same 66.44; the first version about 40"
        }
        ModelName::Conv => "",
        ModelName::Airbench => {
            "airbench94, backprop and Muon on a GPU, six views: 94.0 (Jordan 2024); equilibrium propagation 93.9; a wide VGG with local losses 96.4"
        }
    }
}

/// All rows with their rules and cosines, in Markdown.
pub(crate) fn page(raw: &Value) -> String {
    let mut page = "| network, rule | top-1 | with mirror images | six views | cosine: start, middle, end | least | rule | training |\n\
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
