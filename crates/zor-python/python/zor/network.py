"""Networks: their layers, weights and training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from . import _zor
from ._arrays import Array, ArrayLike, FloatArray, floats, like, rows, targets
from ._bar import Bar, Shown
from ._error import Error
from ._record import Record
from .layers import ActivationFunction, Dense, Gate, LayerSettings, _Functions, _records
from .optimizers import AdamW, Optimizer
from .rule import Rule, as_rule
from .sequences import Sequences

Path = str | os.PathLike[str]


class Metrics(NamedTuple):
    """Errors of outputs against their targets.

    Attributes:
        n: number of values.
        mae: mean absolute error.
        mse: mean squared error.
    """

    n: int
    mae: float
    mse: float

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio in dB for values in [0, 1]: `-10 log10(mse)`."""
        return -10 * math.log10(self.mse) if self.mse > 0 else math.inf

    @classmethod
    def _of(cls, sums: tuple[int, float, float]) -> Metrics:
        n, absolute, squared = sums
        return cls(n, absolute / n, squared / n)


class Progress(Record):
    """Progress of a training, for callbacks.

    Attributes:
        step: number of steps done.
        steps: number of steps of the training.
        metrics: errors of the outputs of the last batch, from before its step.
        network: the network.
    """

    step: int
    steps: int
    metrics: Metrics
    network: Network


Callback = Callable[[Progress], "bool | None"]
"""A function that is called after each step. The training stops where it returns `True`."""


class Network:
    """A stack of layers, its weights and the state of its training.

    Samples are rows: `[batch, features]`, or `[batch, *input_shape]`. Maps have their channels
        last.
    Threads may share a network; a call waits until the call of another thread has returned.

    Args:
        input_shape: shape of one sample: a number of features, or such as `(28, 28, 1)`.
        layers: settings of the layers, from the input up; see `zor.layers`.
        rule: the learning rule, or its name: `"default"`, `"classic"` or `"backprop"`.
        seed: seed of the initial weights.

    Raises:
        zor.Error: a setting is out of its range, or a layer does not take the output of the one
            below it.
        MemoryError: the weights do not fit into the free memory.

    Example:
        >>> import zor
        >>> network = zor.Network.dense([784, 64, 784])
        >>> network.n_parameters
        100352
    """

    _native: _zor.Network
    notes: dict[str, str]
    """Notes that model files carry with the network."""

    def __init__(
        self,
        input_shape: int | Sequence[int],
        layers: Sequence[LayerSettings],
        *,
        rule: Rule | str | None = None,
        seed: int = 0,
    ) -> None:
        shape = [input_shape] if isinstance(input_shape, int) else list(input_shape)
        for name, value in [("seed", seed), *(("a size of the input", size) for size in shape)]:
            if not 0 <= value < 1 << 63:
                raise Error(f"{name} is {value}; it must be an integer of at least 0")
        functions: _Functions = []
        records = _records(layers, functions)
        text = _to_json(records)
        self._native = _zor.Network(shape, text, functions, as_rule(rule)._json(), seed)
        self.notes = {}
        self._describe()

    def _describe(self) -> None:
        found = json.loads(self._native.description())
        self._input_shape = tuple(found["input_shape"])
        self._output_shape = tuple(found["output_shape"])
        self._n_parameters = int(found["n_parameters"])

    @classmethod
    def _with(cls, native: _zor.Network, notes: dict[str, str]) -> Network:
        network = cls.__new__(cls)
        network._native = native
        network.notes = notes
        network._describe()
        return network

    @classmethod
    def dense(
        cls,
        sizes: Sequence[int],
        *,
        activations: Sequence[str | ActivationFunction] | None = None,
        rule: Rule | str | None = None,
        seed: int = 0,
    ) -> Network:
        """Builds a network of dense layers without biases, and a gate after each size.

        The rule decides whether the gates of the input and the output have a threshold (its
        `gate_input` and `gate_output`). Scale inputs and targets to about -1 to 1 first.

        Args:
            sizes: number of features of the input, then units of each layer.
            activations: an activation function for each size, the input's included; none by
                default.
            rule: the learning rule, or its name.
            seed: seed of the initial weights.

        Raises:
            zor.Error: there are fewer than two sizes, or not one activation per size.
        """
        functions = ["none"] * len(sizes) if activations is None else list(activations)
        if len(sizes) < 2 or len(functions) != len(sizes):
            raise Error(
                f"a dense network needs two sizes or more, with one activation each; got "
                f"{len(sizes)} sizes and {len(functions)} activations"
            )
        stack: list[LayerSettings] = [Gate("input", activation=functions[0])]
        for index, units in enumerate(sizes[1:], 1):
            is_last = index == len(sizes) - 1
            gate = Gate("output" if is_last else "hidden", activation=functions[index])
            stack += [Dense(units), gate]
        return cls(sizes[0], stack, rule=rule, seed=seed)

    # Files

    @classmethod
    def load(cls, path: Path) -> Network:
        """Loads a network from a model file or a checkpoint.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: the file cannot be read.
            zor.Error: the file is damaged, of a newer version, or no model file.
        """
        return cls._with(*_zor.Network.load(os.fspath(path)))

    def save(self, path: Path, *, dtype: str = "f32", state: bool = False) -> None:
        """Saves the network as a model file, which the command `zor` and Rust read too.

        The file is complete once it has its name; an older file of that name is replaced then.

        Args:
            path: path of the file, usually ending in `.zor`.
            dtype: type of the weights: `"f32"`, `"f16"` or `"bf16"`.
            state: whether to save the state of the training too: that of the optimizer, charges and
                history. A training continues from it with the same bits.

        Raises:
            OSError: the file cannot be written.
            zor.Error: a layer cannot be saved, such as a gate with a function in Python.
        """
        if not state:
            self._native.save(os.fspath(path), self.notes, dtype)
            return
        if dtype != "f32":
            raise Error(f"the state of a training is saved as f32, not as {dtype}")
        self._native.save_checkpoint(os.fspath(path), self.notes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_bytes, (type(self), self._native.to_bytes(self.notes))

    def __copy__(self) -> Network:
        return self.copy()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Network:
        return self.copy()

    def copy(self) -> Network:
        """Returns a copy of weights, state of the optimizer, charges and history."""
        return self._with(self._native.duplicate(), dict(self.notes))

    # Training

    def train_batch(
        self,
        x: ArrayLike | Sequences,
        y: ArrayLike | None = None,
        optimizer: Optimizer = AdamW(),
        *,
        known: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        label_smoothing: float = 0.0,
    ) -> Metrics:
        """Trains on one batch.

        Args:
            x: samples, `[batch, features]` or `[batch, *input_shape]`; or sequences, whose
                positions are the rows of the batch.
            y: target values, `[batch, outputs]`, or classes as integers, `[batch]`; the samples
                themselves if not given, as for an autoencoder. Positions that the network leaves
                out, such as prefixes, have no target.
            optimizer: the optimizer. Its state is kept with the weights.
            known: 1 where a target value is known and 0 where it is missing, `[batch, outputs]`.
            weights: weight of each row, `[batch]`; only for classes.
            label_smoothing: share of each class's target that is spread evenly over all classes.

        Returns:
            Errors of the outputs before the step; for classes, of their probabilities.

        Raises:
            TypeError: an argument is not an array of real numbers, or not an optimizer.
            zor.Error: an array does not fit the network, or has NaN or infinity. The network is
                unchanged then.
        """
        native = _native_of(optimizer)
        inputs, goal = self._batch(x, y)
        mask, weight = self._weighting(known, weights)
        sums = self._native.train_batch(native, inputs, goal, mask, weight, label_smoothing)
        return Metrics._of(sums)

    def _batch(
        self, x: ArrayLike | Sequences, y: ArrayLike | None
    ) -> tuple[FloatArray | _zor.Sequences, npt.NDArray[Any]]:
        """Returns an input and its target for the extension."""
        if isinstance(x, Sequences):
            if y is None:
                raise Error("sequences need a target: the class of each row of the output")
            return x._native, targets(y, "target", self._output_shape)
        inputs = rows(x, "input", self._input_shape)
        goal = inputs if y is None else targets(y, "target", self._output_shape)
        return inputs, goal

    def _weighting(
        self, known: ArrayLike | None, weights: ArrayLike | None
    ) -> tuple[FloatArray | None, FloatArray | None]:
        mask = None if known is None else rows(known, "mask of known targets", self._output_shape)
        weight = None if weights is None else floats(weights, "weights")
        if weight is not None and weight.ndim != 1:
            raise Error(f"the weights have shape {list(weight.shape)}; they must be [batch]")
        return mask, weight

    def train_batch_errors(self, x: Array, y: ArrayLike, optimizer: Optimizer = AdamW()) -> Array:
        """Trains on one batch, as `train_batch` does.

        Returns:
            The error of each output before the step, `target - output`, `[batch, outputs]`, as an
            array of the kind of `x`.
        """
        inputs = rows(x, "input", self._input_shape)
        goal = inputs if y is x else rows(y, "target", self._output_shape)
        errors = self._native.train_batch_errors(_native_of(optimizer), inputs, goal)
        return like(x)(errors)  # type: ignore[no-any-return]

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        optimizer: Optimizer = AdamW(),
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int = 48,
        seed: int = 0,
        shuffle: bool = True,
        known: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        label_smoothing: float = 0.0,
        callback: Callback | None = None,
        progress: Shown = False,
    ) -> Metrics:
        """Trains on batches of samples.

        Every sample is seen once before any is seen again. Ctrl-C between two steps raises
        `KeyboardInterrupt`; the network stays usable, and the steps until then are kept.

        Args:
            x: samples, `[n, features]` or `[n, *input_shape]`.
            y: target values or classes of the samples, as in `train_batch`.
            optimizer: the optimizer.
            steps: number of steps; mutually exclusive with `epochs`, which is 10 by default.
            epochs: number of passes over the samples.
            batch_size: number of samples in a batch.
            seed: seed of the order of the samples.
            shuffle: whether samples are drawn in random order.
            known, weights, label_smoothing: as in `train_batch`, for all samples.
            callback: called with a `Progress` after each step; the training stops where it returns
                `True`, and ends with the exception where it raises one.
            progress: whether to show a progress bar: `tqdm`'s where it is installed.

        Returns:
            Errors of the last batch, from before its step.

        Raises:
            TypeError, zor.Error: as `train_batch`.
        """
        inputs = rows(x, "input", self._input_shape)
        goal = inputs if y is None else targets(y, "target", self._output_shape)
        mask, weight = self._weighting(known, weights)
        n = len(inputs)
        for name, one in (("targets", goal), ("masks", mask), ("weights", weight)):
            if one is not None and len(one) != n:
                raise Error(f"there are {n} samples and {len(one)} {name}")
        if n == 0:
            raise Error("there are no samples to train on")
        if batch_size < 1:
            raise Error(f"batch_size is {batch_size}; it must be at least 1")
        for setting, value in (("steps", steps), ("epochs", epochs)):
            if value is not None and value < 0:
                raise Error(f"{setting} is {value}; it must be zero or above")
        if steps is not None and epochs is not None:
            raise Error("steps and epochs are mutually exclusive; give only one of them")
        size = min(batch_size, n)
        per_epoch = -(-n // size)
        total = (10 if epochs is None else epochs) * per_epoch if steps is None else steps
        native, train = _native_of(optimizer), self._native.train_batch
        random = np.random.default_rng(seed)
        order: npt.NDArray[np.intp] = np.arange(n)
        metrics = Metrics(0, math.nan, math.nan)
        with Bar(total, progress) as bar:
            for step in range(total):
                at = step % per_epoch * size
                if at == 0 and shuffle:
                    order = random.permutation(n)
                chosen = order[at : at + size]
                batch = inputs[chosen]
                target = batch if y is None else goal[chosen]
                masked = None if mask is None else mask[chosen]
                weighted = None if weight is None else weight[chosen]
                sums = train(native, batch, target, masked, weighted, label_smoothing)
                metrics = Metrics._of(sums)
                bar.update(step + 1, metrics.mae)
                if callback is not None and callback(Progress(step + 1, total, metrics, self)):
                    break
        return metrics

    def begin_phase(self) -> None:
        """Restarts the schedule of the learning rate at the next step."""
        self._native.begin_phase()

    def reset(self) -> None:
        """Sets charges and spikes to those of a new network."""
        self._native.reset()

    def reset_optimizer(self) -> None:
        """Clears the state of the optimizer."""
        self._native.reset_optimizer()

    # Predictions

    @overload
    def predict(self, x: Sequences) -> FloatArray: ...
    @overload
    def predict(self, x: Array) -> Array: ...
    def predict(self, x: Any) -> Any:
        """Returns the outputs for samples, from zero charges. The state of training is unchanged.

        Args:
            x: samples, `[batch, features]` or `[batch, *input_shape]`; or sequences, whose
                positions are the rows of the batch.

        Returns:
            Outputs `[batch, outputs]`, as an array of the kind of `x`. Positions of sequences that
            the network leaves out, such as prefixes, have none.

        Raises:
            TypeError: `x` is not an array of real numbers.
            zor.Error: `x` does not fit the network, or has NaN or infinity.
        """
        if isinstance(x, Sequences):
            return self._native.predict(x._native)
        return like(x)(self._native.predict(rows(x, "input", self._input_shape)))

    __call__ = predict

    def predict_stateful(self, x: Array) -> Array:
        """Returns the outputs for a batch whose rows continue those of the previous batch.

        Charges of hidden layers change as in training.
        """
        outputs = self._native.predict_stateful(rows(x, "input", self._input_shape))
        return like(x)(outputs)  # type: ignore[no-any-return]

    def training_forward(self, x: Array) -> Array:
        """Returns the outputs that a training step would compare with its target.

        They have passed the output gate, and start from the charges of the training.
        """
        outputs = self._native.training_forward(rows(x, "input", self._input_shape))
        return like(x)(outputs)  # type: ignore[no-any-return]

    def evaluate(self, x: ArrayLike | Sequences, y: ArrayLike | None = None) -> Metrics:
        """Returns the errors of predictions against targets, as in `train_batch`."""
        return Metrics._of(self._native.evaluate(*self._batch(x, y)))

    # What is inside

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input sample."""
        return self._input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output sample."""
        return self._output_shape

    @property
    def n_parameters(self) -> int:
        """Number of trained values."""
        return self._n_parameters

    @property
    def rule(self) -> Rule:
        """The rule that the network was built with."""
        return Rule(**json.loads(self._native.description())["rule"])

    def layer_records(self) -> list[dict[str, Any]]:
        """Returns kind and settings of each layer, as model files have them.

        A layer with an activation function in Python has no `"config"`.
        """
        found: list[dict[str, Any]] = json.loads(self._native.description())["layers"]
        return found

    def weights(self) -> dict[str, FloatArray]:
        """Returns copies of all trained values and running means by name, `[rows, columns]` each.

        A name has the position of the layer and the tensor's own: `1.weight`. A dense layer's is
        `[inputs, units]`; a convolution's kernel is `[window positions * inputs, channels]`.
        """
        return {name: value for name, _, value in self._native.tensors()}

    def set_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Replaces values by name, and clears the state of the optimizer for each of them.

        Values beyond a layer's `weight_limit` are brought within it by the next step.

        Raises:
            zor.Error: a name is unknown, a shape differs, or a value is not finite. The network is
                unchanged then.
        """
        found = {str(name): floats(value, name) for name, value in weights.items()}
        for name, value in found.items():
            if value.ndim != 2:
                raise Error(f"'{name}' has shape {list(value.shape)}; it must be [rows, columns]")
        self._native.set_tensors(found)

    def spike_rates(self) -> dict[int, float]:
        """Returns the share of units that fired in the last training batch, in [0, 1].

        The keys are positions of gates that fire, from the input up.
        """
        return dict(self._native.spike_rates())

    def charges(self) -> dict[int, FloatArray]:
        """Returns the charges `[batch, units]` after the last batch, by position of the gate.

        Only gates whose rule is stateful keep charges.
        """
        return dict(self._native.charges())

    @property
    def history(self) -> FloatArray:
        """Mean absolute error of each training step, from before the step, `[steps]`.

        Of a long training these are the last steps, at least 65,536.
        """
        return self._native.history()

    def cosine_to_backprop(
        self, x: ArrayLike | Sequences, y: ArrayLike | None = None
    ) -> list[float]:
        """Returns how close the rule's updates are to backpropagation's gradient.

        The network is unchanged. 1 means that both point in one direction.

        Args:
            x: samples, as in `train_batch`.
            y: targets, as in `train_batch`.

        Returns:
            The cosine for each trained weight matrix, from the first layer to the last.

        Raises:
            zor.Error: the batch does not fit the network, or a layer has no counterpart under
                autodiff: dropout, and a gate whose activation function is in Python.
        """
        return self._native.cosines(*self._batch(x, y))

    def summary(self) -> str:
        """Returns a table of layers with shapes, parameters and multiply-adds of one sample."""
        return self._native.summary()

    def __repr__(self) -> str:
        shapes = f"{list(self._input_shape)} -> {list(self._output_shape)}"
        return f"<zor.Network {shapes}, {self._n_parameters} parameters>"


def _from_bytes(cls: type[Network], data: bytes) -> Network:
    return cls._with(*_zor.Network.from_bytes(data))


def _native_of(optimizer: Optimizer) -> _zor.Optimizer:
    try:
        return optimizer._native
    except AttributeError:
        raise TypeError(
            f"optimizer must be a zor.AdamW, zor.Muon or zor.Sgd, not {type(optimizer).__name__}"
        ) from None


def _to_json(records: list[dict[str, Any]]) -> str:
    try:
        return json.dumps(records, allow_nan=False, default=_number)
    except ValueError:
        raise Error("a setting of a layer is NaN or infinite") from None


def _number(value: Any) -> Any:
    """Returns numbers of NumPy as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a setting of a layer is a {type(value).__name__}")
