//! Variants of the rule to compare, and the figures that are kept of a run under one of them.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use zor::backprop::alignment;
use zor::core::{Rule, SignalGate};
use zor::prelude::{Device, Views};
use zor::task::{Data, Plan};
use zor::training::evaluate::evaluate;
use zor::training::{Method, Training};

use crate::clock::{Machine, TIMES_PRODUCTS};
use crate::paths::text;
use crate::results;

/// A variant of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The rule of the preset.
    Preset,
    /// The rule of the first version, for shuffled batches: spikes gate the correlation alone.
    Classic,
    /// Spikes gate the signal on its way down, without normalization: backpropagation through
    /// ReLU.
    Gated,
    /// Gated, with the signal of each unit divided by its norm.
    Signal,
    /// Gated, with the activity of each presynaptic unit divided by its norm.
    Presynaptic,
    /// Gated, with both normalizations.
    Normalised,
    /// Both normalizations, with a threshold at which units fire below zero too.
    Low,
    /// Both normalizations, with a threshold that silences almost no unit.
    Lowest,
    /// Both normalizations; spikes gate the correlation alone, and the signal passes silent units.
    Ungated,
}

impl Variant {
    pub(crate) const STUDIED: [Self; 8] = [
        Self::Classic,
        Self::Gated,
        Self::Signal,
        Self::Presynaptic,
        Self::Normalised,
        Self::Low,
        Self::Lowest,
        Self::Ungated,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Preset => "preset",
            Self::Classic => "classic",
            Self::Gated => "gated",
            Self::Signal => "gated, signal normalised",
            Self::Presynaptic => "gated, presynaptic normalised",
            Self::Normalised => "gated, both normalised",
            Self::Low => "both normalised, threshold -0.5",
            Self::Lowest => "both normalised, threshold -2",
            Self::Ungated => "both normalised, signal ungated",
        }
    }

    /// Returns the rule of a preset with these options and the initial scale of the preset.
    pub(crate) fn of(self, preset: &Rule) -> Rule {
        let normalised = Rule {
            threshold: 0.0,
            signal_gate: SignalGate::OnTheWayDown,
            gate_input: false,
            gate_output: false,
            stateful: false,
            normalize_signal: true,
            normalize_presynaptic: true,
            ..preset.clone()
        };
        match self {
            Self::Preset => preset.clone(),
            Self::Classic => {
                Rule { stateful: false, initial_scale: preset.initial_scale, ..Rule::classic() }
            }
            Self::Gated => {
                Rule { normalize_signal: false, normalize_presynaptic: false, ..normalised }
            }
            Self::Signal => Rule { normalize_presynaptic: false, ..normalised },
            Self::Presynaptic => Rule { normalize_signal: false, ..normalised },
            Self::Normalised => normalised,
            Self::Low => Rule { threshold: -0.5, ..normalised },
            Self::Lowest => Rule { threshold: -2.0, ..normalised },
            Self::Ungated => Rule { signal_gate: SignalGate::InCorrelation, ..normalised },
        }
    }
}

/// Formats the options that differ between variants.
pub(crate) fn options(rule: &Value) -> String {
    let is = |key: &str| rule[key] == true;
    let gate = if rule["signal_gate"] == "in_correlation" { "correlation" } else { "signal" };
    let normalised = match (is("normalize_signal"), is("normalize_presynaptic")) {
        (true, true) => "signal and presynaptic normalised",
        (true, false) => "signal normalised",
        (false, true) => "presynaptic normalised",
        (false, false) => "nothing normalised",
    };
    format!("threshold {}, {gate} gated, {normalised}", rule["threshold"])
}

/// Number of images of the evaluations during training.
const FEW: usize = 100;

/// Trains, and returns the figures that are kept of the run. The cosine between the updates of the
/// rule and the gradient of backpropagation is computed at the start, in the middle and at the end.
pub(crate) fn train(plan: &Plan, data: &Data, method: Method) -> Result<Value, String> {
    // The tree may change while a long training runs.
    let (commit, device) = (results::commit(), Device::flex());
    let (mut cosines, mut failed) = (Vec::new(), None);
    let mut look = |training: &Training| match alignment::of_run(&training.network, plan, data) {
        Ok(found) => cosines.push(alignment::mean(&found)),
        Err(error) => failed = Some(text(error)),
    };
    let start = Training::start(plan, data, &device).map_err(text)?;
    look(&start);
    // The learning curve is not kept: evaluations during training use few images.
    let first: Vec<usize> = (0..FEW.min(data.evaluation.len())).collect();
    let few = data.evaluation.subset(&first).map_err(text)?;
    let quick = Data { evaluation: few, ..data.clone() };
    let trained = start
        .run(plan, &quick, method, &mut |training| {
            if training.steps == plan.settings.steps / 2 || training.steps == plan.settings.steps {
                look(training);
            }
            ControlFlow::Continue(())
        })
        .map_err(text)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let evaluate = |views: Views| {
        let mut plan = plan.clone();
        plan.settings.test_time_flip = views.flip;
        plan.settings.test_time_shift = views.shift;
        evaluate(&trained.network, &plan, &*data.evaluation, &device).map_err(text)
    };
    let score = evaluate(Views::default())?;
    let mut kept = json!({
        "commit": commit, "seed": plan.settings.seed, "steps": trained.steps,
        "samples_seen": trained.samples_seen, "train_samples": data.train.len(),
        "eval_samples": data.evaluation.len(), "train_seconds": trained.train_seconds,
        TIMES_PRODUCTS: Machine::measured().times_products(&trained),
        "parameters": trained.network.n_parameters(), "optimizer": plan.settings.optimizer,
        "rule": plan.settings.rule_settings, "cosines": cosines,
    });
    if let (Some(top1), Some(confusion)) = (score.figure("top1"), &score.confusion) {
        kept["top1"] = top1.into();
        let flip = Views { flip: true, ..Views::default() };
        kept["top1_flip"] = evaluate(flip)?.figure("top1").into();
        kept["top1_six_views"] = evaluate(Views { shift: true, ..flip })?.figure("top1").into();
        kept["per_class"] = json!(confusion.per_class());
    } else {
        kept["psnr_db"] = score.deviation.psnr_db().into();
    }
    Ok(kept)
}
