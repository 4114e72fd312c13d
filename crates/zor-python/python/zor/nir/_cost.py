"""The cost of a conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir

from .._arrays import ArrayLike
from .._error import Error
from ..network import Network
from ._simulate import ConversionTable, costs
from ._write import convert, samples_of


def conversion_cost(
    network: Network,
    graph_or_calibration: Any,
    x: ArrayLike,
    steps: Sequence[int] = (8, 16, 32, 64, 256),
) -> ConversionTable:
    """Returns how far integrate-and-fire units are from the gates of a network.

    The graph is simulated in steps of time 1. Each sample is a constant input current; spikes pass
    all layers within a step; the output current is averaged over the steps.

    Args:
        network: the network.
        graph_or_calibration: its graph, or samples to convert it with; see `to_nir`.
        x: samples to compare on, `[batch, features]` or `[batch, *input_shape]`.
        steps: numbers of time steps.

    Raises:
        TypeError: samples are not an array of real numbers.
        zor.Error: samples do not fit the network, a number of steps is below 1, or the network or
            the graph cannot be converted.
    """
    graph = graph_or_calibration
    if not isinstance(graph, nir.NIRGraph):
        x_to_scale = samples_of(network, graph, "calibration")
        graph = convert(network, x_to_scale, 0.999, 1.0, drop_activation=True)
    if not steps or min(steps) < 1:
        raise Error(f"steps is {list(steps)}; there must be one or more, each at least 1")
    return costs(network, graph, samples_of(network, x, "input"), steps)
