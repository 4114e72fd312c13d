//! The options of the local correlation rule.
//!
//! With presynaptic activity `p`, signal `s` at a layer's output and the gate `g` of its units, a
//! weight changes along `p^T (s * g)`, and the layer below receives `s W^T`. The options say what
//! is normalised and where the gate acts.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a network learns: thresholds, gates and normalisation, the same for all its layers unless a
/// layer says otherwise.
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
    /// The share of its values for which a hidden gate shall fire, if it is to get there while it
    /// learns; 1 leaves it as it is. Such gates are not stateful.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_spike_rate: Option<f32>,
    /// How it gets there.
    pub sparsity: SparsityControl,
    /// Charges below this are forgotten before the next input; matters only when stateful.
    pub min_charge: f32,
    /// Whether a charge that did not fire stays for the next batch. Charges belong to batch rows,
    /// not to samples, so this only means something where row i of one batch continues row i of the
    /// one before.
    pub stateful: bool,
    /// Whether the input passes a gate of its own.
    pub gate_input: bool,
    /// Whether the output passes a gate of its own (in training; a prediction is always the bare
    /// value).
    pub gate_output: bool,
    /// Where the spikes of a layer gate the signal.
    pub signal_gate: SignalGate,
    /// Whether the signal at each unit is divided by its norm over the batch.
    pub normalize_signal: bool,
    /// Whether a normalised signal then gets back the norm that it had over all units: its units
    /// are even, its size is unchanged. Without effect in a row of layers under an optimizer that
    /// goes by directions alone; where paths meet, signals add up by their sizes, so inside a
    /// [`crate::Branch`] this is on unless a gate's own settings say otherwise.
    pub keep_signal_norm: bool,
    /// Whether the activity of each presynaptic unit is divided by its norm over the batch.
    pub normalize_presynaptic: bool,
    /// Weights stay within ± this, if there is a limit.
    pub weight_limit: Option<f32>,
    /// Initial weights are normal with deviation `initial_scale * sqrt(2 / (inputs + outputs))`.
    pub initial_scale: f32,
}

/// What moves until a gate fires as rarely as its target says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparsityControl {
    /// The threshold: what passes it is as large as ever, which a linear layer above can make the
    /// input of again, but outputs jump where a unit begins to fire, which no signal tells.
    #[default]
    Threshold,
    /// An inhibition, subtracted from all that comes in: outputs are continuous, which classifiers
    /// learn better with.
    Inhibition,
}

/// Where the spikes of a layer gate the signal that arrived at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalGate {
    /// Only in the correlation, as spikes divided by their norm over the batch; what travels on
    /// down is ungated.
    InCorrelation,
    /// Before anything else, so that neither weights nor layers below learn through a silent unit.
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

    /// The options under which the rule is backpropagation through ReLU: threshold zero, no
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

    /// Refuses values that no network can be trained with.
    ///
    /// # Errors
    /// Names the option and what it must be.
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
                "rule.target_spike_rate is for gates that are not stateful: charges that wait for the next batch have no rate to aim at",
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
    /// Stateless, analog input and output, threshold zero, the signal gated on its way down and
    /// normalised per unit.
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
