//! Results of a training run, as a table and as a JSON object.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::Finished;
use crate::report::Row;
use crate::task::Figure;
use crate::task::score::to_json;
use crate::{escaped, shown};

impl Finished {
    /// Returns the table of the network and its baselines, for people.
    pub fn table(&self) -> String {
        let trained = &self.trained;
        let mut text = format!("\n{}", rows(&self.report.rows));
        for line in &self.report.lines {
            let _ = writeln!(text, "{line}");
        }
        let rates: Vec<String> = trained
            .network
            .spike_rates()
            .iter()
            .map(|(layer, rate)| format!("layer {layer}: {:.1} %", 100.0 * rate))
            .collect();
        let _ = write!(
            text,
            "{} steps, batch size {}, {} parameters, rule {}, seed {}\nspike rates: {}\nwritten to {}",
            trained.steps,
            trained.samples_seen / trained.steps.max(1),
            trained.network.n_parameters(),
            self.plan.settings.rule,
            self.plan.settings.seed,
            if rates.is_empty() { "no gates".to_owned() } else { rates.join(", ") },
            shown(&self.folder)
        );
        text
    }

    /// Returns the results as one JSON object.
    pub fn to_json(&self) -> Value {
        let (settings, trained) = (&self.plan.settings, &self.trained);
        let rates: Vec<f32> =
            trained.network.spike_rates().into_iter().map(|(_, rate)| rate).collect();
        let mut object = json!({
            "task": settings.task,
            "rule": settings.rule,
            "model": settings.network,
            "device": self.device,
            "seed": settings.seed,
            "parameters": trained.network.n_parameters(),
            "train_samples": self.data.train.len(),
            "eval_samples": self.data.evaluation.len(),
            "steps": trained.steps,
            "samples_seen": trained.samples_seen,
            "train_seconds": trained.train_seconds,
            "spike_rates": rates,
            "optimizer": settings.optimizer,
            "run": self.folder.to_string_lossy(),
            "identity": self.identity,
        });
        let mut rows = self.report.rows.iter();
        if let Some(row) = rows.next() {
            add(&mut object, to_json(&row.figures));
        }
        add(&mut object, self.report.json.clone());
        let baselines: Map<String, Value> = rows
            .map(|row| {
                let mut found = to_json(&row.figures);
                if let Some(step) = row.best_step {
                    found.insert("best_step".to_owned(), step.into());
                }
                if let Some(seconds) = row.seconds {
                    found.insert("train_seconds".to_owned(), seconds.into());
                }
                (row.key.clone(), found.into())
            })
            .collect();
        if !baselines.is_empty() {
            object["baselines"] = baselines.into();
        }
        object
    }
}

/// Formats the table: a column for each metric of the first row, and columns for time and best step
/// if a row has them.
fn rows(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let has_seconds = rows.iter().any(|row| row.seconds.is_some());
    let has_step = rows.iter().any(|row| row.best_step.is_some());
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(20) + 2;
    let mut text = format!("{:<width$}", "");
    first.figures.iter().for_each(|figure| text += &format!("{:>12}", figure.label));
    if has_seconds {
        text += &format!("{:>12}", "time");
    }
    if has_step {
        text += &format!("{:>12}", "best at");
    }
    text.push('\n');
    for row in rows {
        text += &format!("{:<width$}", escaped(&row.name));
        for column in &first.figures {
            let figure = row.figures.iter().find(|figure| figure.name == column.name);
            text += &format!("{:>12}", figure.map_or_else(String::new, Figure::to_string));
        }
        if has_seconds {
            let seconds = row.seconds.map_or_else(String::new, |time| format!("{time:.2} s"));
            text += &format!("{seconds:>12}");
        }
        if has_step {
            let at = row.best_step.map_or("the end".to_owned(), |step| format!("step {step}"));
            text += &format!("{at:>12}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Adds all keys of `more` to an object.
pub(crate) fn add(object: &mut Value, more: Map<String, Value>) {
    if let Value::Object(object) = object {
        object.extend(more);
    }
}
