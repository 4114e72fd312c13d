//! Backpropagation baseline with the same network, batches and steps as a training run.

use std::ops::ControlFlow;

use zor_core::burn::tensor::Device;

use crate::error::Result;
use crate::report::{Report, Row, Watch};
use crate::task::{Data, Outcome, Plan};
use crate::training::{self, Method, Training};

/// Name of the backpropagation baseline in tables.
pub const BACKPROP: &str = "backprop, same network";

/// Trains the backpropagation baseline. Returns `None` if the settings turn it off, the user stops
/// it, or it fails; a failure is recorded in the report.
pub fn train_backprop(
    outcome: &Outcome<'_>,
    watch: &mut dyn Watch,
    report: &mut Report,
) -> Option<Training> {
    if !outcome.plan.settings.baseline || watch.is_stopped() {
        return None;
    }
    let found = train_with_autodiff(outcome.plan, outcome.data, outcome.device, watch);
    report.keep(found).flatten()
}

/// Trains the network of a plan with burn's autodiff, with the same optimizer, batches and number
/// of steps. Returns `None` if the user stops it.
///
/// # Errors
/// When a layer is not supported under autodiff, or the training fails.
pub fn train_with_autodiff(
    plan: &Plan,
    data: &Data,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Option<Training>> {
    watch.start(
        "backprop",
        plan.settings.steps,
        &format!("{} steps with the same network", plan.settings.steps),
    );
    let trained = training::run(plan, data, device, Method::Autodiff, &mut |training| {
        watch.step(training.steps, &mut || headline(training));
        if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    watch.finish(trained.steps, &headline(&trained));
    Ok((!trained.stopped).then_some(trained))
}

/// Returns the table row of a baseline.
pub fn row(trained: &Training) -> Row {
    Row {
        name: BACKPROP.to_owned(),
        key: "backprop".to_owned(),
        figures: trained.evaluation().figures,
        seconds: Some(trained.train_seconds),
        curve: curve(trained),
        ..Row::default()
    }
}

/// Returns the learning curve: pairs of step and most important metric, in its display unit.
pub fn curve(trained: &Training) -> Vec<(f64, f64)> {
    let points = trained.curve.iter();
    let point = |point: &training::Point| {
        let figure = point.evaluation.headline()?;
        Some((point.step as f64, figure.shown_value()))
    };
    points.filter_map(point).collect()
}

/// Formats the most important metric of the last evaluation.
pub fn headline(training: &Training) -> String {
    let evaluation = training.evaluation();
    evaluation.headline().map_or_else(String::new, ToString::to_string)
}
