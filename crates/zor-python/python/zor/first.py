"""The interface of the first version: `Zor` and `Layer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._arrays import Array, ArrayLike, FloatArray, is_tensor
from ._error import Error
from ._record import Record
from .layers import ACTIVATIONS, Dense, Gate, LayerSettings
from .network import Network, Path
from .optimizers import AdamW, Optimizer
from .rule import Rule


class Layer(Record):
    """A layer of `Zor`.

    Attributes:
        units: number of units.
        activation: an activation function: a name of `zor.layers.ACTIVATIONS`, or a function of an
            array `[batch, units]`. It is called with tensors where the network is.
        threshold: a unit fires when its charge is strictly above this; -2 for the classic rule.
        max_weight: weights to the next layer stay within plus and minus this; 1 for the classic
            rule.
        min_charge: charges below this are reset to zero; -5 for the classic rule.
        stateless: whether charges are zero at the start of each batch.
    """

    units: int
    activation: str | Callable[[Any], Any] | None = None
    threshold: float | None = None
    max_weight: float | None = None
    min_charge: float | None = None
    stateless: bool | None = None


class _Kind:
    """Whether a network is called with tensors."""

    tensors = False


class _Function:
    """An activation function that is called with the kind of array that the network is."""

    def __init__(self, function: Callable[[Any], Any], kind: _Kind) -> None:
        self._function = function
        self.__name__ = getattr(function, "__name__", "function")
        self._kind = kind

    def __call__(self, x: FloatArray) -> Any:
        if not self._kind.tensors:
            return self._function(x)
        import torch

        return self._function(torch.from_numpy(x))


class Zor:
    """A network of dense layers with a gate after each, trained by the classic rule.

    Args:
        layers: the layers, from the input up, or numbers of units.
        rule: the learning rule, or its name.
        optimizer: the optimizer.
        seed: seed of the initial weights.

    Raises:
        zor.Error: there are fewer than two layers, or a setting is out of its range.

    Example:
        >>> import numpy as np
        >>> from zor import Zor, Layer
        >>> snn = Zor([Layer(4), Layer(2), Layer(4)])
        >>> errors = snn.train_batch(np.eye(4), np.eye(4))
        >>> errors.shape
        (4, 4)
    """

    def __init__(
        self,
        layers: Sequence[Layer | int],
        *,
        rule: Rule | str = "classic",
        optimizer: Optimizer = AdamW(),
        seed: int = 0,
    ) -> None:
        self.layers = [Layer(layer) if isinstance(layer, int) else layer for layer in layers]
        if len(self.layers) < 2:
            raise Error(f"a network needs two layers or more; there are {len(self.layers)}")
        self._kind = _Kind()
        last = len(self.layers) - 1
        stack: list[LayerSettings] = []
        for index, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"a layer must be a zor.Layer, not {type(layer).__name__}")
            if index > 0:
                stack.append(Dense(layer.units, weight_limit=self.layers[index - 1].max_weight))
            stack.append(
                Gate(
                    "input" if index == 0 else "output" if index == last else "hidden",
                    threshold=layer.threshold,
                    activation=_activation(layer.activation, self._kind),
                    stateful=None if layer.stateless is None else not layer.stateless,
                    min_charge=layer.min_charge,
                )
            )
        self.network = Network(self.layers[0].units, stack, rule=rule, seed=seed)
        self.optimizer = optimizer

    def train_batch(self, x: Array, y: ArrayLike | None = None) -> Array:
        """Trains on one batch.

        Args:
            x: samples, `[batch, features]`.
            y: targets, `[batch, outputs]`; the samples themselves if not given.

        Returns:
            The error of each output before the step, `target - output`, `[batch, outputs]`: a
            tensor where `x` is one, on its device and of its type.

        Raises:
            TypeError: an argument is not an array of real numbers.
            zor.Error: an array does not fit the network, or has NaN or infinity. The network is
                unchanged then.
        """
        self._kind.tensors = is_tensor(x)
        return self.network.train_batch_errors(x, x if y is None else y, self.optimizer)

    def predict(self, x: Array) -> Array:
        """Returns the outputs `[batch, outputs]` for samples `[batch, features]`.

        Charges start at zero, and the network is unchanged.
        """
        self._kind.tensors = is_tensor(x)
        return self.network.predict(x)

    __call__ = predict

    def accuracy(self, x: ArrayLike, y: ArrayLike | None = None) -> float:
        """Returns `1 - mean |target - output|` of predictions.

        It is no share of right answers: a network that answers with the mean of its targets has a
        high one too.
        """
        self._kind.tensors = is_tensor(x)
        return 1.0 - self.network.evaluate(x, y).mae

    @property
    def accuracy_history(self) -> list[float]:
        """The accuracy of every batch that was trained on, before its step."""
        return [float(value) for value in 1.0 - self.network.history]

    def spike_rates(self) -> list[float]:
        """Returns the share of units that fired in the last training batch, for each layer."""
        return list(self.network.spike_rates().values())

    @property
    def weights(self) -> list[FloatArray]:
        """Copies of the weights between layers, `[inputs, units]` each, from the input up."""
        return list(self.network.weights().values())

    def save(self, path: Path) -> None:
        """Saves the network with the state of its training as a model file.

        Raises:
            OSError: the file cannot be written.
            zor.Error: an activation function is in Python.
        """
        self.network.save(path, state=True)

    @classmethod
    def load(cls, path: Path, *, optimizer: Optimizer = AdamW()) -> Zor:
        """Loads a network of dense layers from a model file.

        Raises:
            FileNotFoundError: there is no such file.
            zor.Error: the file is damaged, of a newer version, or of another kind of network.
        """
        network = Network.load(path)
        snn = cls.__new__(cls)
        snn.layers = _layers_of(network, os.fspath(path))
        snn.network = network
        snn._kind = _Kind()
        snn.optimizer = optimizer
        return snn

    def __repr__(self) -> str:
        return f"Zor({[layer.units for layer in self.layers]})"


def _activation(activation: str | Callable[[Any], Any] | None, kind: _Kind) -> str | _Function:
    if activation is None or isinstance(activation, str):
        return activation or "none"
    if not callable(activation):
        raise TypeError(
            f"activation must be a function or one of {', '.join(ACTIVATIONS)}, not "
            f"{type(activation).__name__}"
        )
    return _Function(activation, kind)


def _layers_of(network: Network, path: str) -> list[Layer]:
    records = network.layer_records()
    kinds = [record["kind"] for record in records]
    if kinds != ["gate"] + ["dense", "gate"] * (len(kinds) // 2) or len(network.input_shape) > 1:
        raise Error(
            f"{path}: it is not a stack of dense layers with a gate after each; load it with "
            f"zor.Network.load"
        )
    units = [int(np.prod(network.input_shape))]
    units += [record["config"]["units"] for record in records if record["kind"] == "dense"]
    gates = [record["config"] for record in records if record["kind"] == "gate"]
    limits = [_limit(record) for record in records if record["kind"] == "dense"] + [None]
    return [
        Layer(
            n,
            activation=None if gate["activation"] == "none" else gate["activation"],
            threshold=gate["threshold"],
            max_weight=limit,
            min_charge=gate["min_charge"],
            stateless=not gate["stateful"],
        )
        for n, gate, limit in zip(units, gates, limits)
    ]


def _limit(dense: dict[str, Any]) -> float | None:
    """Returns the limit of a layer's weights. Files have the largest float for none."""
    limit = dense["config"].get("weight_limit")
    return None if limit is None or limit > 1e38 else float(limit)
