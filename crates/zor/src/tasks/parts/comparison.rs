//! Backpropagation on the batches of a training, for comparison.

use std::ops::ControlFlow;

use zor_core::burn::tensor::Device;

use crate::error::Result;
use crate::report::{Report, Row, Watch};
use crate::task::{Data, Outcome, Plan};
use crate::training::{self, Method, Training};

/// The name of the network under backpropagation in tables.
pub const BACKPROP: &str = "backprop, same network";

/// The network of an outcome under backpropagation; none unless the settings ask for it, or where
/// the user stops it. A failure is kept in the report.
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

/// Trains the network of a training under burn's autodiff, with its optimizer, batches and steps;
/// none if the user stops it.
///
/// # Errors
/// When a layer has no counterpart under autodiff, or the training fails.
pub fn train_with_autodiff(
    plan: &Plan,
    data: &Data,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Option<Training>> {
    watch.start(
        "backprop",
        plan.settings.steps,
        &format!("{} steps of the same network", plan.settings.steps),
    );
    let trained = training::run(plan, data, device, Method::Autodiff, &mut |training| {
        watch.step(training.steps, &mut || headline(training));
        if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    watch.finish(trained.steps, &headline(&trained));
    Ok((!trained.stopped).then_some(trained))
}

/// The row of a training under autodiff.
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

/// The learning curve of a training: steps, and the most important figure as it is shown.
pub fn curve(trained: &Training) -> Vec<(f64, f64)> {
    let points = trained.curve.iter();
    let point = |point: &training::Point| {
        let figure = point.evaluation.headline()?;
        Some((point.step as f64, figure.shown_value()))
    };
    points.filter_map(point).collect()
}

/// The most important figure of the last evaluation, for people.
pub fn headline(training: &Training) -> String {
    let evaluation = training.evaluation();
    evaluation.headline().map_or_else(String::new, ToString::to_string)
}
