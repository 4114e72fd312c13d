//! The analog-spike gate: units pass their charge when it exceeds a threshold.
//!
//! Forward:
//! `charge += x - inhibition; spike = charge > threshold; y = f(charge * spike)`, then
//! `charge = 0 where spike`.
//!
//! Learning, with the signal `s` at the output:
//! - gate on the way down: `s = s * spike`;
//! - normalisation: `s = clamp(s / ||s||, ±1)`, with the norm of each unit over the batch. Units of
//!   a map are its channels, with norms over batch and positions. Inside a branch the mean norm of
//!   the units is kept: `s = s / ||s|| * sqrt(mean over units of ||s||^2)`;
//! - gate in the correlation only: the weights below learn from
//!   `s * |spike / (||spike|| + 1e-8)|`, and `s` passes down.
//!
//! With a target spike rate `r < 1` each step adds `(q - threshold - inhibition) / 20` to the
//! threshold or to the inhibition, which starts at zero; a share `r` of the batch's values `x` is
//! above `q`. The values that pass are then the largest of a batch, similar to a k-sparse code
//! (Makhzani and Frey 2014) but with one number per layer: their count differs between samples.
//! `r = 1` changes neither.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels};
use crate::activation::Activation;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::operation::Operation;
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::memory::{Memory, Mode};
use crate::ops::{self, GateSettings};
use crate::rule::{Rule, SignalGate, SparsityControl};
use crate::workspace::Workspace;

/// Position of a gate in the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatePosition {
    /// Before the first weights.
    Input,
    /// Between layers of weights.
    #[default]
    Hidden,
    /// After the last weights. Spikes in training only; predictions are the ungated values.
    Output,
}

/// Settings of a [`Gate`]. Unset values come from the network's [`Rule`](crate::Rule).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Position in the network.
    pub place: GatePosition,
    /// Overrides [`Rule::threshold`](crate::Rule::threshold).
    pub threshold: Option<f32>,
    /// Subtracted from the input.
    #[serde(skip_serializing_if = "is_zero")]
    pub inhibition: f32,
    /// Overrides [`Rule::sparsity`](crate::Rule::sparsity).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityControl>,
    /// Overrides [`Rule::target_spike_rate`](crate::Rule::target_spike_rate); hidden gates only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_spike_rate: Option<f32>,
    /// Overrides whether units spike: by default hidden gates do, and the rule decides for input
    /// and output.
    pub spikes: Option<bool>,
    /// Applied to the gated charge.
    pub activation: Activation,
    /// Overrides [`Rule::signal_gate`](crate::Rule::signal_gate).
    pub signal_gate: Option<SignalGate>,
    /// Overrides [`Rule::normalize_signal`](crate::Rule::normalize_signal).
    pub normalize_signal: Option<bool>,
    /// Overrides [`Rule::keep_signal_norm`](crate::Rule::keep_signal_norm).
    pub keep_signal_norm: Option<bool>,
    /// Overrides [`Rule::stateful`](crate::Rule::stateful).
    pub stateful: Option<bool>,
    /// Overrides [`Rule::min_charge`](crate::Rule::min_charge).
    pub min_charge: Option<f32>,
}

fn is_zero(number: &f32) -> bool {
    *number == 0.0
}

impl GateConfig {
    /// A gate at this position with all other settings from the rule.
    pub fn at(place: GatePosition) -> Self {
        Self { place, ..Self::default() }
    }
}

/// An analog-spike gate.
#[derive(Clone, Debug)]
pub struct Gate {
    place: GatePosition,
    spikes: bool,
    settings: GateSettings,
    inhibition: f32,
    target_spike_rate: Option<f32>,
    sparsity: SparsityControl,
    activation: Activation,
    signal_gate: SignalGate,
    normalize_signal: bool,
    keep_signal_norm: bool,
}

/// Positive where a unit fired in the last training pass, `[batch, units]`: the spikes, or the
/// outputs if they are positive exactly there.
pub(crate) const SPIKES: &str = "spikes";
/// Quantile of the last training batch: the target share of its inputs was above it.
const QUANTILE: &str = "quantile";
/// Maximum number of inputs that the quantile is computed from.
const SAMPLE: usize = 1 << 14;
/// Share of the distance to the quantile that threshold or inhibition move in a step.
const FOLLOWS: f32 = 0.05;
/// Training passes from one quantile to the next on a device with a queue, which a read drains.
const EVERY: u64 = 8;
/// Share of the target that gates aim at, so that held-out samples stay below the target.
const MARGIN: f32 = 0.95;
/// Charge that did not fire, `[batch, units]`.
pub(crate) const CHARGE: &str = "charge";

impl Gate {
    /// Returns true if units spike, false if they pass every value.
    pub fn spikes(&self) -> bool {
        self.spikes
    }

    /// Returns the threshold, the minimum charge, and whether charges carry over to the next step.
    pub fn settings(&self) -> GateSettings {
        self.settings
    }

    /// Returns the quantile that the target share of inputs is above, or `None` if this pass
    /// computes none. Reads the device.
    fn quantile(&self, inputs: &Tensor<2>, pass: &mut Pass<'_>) -> Option<f32> {
        // At a target of 1 all units may fire.
        let target = self.target_spike_rate.filter(|target| *target < 1.0)?;
        if ops::is_asynchronous(pass.workspace.device())
            && !pass.memory.next_pass().is_multiple_of(EVERY)
        {
            return None;
        }
        let share = MARGIN * target;
        let [rows, units] = inputs.dims();
        let rows = rows.min((SAMPLE / units).max(1));
        let sample = inputs.clone().slice([0..rows, 0..units]);
        // A lost device fails the step itself, with its error.
        let mut values = ops::read(sample).ok()?;
        let above = (share * values.len() as f32) as usize;
        let at = values.len().checked_sub(1 + above)?;
        let (_, quantile, _) = values.select_nth_unstable_by(at, f32::total_cmp);
        quantile.is_finite().then_some(*quantile)
    }

    /// Returns true if outputs are positive exactly where units fire, so that no spikes are kept.
    fn outputs_show_spikes(&self) -> bool {
        // The outputs of a network may be changed in place by their user.
        self.place != GatePosition::Output
            && self.settings.threshold >= 0.0
            && matches!(self.activation, Activation::None)
    }

    /// Returns the threshold for formats without infinity. No finite charge is beyond the limits.
    fn finite_threshold(&self) -> f32 {
        self.settings.threshold.clamp(f32::MIN, f32::MAX)
    }

    fn charge(
        &self,
        memory: &mut Memory,
        workspace: &mut Workspace,
        shape: [usize; 2],
    ) -> Tensor<2> {
        match memory.take(CHARGE) {
            Some(charge) if charge.dims() == shape => charge,
            _ if self.settings.stateful => ops::zeros(shape, workspace.device()),
            _ => workspace.take(shape),
        }
    }
}

impl Layer for Gate {
    fn kind(&self) -> &'static str {
        "gate"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let mode = pass.mode;
        let bare = self.place == GatePosition::Output && mode == Mode::Evaluate;
        if !self.spikes || bare {
            return self.activation.apply(input);
        }
        let shape = input.dims();
        if mode == Mode::Train
            && let Some(quantile) = self.quantile(&input, pass)
        {
            pass.memory.set_number(QUANTILE, quantile);
        }
        let input = match self.inhibition {
            0.0 => pass.workspace.make_unique(input),
            inhibition => pass.workspace.make_unique(input).sub_scalar(inhibition),
        };
        if mode == Mode::Evaluate && !self.settings.stateful {
            // Neither spikes nor charges are needed.
            return self.activation.apply(ops::zero_at_or_below(input, self.settings.threshold));
        }
        if mode == Mode::Train && !self.settings.stateful && self.outputs_show_spikes() {
            // Charges start at zero, and an output is zero where a unit has not fired.
            let output = ops::zero_at_or_below(input, self.settings.threshold);
            if let Some(last) = pass.memory.keep(SPIKES, output.clone()) {
                pass.workspace.give(last);
            }
            return self.activation.apply(output);
        }
        let charge = self.charge(pass.memory, pass.workspace, shape);
        // An evaluation keeps the spikes of the last training pass.
        if mode == Mode::Train
            && let Some(last) = pass.memory.take(SPIKES)
        {
            pass.workspace.give(last);
        }
        let buffer = pass.workspace.take(shape);
        let (output, spikes, charge) = ops::spike_gate(input, charge, buffer, self.settings);
        if self.settings.stateful {
            pass.memory.keep(CHARGE, charge);
        } else {
            pass.workspace.give(charge);
        }
        match mode {
            Mode::Train if !self.outputs_show_spikes() => drop(pass.memory.keep(SPIKES, spikes)),
            Mode::Train => {
                pass.memory.keep(SPIKES, output.clone());
                pass.workspace.give(spikes);
            }
            Mode::Evaluate => pass.workspace.give(spikes),
        }
        self.activation.apply(output)
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Signal { mut values, .. } = signal;
        let kept = pass.memory.get(SPIKES).filter(|_| self.spikes);
        let spikes = kept.map(|kept| {
            if self.outputs_show_spikes() {
                let buffer = pass.workspace.take(kept.dims());
                ops::step_mask(kept.clone(), buffer)
            } else {
                kept.clone()
            }
        });
        if let (Some(spikes), SignalGate::OnTheWayDown) = (&spikes, self.signal_gate) {
            values = ops::multiply(values, spikes.clone());
        }
        let [rows, _] = values.dims();
        let channels = channels(pass.shape);
        if self.normalize_signal {
            let view = by_channel(values, channels);
            let even = if self.keep_signal_norm {
                ops::equalize_units(view)
            } else {
                ops::unit_normalize(view, 0.0)
            };
            values = by_sample(even, rows);
        }
        let gated = match (&spikes, self.signal_gate) {
            (Some(spikes), SignalGate::InCorrelation) => {
                let buffer = pass.workspace.take(values.dims());
                let view = |tensor| by_channel(tensor, channels);
                let (signal, spikes) = (view(values.clone()), view(spikes.clone()));
                Some(by_sample(ops::gate_signal(signal, spikes, view(buffer)), rows))
            }
            _ => None,
        };
        if let Some(spikes) = spikes {
            pass.workspace.give(spikes);
        }
        if let Some(quantile) = pass.memory.take_number(QUANTILE) {
            let missing = quantile - self.settings.threshold - self.inhibition;
            let moves = match self.sparsity {
                SparsityControl::Threshold => &mut self.settings.threshold,
                SparsityControl::Inhibition => &mut self.inhibition,
            };
            // A quantile that stands for several passes moves the gate as far as all of them.
            let share = match ops::is_asynchronous(pass.workspace.device()) {
                true => 1.0 - (1.0 - FOLLOWS).powi(EVERY as i32),
                false => FOLLOWS,
            };
            *moves += share * missing;
        }
        Signal { values, gated }
    }

    fn carried(&self) -> &'static [&'static str] {
        if self.spikes && self.settings.stateful { &[CHARGE] } else { &[] }
    }

    fn set_target_spike_rate(&mut self, rate: f32) {
        self.target_spike_rate = self.target_spike_rate.map(|_| rate);
    }

    fn config(&self) -> Result<serde_json::Value> {
        if let Activation::Custom(_) = self.activation {
            return Err(Error::setting(format!(
                "the custom activation function '{}' cannot be saved with the model",
                self.activation.name()
            )));
        }
        let config = GateConfig {
            place: self.place,
            threshold: Some(self.finite_threshold()),
            inhibition: self.inhibition,
            sparsity: self.target_spike_rate.map(|_| self.sparsity),
            target_spike_rate: self.target_spike_rate,
            spikes: Some(self.spikes),
            activation: self.activation.clone(),
            signal_gate: Some(self.signal_gate),
            normalize_signal: Some(self.normalize_signal),
            keep_signal_norm: Some(self.keep_signal_norm),
            stateful: Some(self.settings.stateful),
            // JSON has no infinity.
            min_charge: Some(self.settings.min_charge.clamp(f32::MIN, f32::MAX)),
        };
        serde_json::to_value(config).map_err(|e| Error::setting(e.to_string()))
    }

    fn operation(&self) -> Result<Operation<'_>> {
        Ok(Operation::Gate {
            inhibition: self.inhibition,
            threshold: self.spikes.then(|| self.finite_threshold()),
            in_training_only: self.place == GatePosition::Output,
            activation: &self.activation,
        })
    }
}

impl LayerConfig for GateConfig {
    fn build(&self, _: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let rule = context.rule();
        let threshold = self.threshold.unwrap_or(rule.threshold);
        if threshold.is_nan() || !self.inhibition.is_finite() {
            return Err(Error::setting("the threshold or the inhibition is not a number"));
        }
        let spikes = self.spikes.unwrap_or(match self.place {
            GatePosition::Input => rule.gate_input,
            GatePosition::Hidden => true,
            GatePosition::Output => rule.gate_output,
        });
        let target = self.target_spike_rate.or(rule.target_spike_rate);
        let target_spike_rate = target.filter(|_| self.place == GatePosition::Hidden);
        let stateful = self.stateful.unwrap_or(rule.stateful);
        Rule { target_spike_rate, stateful, ..Rule::default() }.check()?;
        Ok(Box::new(Gate {
            place: self.place,
            spikes,
            settings: GateSettings {
                threshold,
                min_charge: self.min_charge.unwrap_or(rule.min_charge),
                stateful,
            },
            inhibition: self.inhibition,
            sparsity: self.sparsity.unwrap_or(rule.sparsity),
            target_spike_rate,
            activation: self.activation.clone(),
            signal_gate: self.signal_gate.unwrap_or(rule.signal_gate),
            normalize_signal: self.normalize_signal.unwrap_or(rule.normalize_signal),
            keep_signal_norm: self.keep_signal_norm.unwrap_or(rule.keep_signal_norm),
        }))
    }
}
