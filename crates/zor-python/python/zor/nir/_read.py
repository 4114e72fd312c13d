"""From a graph to a network."""

from __future__ import annotations

import math
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from .. import layers as L
from .._error import Error
from ..network import Network
from ..rule import Rule
from ._nodes import NO_LAYER, Shape, pair, path_of, positions, sides_of, window_of


def from_nir(graph: Any, *, rule: Rule | str | None = None) -> Network:
    """Returns a network that computes the spike rates of a graph.

    An integrate-and-fire unit becomes a gate with threshold 0. What a spike stands for,
    `(v_threshold - v_reset) / r`, is divided out of the weights above it. Rates of a simulation end
    at one spike per time step; gates have no such limit.

    Args:
        graph: a `nir.NIRGraph` without branches or loops, of the nodes Input, Linear, Affine,
            Conv2d, Flatten, AvgPool2d, SumPool2d, IF and Output.
        rule: the learning rule of the network, or its name.

    Raises:
        TypeError: `graph` is not a `nir.NIRGraph`.
        zor.Error: the graph has other nodes, branches or loops, or a node has settings that no
            layer has. The message names the node and the reason.
    """
    path = path_of(graph)
    reader = _Reader(path[0][1])
    for name, node in path[1:]:
        refusal = reader.add(node)
        if refusal:
            raise Error(f"node '{name}' ({type(node).__name__}): {refusal}")
    activation = graph.metadata.get("output_activation", "none")
    if activation not in L.ACTIVATIONS:
        raise Error(f"the graph's note names an unknown activation function, '{activation}'")
    stack = [*reader.layers, L.Gate("output", activation=activation)]
    network = Network(reader.input_shape, stack, rule=rule)
    network.set_weights(reader.weights)
    return network


class _Reader:
    """Layers and weights for the nodes of a graph."""

    def __init__(self, node: Any) -> None:
        shape = tuple(int(side) for side in np.atleast_1d(node.input_type["input"]))
        if len(shape) not in (1, 3):
            raise Error(f"the graph's input has shape {list(shape)}; it must be a vector or a map")
        self.input_shape = shape if len(shape) == 1 else (*shape[1:], shape[0])
        self.layers: list[L.LayerSettings] = []
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self.shape = shape
        # The shape of the map that the current vector is a flattened form of.
        self.map: Shape | None = None
        # What a value of the network is in the graph: the rate for a value of 1.
        self.rate: npt.NDArray[np.float64] = np.ones(shape)

    def add(self, node: Any) -> str | None:
        """Adds layers for a node, or returns the reason why there are none."""
        if isinstance(node, (nir.Linear, nir.Affine)):
            return self._dense(node)
        if isinstance(node, nir.Conv2d):
            return self._conv2d(node)
        if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
            return self._pool2d(node)
        if isinstance(node, nir.Flatten):
            return self._flatten(node)
        if isinstance(node, nir.IF):
            return self._if(node)
        if isinstance(node, nir.Output):
            return self._output()
        return NO_LAYER.get(type(node).__name__, "a network has no such layer")

    def _weights(self, layer: L.LayerSettings, tensor: str, weight: Any, bias: Any) -> None:
        self.weights[f"{len(self.layers)}.{tensor}"] = weight
        self.layers.append(layer)
        if bias is not None and np.any(bias):
            self.weights[f"{len(self.layers)}.offset"] = np.reshape(bias, (1, -1))
            self.layers.append(L.Bias())
        self.rate = np.ones(self.shape)

    def _dense(self, node: Any) -> str | None:
        weight = np.asarray(node.weight)
        if weight.ndim != 2 or self.shape != (weight.shape[1],):
            return f"its weight {list(weight.shape)} does not take an input {list(self.shape)}"
        weight = (weight * self.rate).T
        if self.map is not None:
            weight = weight[np.argsort(positions(self.map))]
        self.shape, self.map = (weight.shape[1],), None
        self._weights(L.Dense(weight.shape[1]), "weight", weight, getattr(node, "bias", None))
        return None

    def _conv2d(self, node: Any) -> str | None:
        weight, groups = np.asarray(node.weight), int(node.groups)
        if len(self.shape) != 3 or self.shape[0] != weight.shape[1] * groups:
            return f"its weight {list(weight.shape)} does not take an input {list(self.shape)}"
        rate = self._rate_of_channels()
        if rate is None:
            return "the thresholds below it differ between the positions of a channel"
        out, inputs, height, width = weight.shape
        per_output = np.repeat(rate.reshape(groups, inputs), out // groups, axis=0)
        kernel = (weight * per_output[:, :, None, None]).transpose(2, 3, 1, 0).reshape(-1, out)
        settings = window_of(node)
        if isinstance(settings, str):
            return settings
        stride, padding, dilation = settings
        layer = L.Conv2d(out, (height, width), stride, padding, dilation, groups)
        self.shape = (out, *sides_of(self.shape[1:], (height, width), *settings))
        self._weights(layer, "kernel", kernel, node.bias)
        return None

    def _pool2d(self, node: Any) -> str | None:
        kernel, stride, padding = (
            pair(value) for value in (node.kernel_size, node.stride, node.padding)
        )
        is_sum = isinstance(node, nir.SumPool2d)
        if len(self.shape) != 3:
            return f"it does not take an input {list(self.shape)}"
        if any(padding):
            return "it has a padding, which average pools of a network do not count"
        rate = self._rate_of_channels()
        if rate is None:
            return "the thresholds below it differ between the positions of a channel"
        self.layers.append(L.AveragePool2d(kernel, stride))
        if is_sum:
            self.layers.append(L.Scale(float(math.prod(kernel))))
        self.shape = (self.shape[0], *sides_of(self.shape[1:], kernel, stride, padding, (1, 1)))
        self.rate = np.broadcast_to(rate[:, None, None], self.shape)
        return None

    def _flatten(self, node: Any) -> str | None:
        if len(self.shape) == 1:
            return None
        first, last = int(node.start_dim), int(node.end_dim)
        if first != 0 or last not in (-1, len(self.shape) - 1):
            return f"it flattens axes {first} to {last} of a sample; a network flattens all"
        self.layers.append(L.Flatten())
        self.map, self.shape = self.shape, (math.prod(self.shape),)
        self.rate = self.rate.reshape(-1)
        return None

    def _if(self, node: Any) -> str | None:
        r, threshold, reset = (
            np.asarray(value, np.float64) for value in (node.r, node.v_threshold, node.v_reset)
        )
        if r.shape != self.shape:
            return f"its shape {list(r.shape)} does not take an input {list(self.shape)}"
        if not ((r > 0).all() and (threshold > reset).all()):
            return "r must be above 0, and v_threshold above v_reset"
        self.rate = self.rate * (r / (threshold - reset))
        self.layers.append(L.Gate(threshold=0.0, spikes=True, stateful=False))
        return None

    def _output(self) -> str | None:
        if self.map is not None and min(self.map[0], math.prod(self.map[1:])) > 1:
            return "it follows a flattened map, whose values a network has in another order"
        rate = self.rate.reshape(-1)
        if np.ptp(rate) > 1e-6 * rate.max():
            return "it follows units whose thresholds differ"
        if rate[0] != 1:
            self.layers.append(L.Scale(float(rate[0])))
        return None

    def _rate_of_channels(self) -> npt.NDArray[np.float64] | None:
        by_channel = self.rate.reshape(self.shape[0], -1)
        rate: npt.NDArray[np.float64] = by_channel.mean(1)
        same = np.allclose(by_channel, rate[:, None], rtol=1e-6, atol=0)
        return rate if same else None
