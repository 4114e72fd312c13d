//! Symptoms of a network that learns badly without an error, found in some steps of a training.
//!
//! An examined step is the usual one. Its updates are compared with the weights, and the signals of
//! the layers with one another; the share of units that fire is that of its batch.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use zor_core::burn::tensor::Tensor;
use zor_core::ops::Rows;
use zor_core::{ErrorMetrics, Network, Optimizer, Parameter, Workspace, ops};

/// Largest quotient of the signals of two layers.
const SIGNALS: f64 = 1e6;
/// Largest change of a weight matrix in a step, relative to its size.
const CHANGE: f64 = 1.0;
/// Least number of steps after which an error that is not lower is a symptom.
const STEPS: u64 = 20;
/// Smallest relative decrease of the error in a training that learns something.
const DECREASE: f64 = 1e-3;

/// A kind of [`Symptom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SymptomKind {
    /// No unit of a layer fires, so nothing passes it.
    Silent,
    /// All units of a layer fire, so its gate has no effect.
    Saturated,
    /// The signal is zero where a layer learns from it.
    NoSignal,
    /// The signal is far weaker at the input than at the output.
    Vanishing,
    /// The signal is far stronger at the input than at the output.
    Exploding,
    /// A step changes weights by more than their size.
    LargeUpdate,
    /// A step leaves weights as they are although there is a signal.
    NoUpdate,
    /// The error has not decreased.
    NotLearned,
}

/// A symptom of a network that learns badly, with the setting to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Symptom {
    /// Its kind.
    pub kind: SymptomKind,
    /// Position of the layer, from 0 at the input; `None` for the whole network.
    pub layer: Option<usize>,
    message: String,
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Examines steps of a training. Each symptom is reported once.
#[derive(Debug, Default)]
pub struct Health {
    symptoms: Vec<Symptom>,
    /// Layers that were silent or saturated in the last examined step.
    suspected: BTreeSet<(SymptomKind, usize)>,
}

impl Health {
    /// Symptoms in the order in which they were found.
    pub fn symptoms(&self) -> &[Symptom] {
        &self.symptoms
    }

    /// Runs a training step with an optimizer that is watched, and examines it.
    ///
    /// # Errors
    /// Those of the step.
    pub fn examine<R, E>(
        &mut self,
        network: &mut Network,
        optimizer: &dyn Optimizer,
        step: impl FnOnce(&mut Network, &dyn Optimizer) -> Result<R, E>,
    ) -> Result<R, E> {
        let watched = Watched { optimizer, seen: Mutex::default() };
        let done = step(network, &watched)?;
        let seen = watched.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.compare_updates(network, &seen);
        self.compare_spikes(network);
        Ok(done)
    }

    /// Compares the errors at the start and at the end of a training.
    pub fn compare_errors(&mut self, first: &ErrorMetrics, last: &ErrorMetrics, steps: u64) {
        let (first, last) = (first.mean_squared(), last.mean_squared());
        if steps >= STEPS && last > first * (1.0 - DECREASE) {
            let message = format!(
                "the training has not lowered the error: {first:.3e} after the first step, \
                 {last:.3e} at the end; change learning_rate, or look for constant inputs"
            );
            self.add(SymptomKind::NotLearned, None, message);
        }
    }

    fn compare_updates(&mut self, network: &Network, seen: &[Seen]) {
        let mut signals: Vec<(usize, &str, f64)> = Vec::new();
        for (position, layer) in network.layers().iter().enumerate() {
            let name = format!("layer {position} ({})", layer.kind());
            for parameter in layer.parameters() {
                let Some(seen) = seen.iter().find(|seen| seen.is_of(parameter)) else { continue };
                let of = parameter.name();
                if seen.is_idle {
                    // The layer below is silent.
                } else if seen.drive == 0.0 {
                    let message = format!(
                        "no signal reaches the {of} of {name}; lower rule_settings.threshold, or \
                         look for a silent layer above"
                    );
                    self.add(SymptomKind::NoSignal, Some(position), message);
                } else if seen.change == 0.0 {
                    let message =
                        format!("a step leaves the {of} of {name} as it is; raise learning_rate");
                    self.add(SymptomKind::NoUpdate, Some(position), message);
                }
                let ratio = seen.change / seen.size;
                if parameter.shape()[0] > 1 && seen.size > 0.0 && ratio > CHANGE {
                    let message = format!(
                        "a step changes the {of} of {name} by {ratio:.1} times its size; lower \
                         learning_rate"
                    );
                    self.add(SymptomKind::LargeUpdate, Some(position), message);
                }
                if let Some(signal) = seen.signal.filter(|signal| *signal > 0.0) {
                    signals.push((position, layer.kind(), signal));
                }
            }
        }
        let (Some(&low), Some(&top)) = (signals.first(), signals.last()) else { return };
        let (ratio, ends) =
            (low.2 / top.2, [low, top].map(|(at, kind, _)| format!("layer {at} ({kind})")));
        let [low_name, top_name] = ends;
        if ratio < 1.0 / SIGNALS {
            let message = format!(
                "the signal vanishes: at {low_name} it is {ratio:.0e} of that at {top_name}; set \
                 rule_settings.normalize_signal, or use residual branches"
            );
            self.add(SymptomKind::Vanishing, Some(low.0), message);
        } else if ratio > SIGNALS {
            let message = format!(
                "the signal explodes: at {low_name} it is {ratio:.0e} times that at {top_name}; \
                 set rule_settings.normalize_signal, or lower rule_settings.initial_scale"
            );
            self.add(SymptomKind::Exploding, Some(low.0), message);
        }
    }

    /// Finds layers that are silent or saturated for the second time.
    fn compare_spikes(&mut self, network: &Network) {
        let before = std::mem::take(&mut self.suspected);
        for (position, rate) in network.spike_rates() {
            let kind = match rate {
                0.0 => SymptomKind::Silent,
                1.0 => SymptomKind::Saturated,
                _ => continue,
            };
            if before.contains(&(kind, position)) {
                let layer = network.layers().get(position).map_or("layer", |layer| layer.kind());
                let message = match kind {
                    SymptomKind::Silent => format!(
                        "layer {position} ({layer}) is silent: no unit fires, so nothing passes \
                         it; lower rule_settings.threshold or learning_rate"
                    ),
                    _ => format!(
                        "layer {position} ({layer}) is saturated: all units fire, so its \
                         threshold has no effect; raise rule_settings.threshold"
                    ),
                };
                self.add(kind, Some(position), message);
            }
            self.suspected.insert((kind, position));
        }
    }

    fn add(&mut self, kind: SymptomKind, layer: Option<usize>, message: String) {
        if !self.symptoms.iter().any(|symptom| symptom.kind == kind && symptom.layer == layer) {
            self.symptoms.push(Symptom { kind, layer, message });
        }
    }
}

/// An update of a parameter.
#[derive(Debug)]
struct Seen {
    /// Address of the parameter, which does not move during a step.
    address: usize,
    /// Norm of the weights before the step.
    size: f64,
    /// Norm of the change of the weights.
    change: f64,
    /// Root mean square of the signal, if the layer passed it to the optimizer.
    signal: Option<f64>,
    /// Norm of the signal, or of the direction of the update without it.
    drive: f64,
    /// Whether the input of the layer is zero.
    is_idle: bool,
}

impl Seen {
    fn is_of(&self, parameter: &Parameter) -> bool {
        self.address == std::ptr::from_ref(parameter).addr()
    }
}

/// An optimizer whose updates are observed.
#[derive(Debug)]
struct Watched<'a> {
    optimizer: &'a dyn Optimizer,
    seen: Mutex<Vec<Seen>>,
}

impl Watched<'_> {
    fn watch(
        &self,
        parameter: &mut Parameter,
        (signal, drive, is_idle): (Option<f64>, f64, bool),
        step: impl FnOnce(&mut Parameter),
    ) {
        if parameter.is_frozen() {
            return step(parameter);
        }
        let before = values(parameter.value());
        step(parameter);
        let after = values(parameter.value());
        let change = norm(before.iter().zip(&after).map(|(a, b)| b - a));
        let size = norm(before.into_iter());
        let address = std::ptr::from_ref(&*parameter).addr();
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Seen { address, size, change, signal, drive, is_idle });
    }
}

impl Optimizer for Watched<'_> {
    fn name(&self) -> &str {
        self.optimizer.name()
    }

    fn check(&self) -> zor_core::Result<()> {
        self.optimizer.check()
    }

    fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, workspace: &mut Workspace) {
        let drive = norm(values(correlation.clone()).into_iter());
        self.watch(parameter, (None, drive, false), |parameter| {
            self.optimizer.step(parameter, correlation, workspace);
        });
    }

    fn step_in_factors(
        &self,
        parameter: &mut Parameter,
        presynaptic: &Tensor<2>,
        signal: &Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let found = values(signal.clone());
        let drive = norm(found.iter().copied());
        let mean = drive / (found.len().max(1) as f64).sqrt();
        let is_idle = values(presynaptic.clone()).iter().all(|value| *value == 0.0);
        self.watch(parameter, (Some(mean), drive, is_idle), |parameter| {
            self.optimizer.step_in_factors(parameter, presynaptic, signal, workspace);
        });
    }

    fn step_rows(
        &self,
        parameter: &mut Parameter,
        rows: Rows,
        correlation: Tensor<2>,
        workspace: &mut Workspace,
    ) {
        let drive = norm(values(correlation.clone()).into_iter());
        self.watch(parameter, (None, drive, false), |parameter| {
            self.optimizer.step_rows(parameter, rows, correlation, workspace);
        });
    }
}

/// Values of a tensor; none if the device is lost, which the step reports.
fn values(of: Tensor<2>) -> Vec<f32> {
    ops::read(of).unwrap_or_default()
}

/// Euclidean norm.
fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}
