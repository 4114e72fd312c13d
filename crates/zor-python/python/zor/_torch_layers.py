"""Modules of PyTorch for the layers of networks.

Inside a model, vectors are `[batch, units]`, maps `[batch, channels, height, width]`, and samples
of other shapes `[batch, channels, positions]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ._error import Error

Shape = tuple[int, ...]
_Pair = tuple[int, int]

_Config = dict[str, Any]
_Modules = dict[str, nn.Module]
_Built = tuple[_Modules, Shape]
"""Modules for a layer by name, and the shape of a sample after it, channels last."""


class Gate(nn.Module):
    """A gate: `v = x - inhibition` where that exceeds the threshold, else zero."""

    def __init__(self, threshold: float, inhibition: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.inhibition = inhibition

    def forward(self, x: Tensor) -> Tensor:
        charge = x - self.inhibition if self.inhibition else x
        return torch.where(charge > self.threshold, charge, 0.0)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, inhibition={self.inhibition:g}"


class Bias(nn.Module):
    """An offset per channel, `[channels]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.reshape(-1, *[1] * (x.dim() - 2))

    def extra_repr(self) -> str:
        return str(len(self.bias))


class Scale(nn.Module):
    """Multiplication by a constant factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class SampleSoftmax(nn.Module):
    """The softmax over all values of a sample."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).softmax(1).reshape(x.shape)


class ChannelsFirst(nn.Module):
    """Samples `[batch, features]` or `[batch, *shape]`, channels last, with channels first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape if len(shape) == 3 else (math.prod(shape[:-1]), shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape).movedim(-1, 1)

    def extra_repr(self) -> str:
        return str(list(self.shape))


class Rows(nn.Module):
    """Samples with channels first as rows `[batch, features]`, with channels last."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).flatten(1)


class AveragePool2d(nn.Module):
    """The mean of each window without its padding, which may exceed half of the window."""

    def __init__(self, kernel: _Pair, stride: _Pair, padding: _Pair) -> None:
        super().__init__()
        vertical, horizontal = padding
        self.pad = nn.ZeroPad2d((horizontal, horizontal, vertical, vertical))
        self.pool = nn.AvgPool2d(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        covered: Tensor = self.pool(self.pad(torch.ones_like(x[:1, :1])))
        sums: Tensor = self.pool(self.pad(x))
        return sums / covered


class _Branch(nn.Module):
    def __init__(self, layers: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut


class Residual(_Branch):
    """The sum of a shortcut and the output of layers."""

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layers(x) + self.shortcut(x)
        return output


class Concatenate(_Branch):
    """The channels of a shortcut, then those of the output of layers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.shortcut(x), self.layers(x)], 1)


def sequential(modules: _Modules) -> nn.Sequential:
    """Returns modules in sequence, under their names."""
    found = nn.Sequential()
    for name, module in modules.items():
        found.add_module(name, module)
    return found


@dataclass(frozen=True)
class _At:
    """Place of a layer.

    Attributes:
        index: its name in the model.
        key: prefix of the keys of its values in the model.
        name: prefix of the names of its values in the network.
        path: prefix of layers inside it, for messages.
    """

    index: str
    key: str
    name: str
    path: str


class Builder:
    """Builds modules, and collects the network's name for each of their keys."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def chain(
        self, records: list[_Config], shape: Shape, key: str, name: str, first: int, path: str
    ) -> _Built:
        """Returns modules for layers in sequence, and the shape of a sample after them.

        Args:
            records: the layers.
            shape: shape of a sample at the input, channels last.
            key: prefix of the keys of the model, with its dot.
            name: prefix of the names of the network, with its dot.
            first: number of the first layer in names of the network.
            path: where the layers are, for messages.
        """
        modules: _Modules = {}
        for index, record in enumerate(records):
            kind = record["kind"]
            label = f"{path}layer {index} ({kind})"
            if "config" not in record:
                inside = "" if kind == "gate" else " of a gate inside it"
                raise Error(
                    f"{label}: the activation function{inside} is in Python, and a network does "
                    f"not give it back; use one of zor.layers.ACTIVATIONS"
                )
            build = getattr(self, f"build_{kind}", None)
            if build is None:
                raise Error(f"{label}: there is no module for this kind of layer")
            at = _At(str(index), f"{key}{index}.", f"{name}{first + index}.", f"{label}, ")
            added, shape = build(record["config"], shape, at)
            modules.update(added)
        return modules, shape

    def _tensor(self, at: _At, **names: str) -> None:
        for key, name in names.items():
            self.names[at.key + key] = at.name + name

    # Weights

    def build_dense(self, config: _Config, shape: Shape, at: _At) -> _Built:
        self._tensor(at, weight="weight")
        modules: _Modules = {f"{at.index}_rows": Rows()} if len(shape) > 1 else {}
        modules[at.index] = nn.Linear(math.prod(shape), config["units"], bias=False)
        return modules, (config["units"],)

    def build_conv2d(self, config: _Config, shape: Shape, at: _At) -> _Built:
        self._tensor(at, weight="kernel")
        window = config["window"]
        kernel, stride, padding, dilation = (
            tuple(window[name]) for name in ("kernel", "stride", "padding", "dilation")
        )
        transposed = config.get("transposed", False)
        module = (nn.ConvTranspose2d if transposed else nn.Conv2d)(
            shape[2],
            config["channels"],
            kernel,
            stride,
            padding,
            dilation=dilation,
            groups=config["groups"],
            bias=False,
        )
        module.weight.requires_grad_(not config.get("frozen", False))
        sides = tuple(_slid(side, window, axis, transposed) for axis, side in enumerate(shape[:2]))
        modules: _Modules = {at.index: module}
        pool = config.get("max_pool")
        if pool is not None:
            modules[f"{at.index}_pool"] = nn.MaxPool2d(pool)
            sides = tuple(side // pool for side in sides)
        return modules, (*sides, config["channels"])

    def build_bias(self, _: _Config, shape: Shape, at: _At) -> _Built:
        self._tensor(at, bias="offset")
        return {at.index: Bias(shape[-1])}, shape

    def build_batch_norm(self, config: _Config, shape: Shape, at: _At) -> _Built:
        self._tensor(at, weight="scale", bias="shift", running_mean="mean", running_var="variance")
        kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        module = kind(shape[-1], config["epsilon"], config["momentum"])
        module.weight.requires_grad_(config["trains_scale"])
        return {at.index: module}, shape

    def build_group_norm(self, config: _Config, shape: Shape, at: _At) -> _Built:
        self._tensor(at, weight="scale", bias="shift")
        return {at.index: nn.GroupNorm(config["groups"], shape[-1], config["epsilon"])}, shape

    # Functions

    def build_gate(self, config: _Config, shape: Shape, at: _At) -> _Built:
        fires = config["spikes"] and config["place"] != "output"
        function = _activation(config["activation"], shape)
        if not fires:
            return {at.index: function or nn.Identity()}, shape
        threshold, inhibition = config["threshold"], config.get("inhibition", 0.0)
        is_relu = threshold == 0 and inhibition == 0
        gate = nn.ReLU() if is_relu else Gate(threshold, inhibition)
        modules: _Modules = {at.index: gate}
        if function is not None:
            modules[f"{at.index}_activation"] = function
        return modules, shape

    def build_scale(self, config: _Config, shape: Shape, at: _At) -> _Built:
        return {at.index: Scale(config["factor"])}, shape

    def build_dropout(self, config: _Config, shape: Shape, at: _At) -> _Built:
        return {at.index: nn.Dropout(config["probability"])}, shape

    # Maps

    def build_pool2d(self, config: _Config, shape: Shape, at: _At) -> _Built:
        window, is_max = config["window"], config["pooling"] == "max"
        if window is None:
            module = nn.AdaptiveMaxPool2d(1) if is_max else nn.AdaptiveAvgPool2d(1)
            return {at.index: module}, (1, 1, shape[2])
        sides = [_slid(side, window, axis, False) for axis, side in enumerate(shape[:2])]
        return {at.index: _pool(window, is_max)}, (*sides, shape[2])

    def build_upsample(self, config: _Config, shape: Shape, at: _At) -> _Built:
        factor = config["factor"]
        after = (shape[0] * factor, shape[1] * factor, shape[2])
        return {at.index: nn.Upsample(scale_factor=factor)}, after

    def build_reshape(self, config: _Config, shape: Shape, at: _At) -> _Built:
        after = tuple(config["shape"]) or (math.prod(shape),)
        parts: list[nn.Module] = [Rows()] if len(shape) > 1 else []
        parts += [ChannelsFirst(after)] if len(after) > 1 else []
        module = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
        return {at.index: module}, after

    # Containers

    def build_sequence(self, config: _Config, shape: Shape, at: _At) -> _Built:
        modules, after = self.chain(config["layers"], shape, at.key, at.name, 0, at.path)
        return {at.index: sequential(modules)}, after

    def build_residual(self, config: _Config, shape: Shape, at: _At) -> _Built:
        layers, shortcut, after, _ = self._paths(config, shape, at)
        return {at.index: Residual(layers, shortcut)}, after

    def build_concatenate(self, config: _Config, shape: Shape, at: _At) -> _Built:
        layers, shortcut, after, past = self._paths(config, shape, at)
        return {at.index: Concatenate(layers, shortcut)}, (*after[:-1], after[-1] + past[-1])

    def _paths(
        self, config: _Config, shape: Shape, at: _At
    ) -> tuple[nn.Sequential, nn.Sequential, Shape, Shape]:
        records, beside = config["layers"], config["shortcut"]
        layers, after = self.chain(records, shape, f"{at.key}layers.", at.name, 0, at.path)
        first, path = len(records), f"{at.path}shortcut "
        shortcut, past = self.chain(beside, shape, f"{at.key}shortcut.", at.name, first, path)
        return sequential(layers), sequential(shortcut), after, past


def _slid(side: int, window: _Config, axis: int, transposed: bool) -> int:
    """Returns the side of a map after a window has slid over it, or before for the transposed."""
    kernel, stride, padding, dilation = (
        window[name][axis] for name in ("kernel", "stride", "padding", "dilation")
    )
    extent = dilation * (kernel - 1) + 1 - 2 * padding
    return int((side - 1) * stride + extent if transposed else (side - extent) // stride + 1)


def _pool(window: _Config, is_max: bool) -> nn.Module:
    kernel, stride, padding, dilation = (
        tuple(window[name]) for name in ("kernel", "stride", "padding", "dilation")
    )
    # PyTorch's own padding ends at half of the window.
    extents = [step * (side - 1) + 1 for side, step in zip(kernel, dilation)]
    is_wide = any(2 * pad > extent for pad, extent in zip(padding, extents))
    if not is_max:
        if is_wide:
            return AveragePool2d(kernel, stride, padding)
        return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)
    if is_wide:
        around = (padding[1], padding[1], padding[0], padding[0])
        pad = nn.ConstantPad2d(around, -math.inf)
        return nn.Sequential(pad, nn.MaxPool2d(kernel, stride, 0, dilation))
    return nn.MaxPool2d(kernel, stride, padding, dilation)


def _activation(name: str, shape: Shape) -> nn.Module | None:
    if name == "softmax":
        return nn.Softmax(1) if len(shape) == 1 else SampleSoftmax()
    modules: dict[str, nn.Module | None] = {
        "none": None,
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(0.01),
        "gelu": nn.GELU(),
        "silu": nn.SiLU(),
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
    }
    return modules[name]
