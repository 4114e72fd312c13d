"""Settings of layers.

A network is built from a list of them, from the input up. Shapes of samples are `[features]` for
vectors and `[height, width, channels]` for maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ._arrays import FloatArray, floats
from ._error import Error
from ._record import Record

__all__ = [
    "AveragePool2d",
    "BatchNorm",
    "Bias",
    "Concatenate",
    "Conv2d",
    "Copying",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Gate",
    "GlobalPool2d",
    "GroupNorm",
    "LayerNorm",
    "LayerSettings",
    "MaxPool2d",
    "Reshape",
    "Residual",
    "RmsNorm",
    "Scale",
    "Sequential",
    "SpikeAttention",
    "TiedEmbedding",
    "Upsample",
]

ActivationFunction = Callable[[FloatArray], npt.ArrayLike]
"""A function of an array `[batch, units]` that keeps its shape."""

ACTIVATIONS = ("none", "relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "softmax")
"""Names of the activation functions that Zor has."""

Pair = int | tuple[int, int]
"""A number for both axes, or one for the height and one for the width."""

_Functions = list[tuple[str, Callable[[FloatArray], FloatArray]]]


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class LayerSettings(Record):
    """Settings of a layer."""

    _kind: ClassVar[str]

    def _config(self) -> dict[str, Any]:
        return self._values()

    def _record(self, functions: _Functions) -> dict[str, Any]:
        """Returns the layer as a model file has it. Adds functions in Python to a list."""
        return {"kind": self._kind, "config": self._config()}


class Dense(LayerSettings):
    """A matrix of weights: `y = x W`, with `W` `[inputs, units]`.

    Attributes:
        units: number of outputs.
        normalize_presynaptic: overrides `Rule.normalize_presynaptic`.
        weight_limit: overrides `Rule.weight_limit`.
        initial_scale: overrides `Rule.initial_scale`.
    """

    _kind = "dense"
    units: int
    normalize_presynaptic: bool | None = None
    weight_limit: float | None = None
    initial_scale: float | None = None


class Gate(LayerSettings):
    """An analog-spike gate: a unit passes its value where it exceeds the threshold, else zero.

    Attributes:
        place: `"input"` for a gate before the first weights, `"output"` for one after the last,
            `"hidden"` for all others. An output gate fires in training alone.
        threshold: overrides `Rule.threshold`.
        activation: applied to the gated values: a name of `ACTIVATIONS`, or a function of an array
            `[batch, units]`. A network with a function can be trained and copied, not saved.
        inhibition: subtracted from the input.
        spikes: overrides whether units fire at all.
        sparsity: overrides `Rule.sparsity`.
        target_spike_rate: overrides `Rule.target_spike_rate`.
        signal_gate: overrides `Rule.signal_gate`.
        normalize_signal: overrides `Rule.normalize_signal`.
        keep_signal_norm: overrides `Rule.keep_signal_norm`.
        stateful: overrides `Rule.stateful`.
        min_charge: overrides `Rule.min_charge`.
    """

    _kind = "gate"
    place: Literal["input", "hidden", "output"] = "hidden"
    threshold: float | None = None
    activation: str | ActivationFunction = "none"
    inhibition: float = 0.0
    spikes: bool | None = None
    sparsity: Literal["threshold", "inhibition"] | None = None
    target_spike_rate: float | None = None
    signal_gate: Literal["on_the_way_down", "in_correlation"] | None = None
    normalize_signal: bool | None = None
    keep_signal_norm: bool | None = None
    stateful: bool | None = None
    min_charge: float | None = None

    def _record(self, functions: _Functions) -> dict[str, Any]:
        config = self._values()
        activation = self.activation
        if isinstance(activation, str):
            if activation not in ACTIVATIONS:
                raise Error(
                    f"activation is '{activation}'; it must be one of {', '.join(ACTIVATIONS)}, "
                    f"or a function"
                )
            return {"kind": self._kind, "config": config}
        if not callable(activation):
            raise TypeError(
                f"activation must be a name or a function, not {type(activation).__name__}"
            )
        del config["activation"]
        config["function"] = len(functions)
        functions.append((getattr(activation, "__name__", "function"), _checked(activation)))
        return {"kind": "python_gate", "config": config}


def _checked(function: ActivationFunction) -> Callable[[FloatArray], FloatArray]:
    def call(x: FloatArray) -> FloatArray:
        return np.ascontiguousarray(floats(function(x), "output of the activation function"))

    return call


class Bias(LayerSettings):
    """A trained offset per channel: `y = x + b`."""

    _kind = "bias"


class Scale(LayerSettings):
    """Multiplication by a constant factor, finite and not zero."""

    _kind = "scale"
    factor: float


class Dropout(LayerSettings):
    """Zeros at random places in training (Srivastava et al. 2014).

    Attributes:
        probability: probability that a value becomes zero, at least 0 and below 1.
        seed: seed of the masks; drawn with the network's weights if not given.
    """

    _kind = "dropout"
    probability: float
    seed: int | None = None


class BatchNorm(LayerSettings):
    """Normalisation of each channel over batch and positions (Ioffe and Szegedy 2015).

    Attributes:
        epsilon: added to the variance.
        momentum: weight of a batch in the running means that predictions use.
        trains_scale: whether the scale is trained; otherwise it stays 1.
    """

    _kind = "batch_norm"
    epsilon: float = 1e-5
    momentum: float = 0.1
    trains_scale: bool = True


class GroupNorm(LayerSettings):
    """Normalisation of each sample within groups of channels (Wu and He 2018).

    Attributes:
        groups: number of groups.
        epsilon: added to the variance.
    """

    _kind = "group_norm"
    groups: int
    epsilon: float = 1e-5


def LayerNorm(epsilon: float = 1e-5) -> GroupNorm:
    """Returns layer normalisation (Ba et al. 2016): a group norm with one group."""
    return GroupNorm(1, epsilon)


class RmsNorm(LayerSettings):
    """Division of each row by the root mean square of its values (Zhang and Sennrich 2019).

    Attributes:
        epsilon: added to the mean square.
    """

    _kind = "rms_norm"
    epsilon: float = 1e-6


class SpikeAttention(LayerSettings):
    """Spike attention: a pair of positions passes its score as a weight where it is high enough.

    The input has queries, keys and values of all heads, as `Dense(3 * width)` makes them; the
    output has `width` values. Rows of a batch without `zor.Sequences` are one sequence.

    Attributes:
        heads: number of heads, which divides the width.
        threshold: a score passes when it is strictly above this.
        rotation_base: base of the rotations of queries and keys by their places (Su et al. 2021);
            `None` leaves them without places.
        longest: maximum length of a sequence.
    """

    _kind = "spike_attention"
    heads: int
    threshold: float = 0.0
    rotation_base: float | None = 1000.0
    longest: int = 1024


class Conv2d(LayerSettings):
    """A convolution of maps `[height, width, channels]`.

    Attributes:
        channels: number of output channels.
        kernel: side of the window, or its height and width.
        stride: distance between neighbouring windows.
        padding: zeros on every side, or `"same"`, which keeps height and width for odd windows.
        dilation: distance between neighbouring elements of the window.
        groups: number of channel groups; a group's outputs depend on its inputs alone.
        transposed: whether it is the transposed convolution.
        max_pool: side of the squares of outputs that are max-pooled; `None` for no pooling.
        normalize_presynaptic: overrides `Rule.normalize_presynaptic`.
        weight_limit: overrides `Rule.weight_limit`.
        initial_scale: overrides `Rule.initial_scale`.
        identity: whether the first output channels start as copies of the input channels.
        frozen: whether the kernel is not trained.
    """

    _kind = "conv2d"
    channels: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair | Literal["same"] = 0
    dilation: Pair = 1
    groups: int = 1
    transposed: bool = False
    max_pool: int | None = None
    normalize_presynaptic: bool | None = None
    weight_limit: float | None = None
    initial_scale: float | None = None
    identity: bool = False
    frozen: bool = False

    def _config(self) -> dict[str, Any]:
        config = self._values()
        kernel = _pair(config.pop("kernel"))
        dilation = _pair(config.pop("dilation"))
        padding = config.pop("padding")
        same = [(side - 1) * step // 2 for side, step in zip(kernel, dilation)]
        config["window"] = {
            "kernel": kernel,
            "stride": _pair(config.pop("stride")),
            "padding": same if padding == "same" else _pair(padding),
            "dilation": dilation,
        }
        return config


class _WindowPool(LayerSettings):
    _kind = "pool2d"
    _pooling: ClassVar[str]
    kernel: Pair = 2
    stride: Pair | None = None
    padding: Pair = 0

    def _config(self) -> dict[str, Any]:
        window = {
            "kernel": _pair(self.kernel),
            "stride": _pair(self.kernel if self.stride is None else self.stride),
            "padding": _pair(self.padding),
            "dilation": [1, 1],
        }
        return {"pooling": self._pooling, "window": window}


class MaxPool2d(_WindowPool):
    """The maximum of each window.

    Attributes:
        kernel: side of the window, or its height and width.
        stride: distance between neighbouring windows; by default windows tile the map.
        padding: padding on every side.
    """

    _pooling = "max"


class AveragePool2d(_WindowPool):
    """The mean of each window, without its padding.

    Attributes:
        kernel: side of the window, or its height and width.
        stride: distance between neighbouring windows; by default windows tile the map.
        padding: padding on every side.
    """

    _pooling = "average"


class GlobalPool2d(LayerSettings):
    """One value per channel: the mean or the maximum of the whole map.

    Attributes:
        pooling: `"average"` or `"max"`.
    """

    _kind = "pool2d"
    pooling: Literal["average", "max"] = "average"

    def _config(self) -> dict[str, Any]:
        return {"pooling": self.pooling, "window": None}


class Upsample(LayerSettings):
    """Each value becomes a square whose side is `factor`."""

    _kind = "upsample"
    factor: int = 2


class Reshape(LayerSettings):
    """Another shape of samples, of as many values."""

    _kind = "reshape"
    shape: Sequence[int]

    def _config(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}


def Flatten() -> Reshape:
    """Returns the layer that turns maps into vectors."""
    return Reshape(())


def _records(layers: Sequence[LayerSettings], functions: _Functions) -> list[dict[str, Any]]:
    found = []
    for layer in layers:
        if not isinstance(layer, LayerSettings):
            raise TypeError(
                f"a network is built from the layers of zor.layers, not {type(layer).__name__}"
            )
        found.append(layer._record(functions))
    return found


class Sequential(LayerSettings):
    """Layers one after another, as one layer."""

    _kind = "sequence"
    layers: Sequence[LayerSettings] = ()

    def _record(self, functions: _Functions) -> dict[str, Any]:
        return {"kind": self._kind, "config": {"layers": _records(self.layers, functions)}}


class Copying(Record):
    """Settings of an output that copies tokens behind positions of prefixes; see `TiedEmbedding`.

    Attributes:
        size: columns of a query, an even number.
        suggestions: whether tokens that a lexicon suggests are copied too.
        rotation_base: base of the rotations of queries and keys by their places; `None` leaves them
            without places.
        longest: maximum length of a sequence.
    """

    size: int
    suggestions: bool = False
    rotation_base: float | None = 1000.0
    longest: int = 1024


class Embedding(LayerSettings):
    """An embedding for each token, which is the input, as in `zor.Sequences`.

    Attributes:
        vocabulary: number of tokens.
        width: number of values of an embedding.
    """

    _kind = "embedding"
    vocabulary: int
    width: int


class TiedEmbedding(LayerSettings):
    """Token embeddings around inner layers, and their transpose as the output layer.

    The input is the token of each position, as in `zor.Sequences`; the outputs are scores of all
    tokens (Press and Wolf 2017).

    Attributes:
        vocabulary: number of tokens.
        width: number of values of an embedding.
        layers: inner layers, which keep the width.
        skip_prefix: whether only positions behind the prefix of each sequence have outputs.
        copies: adds tokens that follow positions of the prefix to the outputs behind it. It
            implies `skip_prefix`.
    """

    _kind = "tied_embedding"
    vocabulary: int
    width: int
    layers: Sequence[LayerSettings] = ()
    skip_prefix: bool = False
    copies: Copying | None = None

    def _check(self) -> None:
        if not isinstance(self.copies, Copying | None):
            raise TypeError(
                f"copies must be a zor.layers.Copying, not {type(self.copies).__name__}"
            )

    def _record(self, functions: _Functions) -> dict[str, Any]:
        config = self._values()
        config["layers"] = _records(self.layers, functions)
        config["copies"] = self.copies and self.copies._values()
        return {"kind": self._kind, "config": config}


class _Branch(LayerSettings):
    layers: Sequence[LayerSettings] = ()
    shortcut: Sequence[LayerSettings] = ()

    def _record(self, functions: _Functions) -> dict[str, Any]:
        config = {
            "layers": _records(self.layers, functions),
            "shortcut": _records(self.shortcut, functions),
        }
        return {"kind": self._kind, "config": config}


class Residual(_Branch):
    """A residual block (He et al. 2016): the sum of its shortcut and the output of its layers.

    Attributes:
        layers: layers of the branch.
        shortcut: layers of the shortcut; the input itself if empty.
    """

    _kind = "residual"


class Concatenate(_Branch):
    """A skip connection (Ronneberger et al. 2015): shortcut and output of its layers, concatenated.

    Attributes:
        layers: layers of the branch.
        shortcut: layers of the shortcut; the input itself if empty.
    """

    _kind = "concatenate"
