//! The rule in translation: variants of the rule under AdamW and Muon, and thresholds of attention,
//! in short trainings. Scores are of development pairs.

use serde_json::{Map, Value, json};
use zor::backprop::alignment;
use zor::prelude::Device;
use zor::settings::OptimizerName;
use zor::task::Plan;
use zor::training::Method;
use zor::training::evaluate::evaluate;

use super::super::common::train_to_end;
use super::super::variants::Variant;
use super::{load, plan_of};
use crate::paths::text;
use crate::results;
use crate::table::Table;

const CORPUS: &str = "en-hau";
const STEPS: u64 = 500;
/// Number of development pairs of the scores.
const PAIRS: usize = 300;
const VARIANTS: [Variant; 4] =
    [Variant::Classic, Variant::Gated, Variant::Normalised, Variant::Ungated];
/// Optimizers with their learning rates.
const OPTIMIZERS: [(OptimizerName, f32); 2] =
    [(OptimizerName::AdamW, 2e-3), (OptimizerName::Muon, 0.02)];
/// Thresholds of attention, with the gated rule and Muon.
const THRESHOLDS: [f32; 3] = [0.0, 1.0, 2.0];

/// Plan of a short training. Without dropout, updates and gradients are of one network.
fn plan(optimizer: OptimizerName, rate: f32, threshold: f32) -> Result<Plan, String> {
    let settings = format!(
        "steps = {STEPS}
         optimizer = '{optimizer}'
         learning_rate = {rate:?}
         translation.lexicon = false
         translation.dropout = 0.0
         translation.attention_threshold = {threshold:?}"
    );
    plan_of(CORPUS, 0, &settings)
}

/// Trains all variants.
pub(super) fn measured() -> Result<Value, String> {
    let mut all = Map::new();
    for (optimizer, rate) in OPTIMIZERS {
        for variant in VARIANTS {
            let mut plan = plan(optimizer, rate, 0.0)?;
            plan.settings.rule_settings = variant.of(&plan.settings.rule_settings);
            all.insert(format!("{}, {optimizer}", variant.name()), trained(plan)?);
        }
    }
    let (optimizer, rate) = OPTIMIZERS[1];
    for threshold in THRESHOLDS {
        all.insert(format!("threshold {threshold}"), trained(plan(optimizer, rate, threshold)?)?);
    }
    Ok(all.into())
}

/// Trains, and returns scores, the share of pairs and units that fire, and the cosines between the
/// updates of the rule and the gradient of backpropagation, layer by layer.
fn trained(mut plan: Plan) -> Result<Value, String> {
    let data = load(&mut plan)?;
    let trained = train_to_end(&plan, &data, Method::LocalRule)?;
    let few: Vec<usize> = (0..PAIRS.min(data.evaluation.len())).collect();
    let few = data.evaluation.subset(&few).map_err(text)?;
    let score = evaluate(&trained.network, &plan, &*few, &Device::flex()).map_err(text)?;
    let cosines = alignment::of_run(&trained.network, &plan, &data).map_err(text)?;
    let found = json!({
        "commit": results::commit(),
        "train_seconds": trained.train_seconds,
        "rule": plan.settings.rule_settings,
        "bleu": score.figure("bleu"),
        "chrf": score.figure("chrf"),
        "perplexity": score.figure("perplexity"),
        "spike_rates": trained.network.spike_rates(),
        "cosines": cosines,
    });
    println!("{found}");
    Ok(found)
}

/// Adds the measured figures.
pub(super) fn figures(raw: &Value, table: &mut Table) {
    for (name, found) in raw.as_object().into_iter().flatten() {
        let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
        let cosines = found["cosines"].as_array().cloned().unwrap_or_default();
        let lowest = cosines.iter().filter_map(Value::as_f64).fold(f64::INFINITY, f64::min);
        let measured = format!(
            "{:.1} chrF, perplexity {:.1}, lowest cosine {lowest:.3}",
            100.0 * number("chrf"),
            number("perplexity"),
        );
        table.add(&format!("translation, the rule: {name}"), "-".to_owned(), measured, true);
    }
}
