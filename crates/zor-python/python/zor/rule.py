"""The learning rule of a network."""

from __future__ import annotations

import json
from typing import Literal

from . import _zor
from ._error import Error
from ._record import Record


class Rule(Record):
    """Thresholds, gates and normalisation of a network.

    It applies to all layers whose own settings do not override it. `Rule()` is the default rule,
    `Rule.classic()` that of the first version, and with `Rule.backprop()` the updates are those of
    backpropagation through ReLU.

    Attributes:
        threshold: a unit fires when its charge is strictly above this.
        target_spike_rate: share of values for which a hidden gate fires, approached during
            training; `None` for no target. Only for gates that are not stateful.
        sparsity: the quantity that is adapted to reach the target spike rate, `"threshold"` or
            `"inhibition"`.
        min_charge: charges below this are reset to zero before the next input; only if stateful.
        stateful: whether the charge of a unit that did not fire is kept for the next batch. Row i
            of one batch then continues row i of the previous one.
        gate_input: whether the input passes through a gate.
        gate_output: whether the output passes through a gate in training.
        signal_gate: where spikes gate the signal: `"on_the_way_down"`, or `"in_correlation"` alone.
        normalize_signal: whether the signal at each unit is divided by its norm over the batch.
        keep_signal_norm: whether a normalised signal is scaled back to its norm over all units.
        normalize_presynaptic: whether the activity of each presynaptic unit is divided by its norm
            over the batch.
        weight_limit: weights stay within plus and minus this; `None` for no limit.
        initial_scale: initial weights are normal with standard deviation
            `initial_scale * sqrt(2 / (inputs + outputs))`.
    """

    threshold: float = 0.0
    target_spike_rate: float | None = None
    sparsity: Literal["threshold", "inhibition"] = "threshold"
    min_charge: float = -5.0
    stateful: bool = False
    gate_input: bool = False
    gate_output: bool = False
    signal_gate: Literal["on_the_way_down", "in_correlation"] = "on_the_way_down"
    normalize_signal: bool = True
    keep_signal_norm: bool = False
    normalize_presynaptic: bool = True
    weight_limit: float | None = None
    initial_scale: float = 0.5

    @classmethod
    def classic(cls) -> Rule:
        """Returns the rule of the first version: stateful charges, threshold -2, ungated signal."""
        return cls._of(_zor.preset_rule("classic"))

    @classmethod
    def backprop(cls) -> Rule:
        """Returns the rule whose updates equal those of backpropagation through ReLU."""
        return cls._of(_zor.preset_rule("backprop"))

    @classmethod
    def named(cls, name: str) -> Rule:
        """Returns the rule of a name: `"default"`, `"classic"` or `"backprop"`.

        Raises:
            zor.Error: there is no such rule.
        """
        return cls._of(_zor.preset_rule(name))

    @classmethod
    def _of(cls, text: str) -> Rule:
        return cls(**json.loads(text))

    def _json(self) -> str:
        # JSON has no infinity and no NaN: Rust names the option that is no number.
        found = self._values()
        for name, value in found.items():
            if isinstance(value, float) and value - value != 0:
                raise Error(f"rule.{name} is {value}; it must be a finite number")
        return json.dumps(found)


def as_rule(rule: Rule | str | None) -> Rule:
    """Returns a rule, the rule of a name, or the default rule for `None`."""
    if rule is None:
        return Rule()
    if isinstance(rule, str):
        return Rule.named(rule)
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a zor.Rule or a name, not {type(rule).__name__}")
    return rule
