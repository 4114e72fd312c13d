"""Exchange with neuromorphic tools through NIR, the Neuromorphic Intermediate Representation.

NIR has no unit that passes its value. A gate becomes an integrate-and-fire unit, whose spike rate
approximates the gate's value over many time steps: the usual conversion of an analog network to a
spiking one. `conversion_cost` measures what it costs.

Samples of a graph are vectors or maps `[channels, height, width]`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

try:
    import nir  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError as error:
    raise ImportError("zor.nir needs the package nir: pip install nir", name="nir") from error

from . import layers as L
from ._arrays import ArrayLike, FloatArray, rows
from ._zor import Error
from .network import Network
from .rule import Rule

__all__ = ["ConversionCost", "ConversionTable", "conversion_cost", "from_nir", "to_nir"]

Reset = Literal["subtraction", "zero"]
"""What a spike does to a charge: it subtracts the threshold, or sets the charge to zero."""

_Shape = tuple[int, ...]
_Pair = tuple[int, int]
_Path = list[tuple[str, Any]]
"""Names and nodes of a graph, from the input to the output."""

_NO_NODE = {
    "concatenate": "NIR has no concatenation",
    "group_norm": "NIR has no normalisation, and this one depends on the sample",
    "residual": "only layers in sequence are converted",
    "upsample": "NIR has no upsampling",
}
_NO_LAYER = {
    "LIF": "it leaks, and a gate does not",
    "CubaLIF": "it leaks, and a gate does not",
    "LI": "it leaks, and a gate does not",
    "CubaLI": "it leaks, and a gate does not",
    "I": "it integrates over time, and a network has no time",
    "Delay": "it delays, and a network has no time",
    "Threshold": "its output is 0 or 1, whereas a gate passes its value",
    "NIRGraph": "it is a graph inside a graph",
}


# What conversion costs


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
        x_to_scale = _samples(network, graph, "calibration")
        graph = _convert(network, x_to_scale, 0.999, 1.0, drop_activation=True)
    if not steps or min(steps) < 1:
        raise Error(f"steps is {list(steps)}; there must be one or more, each at least 1")
    return _costs(network, graph, _samples(network, x, "input"), steps)


def _costs(network: Network, graph: Any, x: FloatArray, steps: Sequence[int]) -> ConversionTable:
    analog = network.predict(x)
    peak = float(np.abs(analog).max(initial=0))
    activation = str(graph.metadata.get("output_activation", "none"))
    # A network with this function alone applies it.
    finish = Network(analog.shape[1], [L.Gate("output", activation=activation)])
    table = ConversionTable()
    resets: tuple[Reset, Reset] = ("subtraction", "zero")
    for reset in resets:
        outputs = _simulate(_path(graph), _channels_first(x, network.input_shape), steps, reset)
        for count, output in outputs.items():
            error = finish.predict(_as_rows(output)) - analog
            mse = float(np.mean(np.square(error, dtype=np.float64)))
            ratio = peak**2 / mse if mse > 0 else math.inf
            psnr = 10 * math.log10(ratio) if ratio > 0 else -math.inf
            table.append(ConversionCost(count, reset, float(np.abs(error).mean()), psnr))
    return table


# From a network to a graph


def to_nir(
    network: Network,
    calibration: ArrayLike,
    *,
    steps: int = 32,
    quantile: float = 0.999,
    headroom: float = 1.0,
    drop_activation: bool = False,
) -> Any:
    """Returns a `nir.NIRGraph` of integrate-and-fire units in the place of gates.

    A gate becomes `IF(r=1, v_threshold=s, v_reset=0)`, with `s` the largest activity of its layer.
    A spike stands for a value of `s`: the next weights are multiplied by it. Biases, constant
    factors and batch norms become part of the weights below them. The input is a constant current,
    and the output the mean current over time; it does not spike.

    The metadata has a note, and the PSNR against the network for both kinds of reset. NIR's own, to
    `v_reset`, loses what a charge has above the threshold where time is in steps; subtraction of
    the threshold does not.

    Args:
        network: dense layers and convolutions in sequence, with gates of threshold 0.
        calibration: samples that largest activities are measured on, `[n, features]` or
            `[n, *input_shape]`.
        steps: number of time steps, each of time 1, that the PSNR in the metadata is measured at.
        quantile: quantile of a layer's activities that counts as the largest.
        headroom: factor of all thresholds. Above 1 spikes are rarer: the reset to `v_reset` loses
            less, above all with a single layer of gates, and more time steps are needed.
        drop_activation: whether to leave out an activation function at the output, for which NIR
            has no node. The output is then what the function is applied to.

    Raises:
        TypeError: `calibration` is not an array of real numbers.
        zor.Error: NIR cannot express a layer; the message names the layer and the reason. Or
            samples do not fit the network, or a setting is out of its range.

    Example:
        >>> import zor
        >>> network = zor.Network.dense([9, 6, 3])
        >>> graph = zor.nir.to_nir(network, np.eye(9))
        >>> list(graph.nodes)
        ['input', 'dense_1', 'if_2', 'dense_3', 'output']
    """
    if not (0 < quantile <= 1 and headroom > 0 and math.isfinite(headroom) and steps >= 1):
        raise Error(
            f"quantile is {quantile}, headroom {headroom} and steps {steps}; they must be above 0 "
            f"and at most 1, above 0 and finite, and at least 1"
        )
    x = _samples(network, calibration, "calibration")
    graph = _convert(network, x, quantile, headroom, drop_activation)
    subtraction, zero = _costs(network, graph, x[:64], [steps])
    dropped = graph.metadata["output_activation"]
    graph.metadata |= {
        "note": (
            "Integrate-and-fire units for the gates of an analog network. Time steps are of length "
            f"1. Present each sample as a constant current for {steps} steps and average the "
            f"output current. PSNR against the analog network: {subtraction.psnr_db:.2f} dB if a "
            f"spike subtracts the threshold, {zero.psnr_db:.2f} dB if it resets to v_reset. Leaky "
            "units are no substitute."
        )
        + ("" if dropped == "none" else f" Apply '{dropped}' to the output."),
        "steps": steps,
        "psnr_db_subtraction": subtraction.psnr_db,
        "psnr_db_zero": zero.psnr_db,
    }
    return graph


def _samples(network: Network, x: Any, name: str) -> FloatArray:
    found = rows(x, name, network.input_shape)
    features = math.prod(network.input_shape)
    if len(found) == 0 or found.shape[1] != features:
        shape = list(found.shape)
        raise Error(f"the {name} has shape {shape}; it must be [n, {features}], with n at least 1")
    if not np.isfinite(found).all():
        raise Error(f"the {name} has NaN or infinity")
    return found


def _convert(
    network: Network, x: FloatArray, quantile: float, headroom: float, drop_activation: bool
) -> Any:
    writer = _Writer(network, drop_activation)
    writer.add_all(list(_in_sequence(network.layer_records(), "", "")))
    _scale(writer.nodes, _channels_first(x, network.input_shape), quantile, headroom)
    nodes = {"input": nir.Input(np.array(writer.input_shape))}
    for name, node in writer.nodes:
        has_bias = not isinstance(node, nir.Affine) or node.bias.any()
        nodes[name] = node if has_bias else nir.Linear(node.weight)
    nodes["output"] = nir.Output(np.array(writer.shape))
    names = list(nodes)
    metadata = {"output_activation": writer.dropped}
    return nir.NIRGraph(nodes, list(zip(names, names[1:])), metadata=metadata)


def _in_sequence(
    records: list[dict[str, Any]], name: str, path: str
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yields label, name, kind and settings of layers; those of a sequence one after another."""
    for index, record in enumerate(records):
        kind = record["kind"]
        label = f"{path}layer {index} ({kind})"
        if "config" not in record:
            raise Error(f"{label}: NIR has no activation functions in Python")
        config = record["config"]
        if kind == "sequence":
            yield from _in_sequence(config["layers"], f"{name}{index}.", f"{label}, ")
        else:
            yield label, f"{name}{index}", kind, config


class _Writer:
    """Nodes for layers, before weights and thresholds are scaled."""

    def __init__(self, network: Network, drop_activation: bool) -> None:
        self.weights = network.weights()
        self.drops = drop_activation
        self.dropped = "none"
        self.nodes: _Path = []
        shape = network.input_shape
        if len(shape) not in (1, 3):
            raise Error(f"the input has shape {list(shape)}; NIR graphs take vectors and maps")
        self.shape = shape if len(shape) == 1 else (shape[2], *shape[:2])
        self.input_shape = self.shape

    def add_all(self, layers: list[tuple[str, str, str, dict[str, Any]]]) -> None:
        weights = [at for at, layer in enumerate(layers) if layer[2] in ("dense", "conv2d")]
        last = max(weights, default=-1)
        for at, (label, name, kind, config) in enumerate(layers):
            refusal = self._add(name, kind, config, is_output=at > last)
            if refusal:
                raise Error(f"{label}: {refusal}")

    def _add(self, name: str, kind: str, config: dict[str, Any], is_output: bool) -> str | None:
        """Adds nodes for a layer, or returns the reason why there are none."""
        if kind == "dropout":
            return None
        if kind == "gate":
            return self._gate(name, config, is_output)
        if kind == "reshape":
            shape = tuple(config["shape"])
            same = shape == (*self.shape[1:], self.shape[0])
            return None if len(shape) < 2 or same else "NIR can flatten, not reshape"
        if self.dropped != "none":
            return f"it follows '{self.dropped}', for which NIR has no node"
        if kind == "dense":
            self._dense(name)
            return None
        if kind == "conv2d":
            return self._conv2d(name, config)
        if kind == "pool2d":
            return self._pool2d(name, config)
        if kind in ("bias", "scale", "batch_norm"):
            return self._fold(*self._affine(name, kind, config))
        return _NO_NODE.get(kind, "NIR has no such node")

    def _node(self, kind: str, name: str, node: Any) -> None:
        self.nodes.append((f"{kind}_{name.replace('.', '_')}", node))

    def _gate(self, name: str, config: dict[str, Any], is_output: bool) -> str | None:
        fires = config["spikes"] and config["place"] != "output"
        activation = config["activation"]
        if not fires and activation == "none":
            return None
        if fires and config["stateful"]:
            return "its charges carry over from batch to batch, which NIR cannot express"
        if fires and config.get("inhibition", 0.0) != 0:
            return f"its inhibition is {config['inhibition']:g}; the rate of a unit has none"
        if fires and config["threshold"] != 0:
            return (
                f"its threshold is {config['threshold']:g}; the rate of an integrate-and-fire unit "
                f"is that of a gate with threshold 0"
            )
        if is_output and not fires:
            if not self.drops:
                return (
                    f"NIR has no activation '{activation}' at the output; drop_activation=True "
                    f"leaves it out"
                )
            self.dropped = activation
            return None
        if activation not in ("none", "relu"):
            return f"NIR has no activation '{activation}'"
        if is_output:
            return "the output would be spikes; the last gate must have place 'output'"
        one = np.ones(self.shape, np.float32)
        self._node("if", name, nir.IF(one, one.copy(), np.zeros_like(one)))
        return None

    def _dense(self, name: str) -> None:
        weight = self.weights[f"{name}.weight"].T
        if len(self.shape) == 3:
            self._node("flatten", name, nir.Flatten(np.array(self.shape), 0, -1))
            weight = weight[:, _positions(self.shape)]
        self.shape = (len(weight),)
        zero = np.zeros(len(weight), np.float32)
        self._node("dense", name, nir.Affine(np.ascontiguousarray(weight), zero))

    def _conv2d(self, name: str, config: dict[str, Any]) -> str | None:
        if config.get("transposed"):
            return "NIR has no transposed convolution"
        if config.get("max_pool") is not None:
            return "NIR has no max pooling"
        window, groups = config["window"], config["groups"]
        height, width = window["kernel"]
        if height != width:
            return "the package nir checks the shapes of square windows alone"
        channels, out = self.shape[0], config["channels"]
        kernel = self.weights[f"{name}.kernel"].reshape(height, width, -1, out)
        kernel = kernel.transpose(3, 2, 0, 1)
        # The package nir cannot check the shapes of groups, so that their kernel is filled up.
        weight = np.zeros((out, channels, height, width), np.float32)
        for group in range(groups):
            outputs, inputs = (
                slice(group * n // groups, (group + 1) * n // groups) for n in (out, channels)
            )
            weight[outputs, inputs] = kernel[outputs]
        stride, padding, dilation = (
            tuple(window[setting]) for setting in ("stride", "padding", "dilation")
        )
        zero = np.zeros(out, np.float32)
        node = nir.Conv2d(self.shape[1:], weight, stride, padding, dilation, 1, zero)
        self._node("conv2d", name, node)
        self.shape = tuple(int(size) for size in node.output_type["output"])
        return None

    def _pool2d(self, name: str, config: dict[str, Any]) -> str | None:
        if config["pooling"] == "max":
            return "NIR has no max pooling"
        whole = {"kernel": self.shape[1:], "stride": self.shape[1:], "padding": [0, 0]}
        window = config["window"] or whole
        kernel, stride, padding = (
            _pair(window[setting]) for setting in ("kernel", "stride", "padding")
        )
        if any(padding):
            return "average pools of NIR count their padding, and this one does not"
        node = nir.AvgPool2d(np.array(kernel), np.array(stride), np.array(padding))
        self._node("avgpool2d", name, node)
        self.shape = (self.shape[0], *_sides(self.shape[1:], kernel, stride, padding, (1, 1)))
        return None

    def _affine(
        self, name: str, kind: str, config: dict[str, Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Returns factor and offset per channel; a single value for all channels alike."""
        if kind == "scale":
            return np.full(1, config["factor"]), np.zeros(1)
        if kind == "bias":
            offset = self.weights[f"{name}.offset"][0].astype(np.float64)
            return np.ones_like(offset), offset
        scale, shift, mean, variance = (
            self.weights[f"{name}.{tensor}"][0].astype(np.float64)
            for tensor in ("scale", "shift", "mean", "variance")
        )
        factor = scale / np.sqrt(variance + config["epsilon"])
        return factor, shift - mean * factor

    def _fold(
        self, factor: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
    ) -> str | None:
        node = self.nodes[-1][1] if self.nodes else None
        if not isinstance(node, (nir.Affine, nir.Conv2d)):
            return "there are no weights directly below that it could become part of"
        if len(factor) not in (1, len(node.weight)):
            return "it differs between positions, and the convolution below it does not"
        by_output = factor.reshape(-1, *[1] * (node.weight.ndim - 1))
        node.weight = (node.weight * by_output).astype(np.float32)
        node.bias = (node.bias * factor + offset).astype(np.float32)
        return None


def _scale(nodes: _Path, x: FloatArray, quantile: float, headroom: float) -> None:
    """Sets thresholds to the largest activities, and multiplies the weights above by them."""
    unit = 1.0
    for _, node in nodes:
        if isinstance(node, nir.IF):
            x = np.maximum(x, 0)
            largest = float(np.quantile(x, quantile)) or float(x.max()) or 1.0
            node.v_threshold[...] = largest * headroom / unit
            unit = largest * headroom
            continue
        x = _apply(node, x)
        if isinstance(node, (nir.Affine, nir.Conv2d)):
            node.weight = node.weight * np.float32(unit)
            unit = 1.0


def _positions(shape: _Shape) -> npt.NDArray[np.intp]:
    """Returns where each value of a map `[channels, height, width]` is with channels last."""
    channels, height, width = shape
    places: npt.NDArray[np.intp] = np.arange(math.prod(shape)).reshape(height, width, channels)
    return np.ravel(places.transpose(2, 0, 1))


def _channels_first(x: FloatArray, shape: _Shape) -> FloatArray:
    return x if len(shape) == 1 else np.moveaxis(x.reshape(len(x), *shape), -1, 1)


def _as_rows(x: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1).reshape(len(x), -1))


# From a graph to a network


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
    path = _path(graph)
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


def _path(graph: Any) -> _Path:
    """Returns the nodes of a graph from its input to its output."""
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"a graph must be a nir.NIRGraph, not {type(graph).__name__}")
    following: dict[str, str] = {}
    for source, target in graph.edges:
        if source in following or target in following.values():
            node = source if source in following else target
            raise Error(f"node '{node}' has two edges in or out; graphs must be in sequence")
        following[source] = target
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise Error(f"the graph has {len(inputs)} inputs; it must have one")
    name: str | None = inputs[0]
    path: _Path = []
    while name is not None and len(path) < len(graph.nodes):
        path.append((name, graph.nodes[name]))
        name = following.get(name)
    if len(path) != len(graph.nodes) or not isinstance(path[-1][1], nir.Output):
        loose = sorted(set(graph.nodes) - {name for name, _ in path})
        raise Error(
            f"the graph is no sequence from its input to an output; nodes apart from it: {loose}"
        )
    return path


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
        self.map: _Shape | None = None
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
        return _NO_LAYER.get(type(node).__name__, "a network has no such layer")

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
            weight = weight[np.argsort(_positions(self.map))]
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
        settings = _window(node)
        if isinstance(settings, str):
            return settings
        stride, padding, dilation = settings
        layer = L.Conv2d(out, (height, width), stride, padding, dilation, groups)
        self.shape = (out, *_sides(self.shape[1:], (height, width), *settings))
        self._weights(layer, "kernel", kernel, node.bias)
        return None

    def _pool2d(self, node: Any) -> str | None:
        kernel, stride, padding = (
            _pair(value) for value in (node.kernel_size, node.stride, node.padding)
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
        self.shape = (self.shape[0], *_sides(self.shape[1:], kernel, stride, padding, (1, 1)))
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


# Nodes


def _pair(value: Any) -> _Pair:
    first, second = np.broadcast_to(np.asarray(value), 2)
    return int(first), int(second)


def _window(node: Any) -> tuple[_Pair, _Pair, _Pair] | str:
    """Returns stride, padding and dilation of a convolution, or why it has no counterpart."""
    stride, dilation, padding = _pair(node.stride), _pair(node.dilation), node.padding
    if not isinstance(padding, str):
        return stride, _pair(padding), dilation
    if padding == "valid":
        return stride, (0, 0), dilation
    around = [step * (side - 1) for step, side in zip(dilation, node.weight.shape[2:])]
    if stride != (1, 1) or any(both % 2 for both in around):
        return "padding 'same' needs stride 1 and an odd window"
    return stride, (around[0] // 2, around[1] // 2), dilation


def _sides(
    sides: Sequence[int], kernel: _Pair, stride: _Pair, padding: _Pair, dilation: _Pair
) -> _Pair:
    """Returns height and width of a map that windows leave."""
    height, width = (
        (side + 2 * pad - far * (size - 1) - 1) // step + 1
        for side, size, step, pad, far in zip(sides, kernel, stride, padding, dilation)
    )
    return height, width


def _shifts(
    x: FloatArray, kernel: _Pair, stride: _Pair, padding: _Pair, dilation: _Pair
) -> Iterator[tuple[_Pair, FloatArray]]:
    """Yields each element of a window, with its values `[batch, channels, height, width]`."""
    height, width = _sides(x.shape[2:], kernel, stride, padding, dilation)
    (down, across), (top, left) = stride, padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    for row, column in np.ndindex(*kernel):
        y, z = row * dilation[0], column * dilation[1]
        part = padded[:, :, y : y + down * height : down, z : z + across * width : across]
        yield (row, column), part[:, :, :height, :width]


def _apply(node: Any, x: FloatArray) -> FloatArray:
    """Returns the output of a node without a state, `[batch, *shape]`."""
    if isinstance(node, (nir.Linear, nir.Affine)):
        product: FloatArray = x @ np.asarray(node.weight, np.float32).T
        return product + np.float32(node.bias) if isinstance(node, nir.Affine) else product
    if isinstance(node, nir.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
        kernel = _pair(node.kernel_size)
        window = (_pair(node.stride), _pair(node.padding), (1, 1))
        parts = [part for _, part in _shifts(x, kernel, *window)]
        total: FloatArray = np.sum(parts, 0)
        return total / np.float32(len(parts)) if isinstance(node, nir.AvgPool2d) else total
    if isinstance(node, nir.Conv2d):
        return _convolve(node, x)
    if isinstance(node, (nir.Input, nir.Output)):
        return x
    kind = type(node).__name__
    raise Error(f"a {kind} is not simulated: {_NO_LAYER.get(kind, 'gates have no counterpart')}")


def _convolve(node: Any, x: FloatArray) -> FloatArray:
    weight, groups = np.asarray(node.weight, np.float32), int(node.groups)
    window = _window(node)
    if isinstance(window, str):
        raise Error(window)
    out, _, height, width = weight.shape
    sides = _sides(x.shape[2:], (height, width), *window)
    total = np.zeros((len(x), groups, out // groups, math.prod(sides)), np.float32)
    by_group = weight.reshape(groups, out // groups, -1, height, width)
    for (row, column), part in _shifts(x, (height, width), *window):
        values = part.reshape(len(x), groups, -1, math.prod(sides))
        total += by_group[:, :, :, row, column] @ values
    output: FloatArray = total.reshape(len(x), out, *sides)
    return output + np.asarray(node.bias, np.float32)[:, None, None]


def _simulate(
    path: _Path, x: FloatArray, steps: Sequence[int], reset: Reset
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
            values = _apply(node, values)
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
