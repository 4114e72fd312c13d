//! What a run says in numbers: the table, the JSON object, the CSV file, and what a model file holds.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;
use zor::{Error, ErrorKind, Result, io};

use crate::finished::Run;

/// The table for people; on standard error when standard output is for JSON.
pub(crate) fn table(run: &Run, out: &Path, to_stderr: bool) {
    let text = table_text(run, out);
    if to_stderr { eprintln!("{text}") } else { println!("{text}") }
}

fn table_text(run: &Run, out: &Path) -> String {
    let trained = &run.trained;
    let found = trained.evaluation();
    let mut text =
        format!("\n{:<16}{:>10}{:>12}{:>10}{:>12}\n", "", "PSNR", "1 - MAE", "time", "best at");
    let mut row = |name: &str, deviation: zor::core::Deviation, seconds: f64, at: String| {
        let _ = writeln!(
            text,
            "{name:<16}{:>7.2} dB{:>10.2} %{:>8.2} s{at:>12}",
            deviation.psnr_db(),
            100.0 * deviation.accuracy(),
            seconds
        );
    };
    row("Zor", found, trained.train_seconds, "the end".to_owned());
    for baseline in &run.baselines {
        let at = format!("step {}", baseline.best_step);
        row(baseline.output.name(), baseline.best, baseline.train_seconds, at);
    }
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
        run.settings.batch.min(trained.samples_seen as usize),
        trained.network.n_parameters(),
        run.settings.rule_name,
        run.settings.seed,
        if rates.is_empty() { "no layer spikes".to_owned() } else { rates.join(", ") },
        out.display()
    );
    text
}

/// One JSON object, the last line of standard output.
pub(crate) fn json(run: &Run) -> Result<()> {
    let (settings, trained) = (&run.settings, &run.trained);
    let found = trained.evaluation();
    let baselines: serde_json::Map<_, _> = run
        .baselines
        .iter()
        .map(|baseline| {
            let object = json!({
                "psnr_db": baseline.best.psnr_db(),
                "mae": baseline.best.mean_absolute(),
                "accuracy": baseline.best.accuracy(),
                "best_step": baseline.best_step,
                "train_seconds": baseline.train_seconds,
            });
            (baseline.output.name().to_owned(), object)
        })
        .collect();
    let rates: Vec<f32> = trained.network.spike_rates().into_iter().map(|(_, rate)| rate).collect();
    let mut object = json!({
        "task": settings.task,
        "rule": settings.rule_name,
        "model": "dense",
        "device": run.device_name,
        "seed": settings.seed,
        "parameters": trained.network.n_parameters(),
        "train_samples": run.data.train.len(),
        "eval_samples": run.data.evaluation.len(),
        "steps": trained.steps,
        "samples_seen": trained.samples_seen,
        "train_seconds": trained.train_seconds,
        "psnr_db": found.psnr_db(),
        "mae": found.mean_absolute(),
        "accuracy": found.accuracy(),
        "spike_rates": rates,
        "optimizer": settings.optimizer,
    });
    if !baselines.is_empty() {
        object["baselines"] = baselines.into();
    }
    println!("{object}");
    Ok(())
}

/// The run's curve as comma-separated values.
pub(crate) fn metrics_csv(run: &Run, path: &Path) -> Result<()> {
    let mut text = "step,seconds,train_psnr_db,train_mae,eval_psnr_db,eval_mae\n".to_owned();
    for point in &run.trained.curve {
        let _ = writeln!(
            text,
            "{},{:.4},{:.4},{:.6},{:.4},{:.6}",
            point.step,
            point.seconds,
            point.training.psnr_db(),
            point.training.mean_absolute(),
            point.evaluation.psnr_db(),
            point.evaluation.mean_absolute()
        );
    }
    Ok(io::atomic::write(path, text.as_bytes())?)
}

/// `zor info`.
pub(crate) fn info(file: &Path) -> Result<()> {
    let header = io::info(file)?;
    println!("{}: Zor model, {} parameters, digest sound", file.display(), header.n_parameters());
    println!("input {:?}", header.input_shape);
    for (position, layer) in header.layers.iter().enumerate() {
        println!("layer {position}: {} {}", layer.kind, layer.config);
    }
    for tensor in &header.tensors {
        println!("tensor: layer {}, {} {:?}", tensor.layer, tensor.name, tensor.shape);
    }
    let rule = serde_json::to_string(&header.rule)
        .map_err(|error| Error::new(ErrorKind::Input, error.to_string()))?;
    println!("rule: {rule}");
    for (key, value) in &header.notes {
        println!("{key}: {value}");
    }
    Ok(())
}
