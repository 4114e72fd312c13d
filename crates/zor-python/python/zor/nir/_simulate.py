"""A simulation of a graph, and what it costs beside the analog network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import nir
import numpy as np

from .._arrays import FloatArray
from ..layers import Gate
from ..network import Network
from ._nodes import Path, apply, as_rows, channels_first, path_of

Reset = Literal["subtraction", "zero"]
"""What a spike does to a charge: it subtracts the threshold, or sets the charge to zero."""


@dataclass(frozen=True)
class ConversionCost:
    """The error of an integrate-and-fire network against the network that it was converted from.

    Attributes:
        steps: number of time steps that each sample is presented for.
        reset: what a spike does to a charge.
        mae: mean absolute error.
        psnr_db: peak signal-to-noise ratio in dB, for the largest absolute output as peak.
    """

    steps: int
    reset: Reset
    mae: float
    psnr_db: float


class ConversionTable(list[ConversionCost]):
    """Costs of a conversion. `str` returns a table with a line for each number of time steps."""

    def __str__(self) -> str:
        lines = [
            "time steps   reset by subtraction         reset to zero",
            "              PSNR (dB)       MAE   PSNR (dB)       MAE",
        ]
        for steps in sorted({cost.steps for cost in self}):
            by_reset = {cost.reset: cost for cost in self if cost.steps == steps}
            subtraction, zero = by_reset["subtraction"], by_reset["zero"]
            lines.append(
                f"{steps:10}   {subtraction.psnr_db:10.2f} {subtraction.mae:9.5f}"
                f"  {zero.psnr_db:10.2f} {zero.mae:9.5f}"
            )
        return "\n".join(lines)


def costs(network: Network, graph: Any, x: FloatArray, steps: Sequence[int]) -> ConversionTable:
    analog = network.predict(x)
    peak = float(np.abs(analog).max(initial=0))
    activation = str(graph.metadata.get("output_activation", "none"))
    # A network with this function alone applies it.
    finish = Network(analog.shape[1], [Gate("output", activation=activation)])
    table = ConversionTable()
    resets: tuple[Reset, Reset] = ("subtraction", "zero")
    for reset in resets:
        outputs = simulate(path_of(graph), channels_first(x, network.input_shape), steps, reset)
        for count, output in outputs.items():
            error = finish.predict(as_rows(output)) - analog
            mse = float(np.mean(np.square(error, dtype=np.float64)))
            ratio = peak**2 / mse if mse > 0 else math.inf
            psnr = 10 * math.log10(ratio) if ratio > 0 else -math.inf
            table.append(ConversionCost(count, reset, float(np.abs(error).mean()), psnr))
    return table


def simulate(
    path: Path, x: FloatArray, steps: Sequence[int], reset: Reset
) -> Mapping[int, FloatArray]:
    """Returns the mean output `[batch, *shape]` over each number of time steps."""
    stretches: list[list[Any]] = [[]]
    units: list[Any] = []
    for _, node in path:
        if isinstance(node, nir.IF):
            units.append(node)
            stretches.append([])
        else:
            stretches[-1].append(node)

    def through(stretch: list[Any], values: FloatArray) -> FloatArray:
        for node in stretch:
            values = apply(node, values)
        return values

    current = through(stretches[0], x)
    if not units:
        return {count: current for count in steps}
    charges = [np.zeros((len(x), *unit.r.shape), np.float32) for unit in units]
    fired = np.zeros_like(charges[-1])
    outputs: dict[int, FloatArray] = {}
    for step in range(1, max(steps) + 1):
        below = current
        for at, (unit, charge) in enumerate(zip(units, charges)):
            charge += unit.r * below
            spikes = charge > unit.v_threshold
            if reset == "subtraction":
                charge -= spikes * (unit.v_threshold - unit.v_reset)
            else:
                np.copyto(charge, unit.v_reset, where=spikes)
            below = spikes.astype(np.float32)
            if at + 1 < len(units):
                below = through(stretches[at + 1], below)
        fired += below
        if step in steps:
            outputs[step] = through(stretches[-1], fired / np.float32(step))
    return outputs
