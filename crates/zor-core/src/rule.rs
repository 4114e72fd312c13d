//! The options of the local correlation rule.
//!
//! With presynaptic activity `p`, signal `s` at the output of a layer and the gate `g` of its
//! units, a weight changes along `p^T (s * g)`, and the layer below receives `s W^T`. The options
//! select what is normalised and where the gate acts.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The learning rule of a network: thresholds, gates and normalisation. It applies to all layers
/// whose own settings do not override it.
///
/// ```
/// use zor_core::{Rule, SignalGate};
/// let rule = Rule { threshold: 0.1, ..Rule::default() };
/// assert_eq!(rule.signal_gate, SignalGate::OnTheWayDown);
/// assert!(Rule::classic().stateful);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// A unit fires when its charge is strictly above this.
    pub threshold: f32,
    /// Target share of values for which a hidden gate fires, approached during training; 1 disables
    /// it. Only for gates that are not stateful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_spike_rate: Option<f32>,
    /// The quantity that is adapted to reach the target spike rate.
    pub sparsity: SparsityControl,
    /// Charges below this are reset to zero before the next input; used only if stateful.
    pub min_charge: f32,
    /// Whether the charge of a unit that did not fire is kept for the next batch. Charges belong to
    /// batch rows, not to samples, so this is meaningful only if row i of one batch continues row i
    /// of the previous one.
    pub stateful: bool,
    /// Whether the input passes through a gate.
    pub gate_input: bool,
    /// Whether the output passes through a gate in training; a prediction is always the ungated
    /// value.
    pub gate_output: bool,
    /// Where the spikes of a layer gate the signal.
    pub signal_gate: SignalGate,
    /// Whether the signal at each unit is divided by its norm over the batch.
    pub normalize_signal: bool,
    /// Whether a normalised signal is then scaled back to its previous norm over all units: units
    /// become equal, the overall size is unchanged. It has no effect in a plain stack of layers
    /// under an optimizer that depends on directions alone. Where paths meet, signals add up by
    /// size, so inside a [`crate::Branch`] this is on unless the settings of a gate override it.
    pub keep_signal_norm: bool,
    /// Whether the activity of each presynaptic unit is divided by its norm over the batch.
    pub normalize_presynaptic: bool,
    /// Weights stay within ± this; `None` for no limit.
    pub weight_limit: Option<f32>,
    /// Initial weights are normal with standard deviation
    /// `initial_scale * sqrt(2 / (inputs + outputs))`.
    pub initial_scale: f32,
}

/// The quantity that is adapted until a gate fires at its target spike rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparsityControl {
    /// The threshold. Values that pass it keep their size, from which a linear layer can
    /// reconstruct the input, but the output jumps where a unit begins to fire, which the signal
    /// does not show.
    #[default]
    Threshold,
    /// An inhibition, subtracted from the input. Outputs are continuous, which helps classifiers
    /// learn.
    Inhibition,
}

/// Where the spikes of a layer gate the signal that arrives at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalGate {
    /// Only in the correlation, with spikes divided by their norm over the batch; the signal that
    /// is passed down is ungated.
    InCorrelation,
    /// Before anything else: neither weights nor layers below learn through a silent unit.
    OnTheWayDown,
}

impl Rule {
    /// The rule of the first version: stateful charges, threshold -2, ungated signal, everything
    /// normalised.
    pub fn classic() -> Self {
        Self {
            threshold: -2.0,
            target_spike_rate: None,
            sparsity: SparsityControl::Threshold,
            min_charge: -5.0,
            stateful: true,
            gate_input: true,
            gate_output: true,
            signal_gate: SignalGate::InCorrelation,
            normalize_signal: true,
            keep_signal_norm: false,
            normalize_presynaptic: true,
            weight_limit: Some(1.0),
            initial_scale: 0.5,
        }
    }

    /// The options with which the rule equals backpropagation through ReLU: threshold zero, no
    /// normalisation, no limits.
    pub fn backprop() -> Self {
        Self {
            threshold: 0.0,
            normalize_signal: false,
            normalize_presynaptic: false,
            weight_limit: None,
            initial_scale: 1.0,
            ..Self::default()
        }
    }

    /// Rejects options with which no network can be trained.
    ///
    /// # Errors
    /// Names the option and its valid range.
    pub fn check(&self) -> Result<()> {
        let limit = self.weight_limit.unwrap_or(f32::MAX);
        let target = self.target_spike_rate.unwrap_or(1.0);
        let numbers = [
            ("min_charge", self.min_charge, self.min_charge.is_finite(), "a finite number"),
            ("threshold", self.threshold, self.threshold.is_finite(), "a finite number"),
            (
                "target_spike_rate",
                target,
                target > 0.0 && target <= 1.0,
                "above 0 and at most 1, the share of values that pass",
            ),
            ("weight_limit", limit, limit > 0.0, "above zero"),
            (
                "initial_scale",
                self.initial_scale,
                self.initial_scale.is_finite() && self.initial_scale >= 0.0,
                "zero or above",
            ),
        ];
        if self.target_spike_rate.is_some() && self.stateful {
            return Err(Error::setting(
                "rule.target_spike_rate is for gates that are not stateful: charges that are kept for the next batch have no spike rate to control",
            ));
        }
        for (name, value, good, expected) in numbers {
            if !good {
                return Err(Error::setting(format!(
                    "rule.{name} is {value}; it must be {expected}"
                )));
            }
        }
        Ok(())
    }
}

impl Default for Rule {
    /// The default rule: stateless, analog input and output, threshold zero, the signal gated on
    /// its way down and normalised per unit.
    fn default() -> Self {
        Self {
            threshold: 0.0,
            target_spike_rate: None,
            sparsity: SparsityControl::Threshold,
            min_charge: -5.0,
            stateful: false,
            gate_input: false,
            gate_output: false,
            signal_gate: SignalGate::OnTheWayDown,
            normalize_signal: true,
            keep_signal_norm: false,
            normalize_presynaptic: true,
            weight_limit: None,
            initial_scale: 0.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid() {
        for rule in [Rule::classic(), Rule::default(), Rule::backprop()] {
            assert_eq!(rule.check(), Ok(()));
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_name() {
        let cases = [
            (Rule { threshold: f32::NAN, ..Rule::default() }, "threshold"),
            (Rule { target_spike_rate: Some(0.0), ..Rule::default() }, "target_spike_rate"),
            (Rule { target_spike_rate: Some(0.5), ..Rule::classic() }, "target_spike_rate"),
            (Rule { weight_limit: Some(0.0), ..Rule::default() }, "weight_limit"),
            (Rule { initial_scale: f32::INFINITY, ..Rule::default() }, "initial_scale"),
        ];
        for (rule, name) in cases {
            assert!(rule.check().unwrap_err().to_string().contains(name));
        }
    }
}
