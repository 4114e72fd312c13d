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
    /// Positions of the layers, from 0 at the input; none for the whole network.
    pub layers: Vec<usize>,
    message: String,
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Examines steps of a training. Each kind of symptom is reported once.
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

    /// Compares the errors before and after a training.
    pub fn compare_errors(&mut self, before: &ErrorMetrics, after: &ErrorMetrics, steps: u64) {
        let (before, after) = (before.mean_squared(), after.mean_squared());
        if steps >= STEPS && after > before * (1.0 - DECREASE) {
            self.add(
                SymptomKind::NotLearned,
                &[],
                &format!(
                    "the training has not lowered the squared error: {before:.3e} before it, \
                     {after:.3e} after it; change learning_rate, or look for constant inputs"
                ),
            );
        }
    }

    fn compare_updates(&mut self, network: &Network, seen: &[Seen]) {
        let (mut signals, mut largest) = (Vec::new(), 0.0f64);
        let [mut unreached, mut unmoved, mut thrown] = [const { Vec::new() }; 3];
        for (position, layer) in network.layers().iter().enumerate() {
            for parameter in layer.parameters() {
                let Some(seen) = seen.iter().find(|seen| seen.is_of(parameter)) else { continue };
                // Where the layer below is silent, nothing can be learned.
                if seen.drive == 0.0 && !seen.is_idle {
                    unreached.push(position);
                } else if seen.change == 0.0 && !seen.is_idle {
                    unmoved.push(position);
                }
                let ratio = seen.change / seen.size;
                if parameter.shape()[0] > 1 && seen.size > 0.0 && ratio > CHANGE {
                    thrown.push(position);
                    largest = largest.max(ratio);
                }
                if let Some(signal) = seen.signal.filter(|signal| *signal > 0.0) {
                    signals.push((position, signal));
                }
            }
        }
        self.add(
            SymptomKind::NoSignal,
            &unreached,
            "no signal reaches the weights; lower rule_settings.threshold, or look for a silent \
             layer above",
        );
        self.add(
            SymptomKind::NoUpdate,
            &unmoved,
            "a step leaves the weights as they are; raise learning_rate",
        );
        self.add(
            SymptomKind::LargeUpdate,
            &thrown,
            &format!(
                "a step changes weights by up to {largest:.1} times their size; lower learning_rate"
            ),
        );
        let (Some(&low), Some(&top)) = (signals.first(), signals.last()) else { return };
        let ratio = low.1 / top.1;
        if ratio < 1.0 / SIGNALS {
            let message = format!(
                "the signal vanishes: it is {ratio:.0e} of that at the top; set \
                 rule_settings.normalize_signal, or use residual branches"
            );
            self.add(SymptomKind::Vanishing, &[low.0], &message);
        } else if ratio > SIGNALS {
            let message = format!(
                "the signal explodes: it is {ratio:.0e} times that at the top; set \
                 rule_settings.normalize_signal, or lower rule_settings.initial_scale"
            );
            self.add(SymptomKind::Exploding, &[low.0], &message);
        }
    }

    /// Finds layers that are silent or saturated for the second time.
    fn compare_spikes(&mut self, network: &Network) {
        let before = std::mem::take(&mut self.suspected);
        let rates = network.spike_rates();
        for (kind, rate, message) in [
            (
                SymptomKind::Silent,
                0.0,
                "no unit fires, so nothing passes; lower rule_settings.threshold or learning_rate",
            ),
            (
                SymptomKind::Saturated,
                1.0,
                "all units fire, so the threshold has no effect; raise rule_settings.threshold",
            ),
        ] {
            // With a threshold below zero, the rule means almost all units to fire.
            let is_meant = kind == SymptomKind::Saturated && network.rule().threshold < 0.0;
            let found = rates.iter().filter(|(_, found)| *found == rate && !is_meant);
            let found: Vec<usize> = found.map(|(position, _)| *position).collect();
            let lasting = found.iter().filter(|at| before.contains(&(kind, **at)));
            self.add(kind, &lasting.copied().collect::<Vec<_>>(), message);
            self.suspected.extend(found.into_iter().map(|position| (kind, position)));
        }
    }

    /// Adds the first symptom of a kind. Without layers, only that of the whole network counts.
    fn add(&mut self, kind: SymptomKind, layers: &[usize], message: &str) {
        let is_there = kind == SymptomKind::NotLearned || !layers.is_empty();
        if !is_there || self.symptoms.iter().any(|symptom| symptom.kind == kind) {
            return;
        }
        let mut layers = layers.to_vec();
        layers.dedup();
        let numbers: Vec<String> = layers.iter().map(usize::to_string).collect();
        let message = match &numbers[..] {
            [] => message.to_owned(),
            [one] => format!("layer {one}: {message}"),
            [all @ .., last] => format!("layers {} and {last}: {message}", all.join(", ")),
        };
        self.symptoms.push(Symptom { kind, layers, message });
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

#[cfg(test)]
mod tests {
    use zor_core::burn::tensor::Device;
    use zor_core::{Random, Rule};
    use zor_optim::{AdamW, Sgd};

    use super::*;

    /// Symptoms of a dense network after some steps on random values.
    fn symptoms(sizes: &[usize], rule: Rule, optimizer: &dyn Optimizer) -> Vec<Symptom> {
        let device = Device::flex();
        let mut network = Network::dense(sizes).rule(rule).build(&device).unwrap();
        let mut random = Random::seeded(3);
        let rows = Parameter::normal("x", [16, sizes[0]], 1.0, &mut random, &device).value();
        let mut health = Health::default();
        for _ in 0..4 {
            let (rows, target) = (rows.clone(), rows.clone());
            health
                .examine(&mut network, optimizer, |network, optimizer| {
                    network.train_batch(optimizer, rows, target)
                })
                .unwrap();
        }
        health.symptoms
    }

    fn kinds(symptoms: &[Symptom]) -> Vec<SymptomKind> {
        symptoms.iter().map(|symptom| symptom.kind).collect()
    }

    #[test]
    fn a_network_that_learns_has_no_symptoms() {
        assert_eq!(symptoms(&[8, 16, 8], Rule::default(), &AdamW::default()), []);
        assert_eq!(symptoms(&[8, 16, 16, 8], Rule::classic(), &AdamW::default()), []);
    }

    #[test]
    fn silent_layers_are_found_once_with_what_they_hold_up() {
        let rule = Rule { threshold: 1e6, ..Rule::default() };
        let found = symptoms(&[8, 16, 16, 8], rule, &AdamW::default());
        assert_eq!(kinds(&found), [SymptomKind::NoSignal, SymptomKind::Silent]);
        let said = found[1].to_string();
        assert!(said.starts_with("layers 2 and 4: no unit fires"), "{said}");
    }

    #[test]
    fn saturated_layers_are_found() {
        let device = Device::flex();
        let mut network = Network::dense(&[4, 6, 4]).build(&device).unwrap();
        for layer in network.layers_mut() {
            for parameter in layer.parameters_mut() {
                let positive = parameter.value().abs();
                parameter.set_value(positive).unwrap();
            }
        }
        let (rows, mut health) = (Tensor::<2>::ones([3, 4], &device), Health::default());
        for _ in 0..2 {
            let rows = rows.clone();
            health
                .examine(&mut network, &AdamW::default(), |network, optimizer| {
                    network.train_batch(optimizer, rows.clone(), rows)
                })
                .unwrap();
        }
        assert_eq!(kinds(health.symptoms()), [SymptomKind::Saturated]);
    }

    #[test]
    fn updates_that_are_too_large_and_too_small_are_found() {
        let found = symptoms(&[8, 16, 8], Rule::default(), &AdamW::new(10.0));
        assert!(kinds(&found).contains(&SymptomKind::LargeUpdate), "{found:?}");
        let found = symptoms(&[8, 16, 8], Rule::default(), &Sgd::new(1e-20));
        assert_eq!(kinds(&found), [SymptomKind::NoUpdate]);
    }

    #[test]
    fn signals_that_vanish_or_explode_are_found() {
        for (scale, kind) in [(1e-3, SymptomKind::Vanishing), (40.0, SymptomKind::Exploding)] {
            let rule = Rule { initial_scale: scale, ..Rule::backprop() };
            let found = symptoms(&[16; 6], rule, &Sgd::new(1e-20));
            assert!(kinds(&found).contains(&kind), "{found:?}");
        }
    }

    #[test]
    fn a_step_is_the_usual_one_when_it_is_examined() {
        let device = Device::flex();
        let build = || Network::dense(&[4, 6, 4]).build(&device).unwrap();
        let (mut usual, mut examined) = (build(), build());
        let rows = Tensor::<2>::ones([3, 4], &device);
        let (optimizer, mut health) = (AdamW::default(), Health::default());
        for _ in 0..3 {
            usual.train_batch(&optimizer, rows.clone(), rows.clone()).unwrap();
            let rows = rows.clone();
            health
                .examine(&mut examined, &optimizer, |network, optimizer| {
                    network.train_batch(optimizer, rows.clone(), rows)
                })
                .unwrap();
        }
        let bits = |network: &Network| -> Vec<u32> {
            let parameters = network.layers().iter().flat_map(|layer| layer.parameters());
            parameters.flat_map(|one| values(one.value())).map(f32::to_bits).collect()
        };
        assert_eq!(bits(&usual), bits(&examined));
    }

    #[test]
    fn an_error_that_is_not_lower_is_a_symptom_of_the_network() {
        let error = |squared: f32| ErrorMetrics::between(&[squared.sqrt()], &[0.0]).unwrap();
        let mut health = Health::default();
        health.compare_errors(&error(1.0), &error(0.9), 100);
        health.compare_errors(&error(1.0), &error(1.0), 1);
        assert!(health.symptoms().is_empty());
        health.compare_errors(&error(1.0), &error(1.0), 100);
        assert_eq!(kinds(health.symptoms()), [SymptomKind::NotLearned]);
        assert!(health.symptoms()[0].layers.is_empty());
    }
}
