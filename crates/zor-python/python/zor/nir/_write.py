"""From a network to a graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from .._arrays import ArrayLike, FloatArray, rows
from .._error import Error
from ..network import Network
from ._nodes import Path, apply, channels_first, pair, positions, sides_of
from ._simulate import costs

NO_NODE = {
    "concatenate": "NIR has no concatenation",
    "group_norm": "NIR has no normalisation, and this one depends on the sample",
    "residual": "only layers in sequence are converted",
    "upsample": "NIR has no upsampling",
}


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
    x = samples_of(network, calibration, "calibration")
    graph = convert(network, x, quantile, headroom, drop_activation)
    subtraction, zero = costs(network, graph, x[:64], [steps])
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


def samples_of(network: Network, x: Any, name: str) -> FloatArray:
    found = rows(x, name, network.input_shape)
    features = math.prod(network.input_shape)
    if len(found) == 0 or found.shape[1] != features:
        shape = list(found.shape)
        raise Error(f"the {name} has shape {shape}; it must be [n, {features}], with n at least 1")
    if not np.isfinite(found).all():
        raise Error(f"the {name} has NaN or infinity")
    return found


def convert(
    network: Network, x: FloatArray, quantile: float, headroom: float, drop_activation: bool
) -> Any:
    writer = _Writer(network, drop_activation)
    writer.add_all(list(_in_sequence(network.layer_records(), "", "")))
    _scale(writer.nodes, channels_first(x, network.input_shape), quantile, headroom)
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
        self.nodes: Path = []
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
        return NO_NODE.get(kind, "NIR has no such node")

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
            weight = weight[:, positions(self.shape)]
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
            pair(window[setting]) for setting in ("kernel", "stride", "padding")
        )
        if any(padding):
            return "average pools of NIR count their padding, and this one does not"
        node = nir.AvgPool2d(np.array(kernel), np.array(stride), np.array(padding))
        self._node("avgpool2d", name, node)
        self.shape = (self.shape[0], *sides_of(self.shape[1:], kernel, stride, padding, (1, 1)))
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

    def _fold(self, factor: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]) -> str | None:
        node = self.nodes[-1][1] if self.nodes else None
        if not isinstance(node, (nir.Affine, nir.Conv2d)):
            return "there are no weights directly below that it could become part of"
        if len(factor) not in (1, len(node.weight)):
            return "it differs between positions, and the convolution below it does not"
        by_output = factor.reshape(-1, *[1] * (node.weight.ndim - 1))
        node.weight = (node.weight * by_output).astype(np.float32)
        node.bias = (node.bias * factor + offset).astype(np.float32)
        return None


def _scale(nodes: Path, x: FloatArray, quantile: float, headroom: float) -> None:
    """Sets thresholds to the largest activities, and multiplies the weights above by them."""
    unit = 1.0
    for _, node in nodes:
        if isinstance(node, nir.IF):
            x = np.maximum(x, 0)
            largest = float(np.quantile(x, quantile)) or float(x.max()) or 1.0
            node.v_threshold[...] = largest * headroom / unit
            unit = largest * headroom
            continue
        x = apply(node, x)
        if isinstance(node, (nir.Affine, nir.Conv2d)):
            node.weight = node.weight * np.float32(unit)
            unit = 1.0
