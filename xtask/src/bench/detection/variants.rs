//! Detectors that differ from the default in one part: what each part is worth.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::ThreadPool;
use serde_json::{Map, Value, json};
use zor::detection::{Detection, Detector, DetectorConfig};
use zor::prelude::Device;
use zor::training::Method;

use super::super::spread::{Spread, mean};
use super::{Split, bootstrap, by_table, mean_by_name, name, splitter};
use crate::paths::text;
use crate::table::Table;

/// Number of normal rows to learn from.
const ROWS: usize = 64;
/// Numbers of random choices of the rows, each with another seed.
const DRAWS: u64 = 2;
/// Name of the default.
const DEFAULT: &str = "default";
/// Scores of the default without the division by the errors of normal rows.
const UNSCALED: &str = "errors not scaled";

/// Settings of each variant.
const VARIANTS: [(&str, &[(&str, &str)]); 11] = [
    (DEFAULT, &[]),
    ("no gate (threshold -1e9)", &[("rule_settings.threshold", "-1e9")]),
    ("mask 0.05", &[("detection.mask", "0.05")]),
    ("mask 0.5", &[("detection.mask", "0.5")]),
    ("no noise", &[("detection.noise", "0.0")]),
    (
        "no normalisation",
        &[
            ("rule_settings.normalize_signal", "false"),
            ("rule_settings.normalize_presynaptic", "false"),
        ],
    ),
    ("AdamW at 0.003", &[("optimizer", "'adamw'"), ("learning_rate", "0.003")]),
    ("rule backprop", &[("rule", "'backprop'")]),
    ("hidden 256", &[("hidden", "256")]),
    ("400 steps", &[("steps", "400")]),
    (AUTODIFF, &[]),
];
/// The default, trained by gradients of burn's autodiff.
const AUTODIFF: &str = "burn's autodiff";

/// Measures the tables. `keep` receives the numbers after each.
pub(super) fn run<'a>(
    tables: impl Iterator<Item = &'a PathBuf>,
    pool: &ThreadPool,
    keep: &mut dyn FnMut(&Value) -> Result<(), String>,
) -> Result<(), String> {
    let mut peer = splitter("variants")?;
    let mut all = Map::new();
    for path in tables {
        let mut runs = Vec::new();
        for draw in 0..DRAWS {
            let question = json!({
                "table": path.to_string_lossy(), "rows": ROWS, "draw": draw, "peers": false,
            });
            let split = Split::read(&peer.ask(&question.to_string())?)?;
            let mut found = Map::new();
            for (variant, settings) in VARIANTS {
                let (auroc, unscaled) = pool
                    .install(|| aurocs(&split, draw, variant, settings))
                    .map_err(|error| format!("{variant}: {error}"))?;
                found.insert(variant.to_owned(), auroc.into());
                if variant == DEFAULT {
                    found.insert(UNSCALED.to_owned(), unscaled.into());
                }
            }
            runs.push(json!({ "draw": draw, "auroc": found }));
        }
        let means = mean_by_name(&runs, "auroc");
        let means: Vec<String> = means.iter().map(|(n, auroc)| format!("{n} {auroc:.3}")).collect();
        println!("variants, {}: {}", name(path), means.join(", "));
        all.insert(name(path), runs.into());
        keep(&all.clone().into())?;
    }
    Ok(())
}

/// AUROC of a variant: of its score, and of its errors without scales.
fn aurocs(
    split: &Split,
    seed: u64,
    variant: &str,
    settings: &[(&str, &str)],
) -> Result<(f64, f64), String> {
    let method = if variant == AUTODIFF { Method::Autodiff } else { Method::LocalRule };
    let mut config = DetectorConfig::new().seed(seed).method(method);
    for (key, value) in settings {
        let value: toml::Table = format!("value = {value}").parse().map_err(text)?;
        config = config.set(key, value["value"].clone()).map_err(text)?;
    }
    let mut detector = Detector::fit(&config, &split.train, &Device::flex()).map_err(text)?;
    let found = detector.score(&split.test).map_err(text)?;
    let scales = &detector.scoring().scales;
    let scores: Vec<f32> = found.iter().map(|found| found.score).collect();
    let error = |found: &Detection| {
        found.parts.iter().zip(scales).map(|(part, scale)| part * part * scale).sum()
    };
    let errors: Vec<f32> = found.iter().map(error).collect();
    Ok((split.auroc(&scores)?, split.auroc(&errors)?))
}

/// Adds the lead of the default over each variant, of the numbers that [`run`] keeps.
pub(super) fn figures(raw: &Value, table: &mut Table) {
    let tables = by_table(raw, "auroc", |_| true);
    let Some(variants) = tables.first() else { return };
    for variant in variants.keys().filter(|name| *name != DEFAULT) {
        let lead = |found: &BTreeMap<String, f64>| Some(found.get(DEFAULT)? - found.get(variant)?);
        let leads: Vec<f64> = tables.iter().filter_map(lead).collect();
        let [low, high] = bootstrap(&leads);
        let ahead = leads.iter().filter(|lead| **lead > 0.0).count();
        table.add(
            &format!("{ROWS} normal rows: lead over the variant: {variant}"),
            "-".to_owned(),
            format!(
                "{:+.4} [{low:+.4}, {high:+.4}], ahead on {ahead} of {}; of tables {}",
                mean(&leads),
                leads.len(),
                Spread::of(&leads).with_unit("")
            ),
            true,
        );
    }
}
