//! The figures of a run: the table and the JSON object.

use std::fmt::Write;

use serde_json::{Value, json};
use zor::train::Score;
use zor::{Result, alignment, shown};

use crate::finished::Run;

/// What the same network under autodiff is called.
pub(crate) const TWIN: &str = "backprop, same network";

/// The table for people; on standard error when standard output is for JSON.
pub(crate) fn table(run: &Run, to_stderr: bool) {
    let text = table_text(run);
    if to_stderr { tell!("{text}") } else { say!("{text}") }
}

fn table_text(run: &Run) -> String {
    let trained = &run.trained;
    let mut text = if run.settings.task.is_classification() {
        classification_rows(run)
    } else if !run.colours.is_empty() {
        colour_rows(run)
    } else {
        reconstruction_rows(run)
    };
    let rates: Vec<String> = trained
        .network
        .spike_rates()
        .iter()
        .map(|(layer, rate)| format!("layer {layer}: {:.1} %", 100.0 * rate))
        .collect();
    let _ = write!(
        text,
        "\n{} steps of {}, {} parameters, rule {}, seed {}\nspike rates: {}\nwritten to {}",
        trained.steps,
        trained.samples_seen / trained.steps.max(1),
        trained.network.n_parameters(),
        run.settings.rule_name,
        run.settings.seed,
        if rates.is_empty() { "no layer spikes".to_owned() } else { rates.join(", ") },
        shown(&run.folder)
    );
    text
}

fn reconstruction_rows(run: &Run) -> String {
    let trained = &run.trained;
    let mut text =
        format!("\n{:<24}{:>10}{:>12}{:>10}{:>12}\n", "", "PSNR", "1 - MAE", "time", "best at");
    let mut row = |name: &str, deviation: zor::core::Deviation, seconds: f64, at: String| {
        let _ = writeln!(
            text,
            "{name:<24}{:>7.2} dB{:>10.2} %{:>8.2} s{at:>12}",
            deviation.psnr_db(),
            100.0 * (1.0 - deviation.mae()),
            seconds
        );
    };
    row("Zor", trained.evaluation().deviation, trained.train_seconds, "the end".to_owned());
    for baseline in &run.baselines {
        let at = format!("step {}", baseline.best_step);
        row(baseline.output.name(), baseline.best, baseline.train_seconds, at);
    }
    if let Some(twin) = &run.twin {
        let deviation = twin.evaluation().deviation;
        row(TWIN, deviation, twin.train_seconds, "the end".to_owned());
    }
    text
}

fn colour_rows(run: &Run) -> String {
    let mut text = format!("\n{:<24}{:>10}{:>10}{:>11}\n", "", "PSNR", "MAE", "CIEDE2000");
    for colours in &run.colours {
        let (psnr, mae) = (colours.deviation.psnr_db(), colours.deviation.mae());
        let _ = writeln!(
            text,
            "{:<24}{psnr:>7.2} dB{mae:>10.4}{:>11.2}",
            colours.name, colours.difference
        );
    }
    let _ = write!(text, "trained in {:.0} s", run.trained.train_seconds);
    text
}

fn classification_rows(run: &Run) -> String {
    let mut text = format!("\n{:<26}{:>10}{:>12}\n", "", "top-1", "time");
    let twin = run.twin.as_ref().map(|twin| (TWIN, twin));
    for (name, trained) in [("Zor", &run.trained)].into_iter().chain(twin) {
        let score = trained.evaluation();
        let seconds = trained.train_seconds;
        let _ = writeln!(text, "{name:<26}{:>8.2} %{seconds:>10.1} s", score.headline());
    }
    let shares: Vec<String> = per_class(run)
        .into_iter()
        .map(|(name, share)| format!("{} {:.1} %", zor::escaped(&name), 100.0 * share))
        .collect();
    let _ = writeln!(text, "\nby class: {}", shares.join(", "));
    let cosine = alignment::mean(&run.cosines);
    if !cosine.is_finite() {
        return text;
    }
    let said = if cosine >= alignment::COINCIDES { ": coincides with backprop" } else { "" };
    let _ = write!(text, "cosine of updates with backprop's gradient: {cosine:.2}{said}");
    text
}

/// The share of each class that was told right, of those that there are images of.
fn per_class(run: &Run) -> Vec<(String, f64)> {
    let shares = run.trained.evaluation().confusion.map_or_else(Vec::new, |c| c.per_class());
    let named = run.data.evaluation.class_names().iter().cloned().zip(shares);
    named.filter_map(|(name, share)| Some((name, share?))).collect()
}

/// One JSON object, the last line of standard output.
pub(crate) fn json(run: &Run) -> Result<()> {
    let (settings, trained) = (&run.settings, &run.trained);
    let rates: Vec<f32> = trained.network.spike_rates().into_iter().map(|(_, rate)| rate).collect();
    let mut object = json!({
        "task": settings.task,
        "rule": settings.rule_name,
        "model": settings.model,
        "device": run.device_name,
        "seed": settings.seed,
        "parameters": trained.network.n_parameters(),
        "train_samples": run.data.train.len(),
        "eval_samples": run.data.evaluation.len(),
        "steps": trained.steps,
        "samples_seen": trained.samples_seen,
        "train_seconds": trained.train_seconds,
        "spike_rates": rates,
        "optimizer": settings.optimizer,
        "run": run.folder.to_string_lossy(),
        "identity": run.identity,
    });
    add(&mut object, metrics(&trained.evaluation()));
    if settings.task.is_classification() {
        let shares = per_class(run).into_iter().map(|(name, share)| (name, share.into()));
        object["per_class"] = Value::Object(shares.collect());
        if alignment::mean(&run.cosines).is_finite() {
            object["cosine"] = alignment::mean(&run.cosines).into();
        }
    }
    let mut baselines = serde_json::Map::new();
    for baseline in &run.baselines {
        let score = Score { deviation: baseline.best, ..Score::default() };
        let mut found = metrics(&score);
        found["best_step"] = baseline.best_step.into();
        found["train_seconds"] = baseline.train_seconds.into();
        baselines.insert(baseline.output.name().to_owned(), found);
    }
    for colours in &run.colours {
        let score = Score { deviation: colours.deviation, ..Score::default() };
        let mut found = metrics(&score);
        found["ciede2000"] = colours.difference.into();
        match colours.name {
            "Zor" => object["ciede2000"] = colours.difference.into(),
            name => _ = baselines.insert(name.to_owned(), found),
        }
    }
    if let Some(twin) = &run.twin {
        let plain = || metrics(&twin.evaluation());
        let mut found = baselines.remove(TWIN).unwrap_or_else(plain);
        found["train_seconds"] = twin.train_seconds.into();
        baselines.insert("backprop".to_owned(), found);
    }
    if !baselines.is_empty() {
        object["baselines"] = baselines.into();
    }
    say!("{object}");
    Ok(())
}

/// The figures of an evaluation as a JSON object; null where one is infinite or undefined.
pub(crate) fn metrics(score: &Score) -> Value {
    Value::Object(score.figures())
}

/// Puts the keys of one object into another.
pub(crate) fn add(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
