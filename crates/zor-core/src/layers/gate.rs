//! The analog-spike gate: a binary decision about an analog value.
//!
//! Forward:
//! `charge += x - inhibition; spike = charge > threshold; y = f(charge * spike)`, then
//! `charge = 0 where spike`.
//!
//! Learning, with the signal `s` at its output: gated on the way down, `s = s * spike`; normalised,
//! `s = clamp(s / ||s||, ±1)` with the norm of each unit over the batch; the units of a map are its
//! channels, over batch and positions; inside a branch the units' common norm is that of the signal
//! before, `s = s / ||s|| * sqrt(mean over units of ||s||^2)`. Where the gate acts in the
//! correlation alone, the weights below learn from `s * |spike / (||spike|| + 1e-8)|` while `s`
//! travels on.
//!
//! With a target spike rate `r` the threshold or the inhibition, which is zero at first, follows
//! the charges: with every step `(q - threshold - inhibition) / 20` is added to it, `q` the `x`
//! that a share `r` of the batch's is above; `r = 1` leaves both as they are. What is left of a
//! batch is then the largest of its values, about as in a k-sparse code (Makhzani and Frey 2014),
//! but by one number for the layer, and a sample may have more of them than another.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{by_channel, by_sample, channels};
use crate::activation::Activation;
use crate::build::BuildContext;
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerConfig, LearnPass, Pass, Signal};
use crate::memory::{Memory, Mode};
use crate::ops::{self, GateSettings};
use crate::rule::{Rule, SignalGate, SparsityControl};
use crate::workspace::Workspace;

/// Where in the network a gate stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatePosition {
    /// Before the first weights.
    Input,
    /// Between weights.
    #[default]
    Hidden,
    /// After the last weights. Spikes only in training; a prediction is the bare value.
    Output,
}

/// Settings of a [`Gate`]. What is not set comes from the network's [`Rule`](crate::Rule).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Where it stands.
    pub place: GatePosition,
    /// Overrides [`Rule::threshold`](crate::Rule::threshold).
    pub threshold: Option<f32>,
    /// Subtracted from what comes in.
    #[serde(skip_serializing_if = "is_zero")]
    pub inhibition: f32,
    /// Overrides [`Rule::sparsity`](crate::Rule::sparsity).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityControl>,
    /// Overrides [`Rule::target_spike_rate`](crate::Rule::target_spike_rate), of a hidden gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_spike_rate: Option<f32>,
    /// Overrides whether it spikes at all: true for hidden gates, the rule's choice for input and
    /// output.
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
    /// A gate at a place, all else from the rule.
    pub fn at(place: GatePosition) -> Self {
        Self { place, ..Self::default() }
    }
}

/// Units that spike.
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

/// Above zero where a unit fired in the last training pass: `[batch, units]`, spikes or, if they
/// are as good, outputs.
pub(crate) const SPIKES: &str = "spikes";
/// The number that the target share of the last training batch's inputs was above.
const QUANTILE: &str = "quantile";
/// Inputs that it is found among, at most.
const SAMPLE: usize = 1 << 14;
/// How far threshold or inhibition go towards it in a step.
const FOLLOWS: f32 = 0.05;
/// Gates aim at this share of the target, so that a network stays below it with samples that are
/// new to it.
const MARGIN: f32 = 0.95;
/// What did not fire: `[batch, units]`.
pub(crate) const CHARGE: &str = "charge";

impl Gate {
    /// Whether its units spike, or pass every value.
    pub fn spikes(&self) -> bool {
        self.spikes
    }

    /// Threshold, floor of the charge and whether it carries over.
    pub fn settings(&self) -> GateSettings {
        self.settings
    }

    /// What the target share of inputs is above, for a gate that has a target. Reads the device.
    fn quantile(&self, inputs: &Tensor<2>) -> Option<f32> {
        // All may fire: nothing to move.
        let target = self.target_spike_rate.filter(|target| *target < 1.0)?;
        let share = MARGIN * target;
        let [rows, units] = inputs.dims();
        let rows = rows.min((SAMPLE / units).max(1));
        let sample = inputs.clone().slice([0..rows, 0..units]);
        // What a lost device does not answer, the step's error will say.
        let mut values = ops::read(sample).ok()?;
        let above = (share * values.len() as f32) as usize;
        let at = values.len().checked_sub(1 + above)?;
        let (_, quantile, _) = values.select_nth_unstable_by(at, f32::total_cmp);
        quantile.is_finite().then_some(*quantile)
    }

    /// Whether outputs are above zero exactly where units fire: then nobody has to keep spikes
    /// beside them.
    fn outputs_show_spikes(&self) -> bool {
        // What is done with a network's outputs would change what is kept of them here.
        self.place != GatePosition::Output
            && self.settings.threshold >= 0.0
            && matches!(self.activation, Activation::None)
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
            && let Some(quantile) = self.quantile(&input)
        {
            pass.memory.set_number(QUANTILE, quantile);
        }
        let input = match self.inhibition {
            0.0 => pass.workspace.make_unique(input),
            inhibition => pass.workspace.make_unique(input).sub_scalar(inhibition),
        };
        if mode == Mode::Evaluate && !self.settings.stateful {
            // Nobody asks what fired, and nothing is left.
            return self.activation.apply(ops::zero_at_or_below(input, self.settings.threshold));
        }
        let charge = self.charge(pass.memory, pass.workspace, shape);
        // Spikes are those of the last training pass: an evaluation leaves them alone.
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
            *moves += FOLLOWS * missing;
        }
        Signal { values, gated }
    }

    fn carried(&self) -> &'static [&'static str] {
        if self.spikes && self.settings.stateful { &[CHARGE] } else { &[] }
    }

    fn config(&self) -> Result<serde_json::Value> {
        if let Activation::Custom(_) = self.activation {
            return Err(Error::setting(format!(
                "the activation function '{}' is your own and cannot be saved with the model",
                self.activation.name()
            )));
        }
        let config = GateConfig {
            place: self.place,
            // Text formats have no infinity; no finite charge is beyond these.
            threshold: Some(self.settings.threshold.clamp(f32::MIN, f32::MAX)),
            inhibition: self.inhibition,
            sparsity: self.target_spike_rate.map(|_| self.sparsity),
            target_spike_rate: self.target_spike_rate,
            spikes: Some(self.spikes),
            activation: self.activation.clone(),
            signal_gate: Some(self.signal_gate),
            normalize_signal: Some(self.normalize_signal),
            keep_signal_norm: Some(self.keep_signal_norm),
            stateful: Some(self.settings.stateful),
            min_charge: Some(self.settings.min_charge.clamp(f32::MIN, f32::MAX)),
        };
        serde_json::to_value(config).map_err(|e| Error::setting(e.to_string()))
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
