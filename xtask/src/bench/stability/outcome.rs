//! The outcome of a short training with a configuration.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use zor::core::ops;
use zor::prelude::*;
use zor::settings::{ScheduleName, Settings};
use zor::task::{Data, Plan, Task};
use zor::training::evaluate::evaluate;
use zor::training::{Method, Training};

use super::case::Case;
use super::data;

/// Kinds of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The error has decreased.
    Learned,
    /// The error has not decreased, and a symptom says so.
    LearnedNothing,
    /// The configuration is refused before the first step.
    Refused,
    /// The training ends with an error.
    Failed,
    /// The error has not decreased, and nothing says so.
    Silent,
    /// A weight or an output is not finite although every step has succeeded.
    NotFinite,
    /// A panic.
    Panicked,
    /// The training does not end.
    Hung,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Learned,
        Self::LearnedNothing,
        Self::Refused,
        Self::Failed,
        Self::Silent,
        Self::NotFinite,
        Self::Panicked,
        Self::Hung,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::LearnedNothing => "learned nothing, said",
            Self::Refused => "refused",
            Self::Failed => "ended with an error",
            Self::Silent => "learned nothing without a word",
            Self::NotFinite => "not finite without an error",
            Self::Panicked => "panic",
            Self::Hung => "hang",
        }
    }

    /// True for outcomes that must not be.
    pub(super) fn is_bad(self) -> bool {
        self >= Self::Silent
    }
}

/// The outcome of a training, with what was said.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    /// The error, the panic, or the symptoms.
    pub(super) words: String,
    /// Error of the evaluation before and after, relative to that of the targets' spread.
    pub(super) errors: [f64; 2],
    pub(super) seconds: f64,
}

/// Seconds after which a training hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Smallest relative decrease of the error of a network that has learned.
const DECREASE: f64 = 1e-3;

/// A task with the network of a configuration.
#[derive(Debug)]
struct Random(Case);

impl Task for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn load(&self, _: &Settings, _: &mut dyn FnMut(&str)) -> zor::Result<Data> {
        data::of(&self.0).map_err(zor::Error::input)
    }

    fn network(&self, _: &Settings, _: &[usize], _: usize) -> zor::Result<NetworkBuilder> {
        Ok(self.0.network())
    }
}

/// Trains with a configuration.
pub(super) fn of(case: &Case, method: Method) -> Outcome {
    let start = Instant::now();
    let found = catch_unwind(AssertUnwindSafe(|| trained(case, method)));
    let seconds = start.elapsed().as_secs_f64();
    match found {
        Ok(outcome) => Outcome { seconds, ..outcome },
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words =
                words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let words = words.unwrap_or_else(|| "no message".to_owned());
            Outcome { kind: Kind::Panicked, words, errors: [f64::NAN; 2], seconds }
        }
    }
}

fn outcome(kind: Kind, words: impl ToString, errors: [f64; 2]) -> Outcome {
    Outcome { kind, words: words.to_string(), errors, seconds: 0.0 }
}

fn trained(case: &Case, method: Method) -> Outcome {
    // A plan holds its task for ever; a thousand of them are small.
    let task: &'static dyn Task = Box::leak(Box::new(Random(case.clone())));
    let mut plan = Plan::of(task);
    plan.settings = Settings {
        task: "random".to_owned(),
        steps: case.steps,
        batch: case.batch,
        optimizer: case.optimizer,
        learning_rate: case.learning_rate,
        rule_settings: case.rule.clone(),
        schedule: ScheduleName::Constant,
        seed: case.seed,
        ..plan.settings
    };
    let nan = [f64::NAN; 2];
    let data = match task.load(&plan.settings, &mut |_| {}) {
        Ok(data) => data,
        Err(error) => return outcome(Kind::Refused, error, nan),
    };
    let device = Device::flex();
    let error_of = |network: &Network| {
        evaluate(network, &plan, &*data.evaluation, &device)
            .map(|score| score.deviation.mean_squared())
    };
    let start = match Training::start(&plan, &data, &device) {
        Ok(start) => start,
        Err(error) => return outcome(Kind::Refused, error, nan),
    };
    let before = match error_of(&start.network) {
        Ok(before) => before,
        Err(error) => return outcome(Kind::Refused, error, nan),
    };
    let (begun, mut steps) = (Instant::now(), 0);
    let trained = start.run(&plan, &data, method, &mut |training| {
        steps = training.steps;
        match begun.elapsed() > LIMIT {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let trained = match trained {
        Ok(trained) => trained,
        Err(error) if steps == 0 => return outcome(Kind::Refused, error, nan),
        Err(error) => return outcome(Kind::Failed, error, nan),
    };
    if trained.stopped {
        return outcome(Kind::Hung, format!("{steps} steps in {LIMIT:?}"), nan);
    }
    let after = match error_of(&trained.network) {
        Ok(after) => after,
        Err(error) => return outcome(Kind::NotFinite, error, nan),
    };
    let errors = [before, after];
    let parameters = trained.network.layers().iter().flat_map(|layer| layer.parameters());
    for parameter in parameters {
        let values = ops::read(parameter.value()).unwrap_or_default();
        if values.iter().any(|value| !value.is_finite()) {
            return outcome(Kind::NotFinite, parameter.name(), errors);
        }
    }
    // The loop of the comparison would say nothing.
    let symptoms = if method == Method::LocalRule { trained.symptoms() } else { &[] };
    let symptoms: Vec<String> = symptoms.iter().map(ToString::to_string).collect();
    let kind = match (after < before * (1.0 - DECREASE), symptoms.is_empty()) {
        (true, _) => Kind::Learned,
        (false, false) => Kind::LearnedNothing,
        (false, true) if before == 0.0 => Kind::Learned,
        (false, true) => Kind::Silent,
    };
    outcome(kind, symptoms.join("; "), errors)
}
