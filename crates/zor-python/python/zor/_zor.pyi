"""
The extension module.
"""

import numpy.typing
from _typeshed import Incomplete, SupportsGetItem
from os import PathLike
from typing import Any, Final, SupportsFloat, SupportsIndex, final

__all__ = ["__version__", "Detector", "Network", "Optimizer", "Sequences", "Translator", "after_fork", "command", "end", "load_images", "load_numpy", "load_sample", "panic_for_tests", "preset_rule", "score_translations", "set_num_threads", "task_names", "train"]

__version__: Final[str]
"""
Version of the package.
"""

@final
class Detector:
    """
    A detector of anomalies.
    """
    def cells(self, /) -> list[str]:
        """
        Returns the names of the cells of a row.
        """
    def explain(self, /, parts: SupportsGetItem[int, SupportsFloat | SupportsIndex], values: SupportsGetItem[int, SupportsFloat | SupportsIndex], expected: SupportsGetItem[int, SupportsFloat | SupportsIndex], most: SupportsIndex) -> list[tuple[str, float, str, str]]:
        """
        Returns the cells that make a row strange, the strangest first.
        """
    @staticmethod
    def fit(table: tuple[str, SupportsGetItem[int, SupportsIndex], bool] | str | PathLike[str], settings: str, on_step: Any | None) -> Detector:
        """
        Learns from the rows of a table, with settings as JSON.
        """
    @staticmethod
    def from_bytes(bytes: bytes) -> Detector:
        """
        Loads a detector from the bytes of a model file.
        """
    @staticmethod
    def load(path: str | PathLike[str]) -> Detector:
        """
        Loads a detector from a model file or the folder of a run or task.
        """
    def n_parameters(self, /) -> int:
        """
        Returns the sum of the sizes of the trained weights.
        """
    def save(self, /, path: str | PathLike[str]) -> None:
        """
        Saves a model file.
        """
    def score(self, /, table: tuple[str, SupportsGetItem[int, SupportsIndex], bool] | str | PathLike[str]) -> "tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]":
        """
        Scores the rows of a table.
        """
    def threshold(self, /, rate: SupportsFloat | SupportsIndex) -> float:
        """
        Returns the score above which a share `rate` of normal rows is expected.
        """
    def to_bytes(self, /) -> bytes:
        """
        Returns the bytes of a model file.
        """

@final
class Network:
    """
    A network: layers, their weights and the state of their training.
    """
    def __new__(cls, /, input_shape: SupportsGetItem[int, SupportsIndex], layer_settings: str, functions: SupportsGetItem[int, tuple[str, Any]], rule: str, seed: SupportsIndex) -> Network:
        """
        Builds a network with weights drawn from a seed.
        """
    def begin_phase(self, /) -> None:
        """
        Restarts the schedule of the learning rate.
        """
    def charges(self, /) -> "list[tuple[int, numpy.typing.NDArray[numpy.float32]]]":
        """
        Returns the charges after the last batch, by position of the layer.
        """
    def cosines(self, /, x: Incomplete | Sequences, targets: Incomplete) -> list[float]:
        """
        Returns the cosine between the update and backpropagation's gradient for each weight matrix,
        from the first layer to the last.
        """
    def description(self, /) -> str:
        """
        Returns shapes, number of parameters, rule and layers as JSON. Settings of layers that
        cannot be saved are left out.
        """
    def duplicate(self, /) -> Network:
        """
        Returns a copy with its state.
        """
    def evaluate(self, /, x: Incomplete | Sequences, targets: Incomplete) -> tuple[int, float, float]:
        """
        Returns the sums of errors of predictions.
        """
    @staticmethod
    def from_bytes(bytes: bytes) -> tuple[Network, dict[str, str]]:
        """
        Loads a network from the bytes of a model file.
        """
    def history(self, /) -> "numpy.typing.NDArray[numpy.float32]":
        """
        Returns the mean absolute error of each training step, `[steps]`; of a long training the
        last steps, at least 65,536.
        """
    @staticmethod
    def load(path: str | PathLike[str]) -> tuple[Network, dict[str, str]]:
        """
        Loads a network and its notes from a model file.
        """
    def predict(self, /, x: Incomplete | Sequences) -> "numpy.typing.NDArray[numpy.float32]":
        """
        Returns the outputs for rows, from zero charges.
        """
    def predict_stateful(self, /, x: Incomplete) -> "numpy.typing.NDArray[numpy.float32]":
        """
        Returns the outputs for a batch that continues the rows of previous batches.
        """
    def reset(self, /) -> None:
        """
        Sets charges and spikes to those of a new network.
        """
    def reset_optimizer(self, /) -> None:
        """
        Clears the state of the optimizer.
        """
    def save(self, /, path: str | PathLike[str], notes: dict[str, str], dtype: str) -> None:
        """
        Saves a model file with values of a type, `f32`, `f16` or `bf16`.
        """
    def save_checkpoint(self, /, path: str | PathLike[str], notes: dict[str, str]) -> None:
        """
        Saves a checkpoint, which holds what `to_bytes` returns.
        """
    def set_tensors(self, /, values: dict[str, Incomplete]) -> None:
        """
        Replaces all tensors, or none, and clears the state of the optimizer.
        """
    def spike_rates(self, /) -> list[tuple[int, float]]:
        """
        Returns the share of units that fired in the last training batch, by position of the layer.
        """
    def summary(self, /) -> str:
        """
        Returns a table of layers, shapes, parameters and multiply-adds.
        """
    def tensors(self, /) -> "list[tuple[str, bool, numpy.typing.NDArray[numpy.float32]]]":
        """
        Returns all tensors: name, whether it is trained, and the value, `[rows, columns]`.
        """
    def to_bytes(self, /, notes: dict[str, str]) -> bytes:
        """
        Returns the bytes of a checkpoint: weights, state of the optimizer, charges and history.
        """
    def train_batch(self, /, optimizer: Optimizer, x: Incomplete | Sequences, targets: Incomplete, known: Incomplete | None, weights: Incomplete | None, smoothing: SupportsFloat | SupportsIndex) -> tuple[int, float, float]:
        """
        Trains on a batch. Returns the number of values and the sums of absolute and squared errors.
        """
    def train_batch_errors(self, /, optimizer: Optimizer, x: Incomplete, targets: Incomplete) -> "numpy.typing.NDArray[numpy.float32]":
        """
        Trains on a batch. Returns the error of each output before the step, `target - output`.
        """
    def training_forward(self, /, x: Incomplete) -> "numpy.typing.NDArray[numpy.float32]":
        """
        Returns the outputs that a training step would compare with its target.
        """

@final
class Optimizer:
    """
    An optimizer with its settings. The classes of `zor.optimizers` create it.
    """
    @staticmethod
    def adamw(learning_rate: tuple[SupportsFloat | SupportsIndex, SupportsIndex, str, SupportsIndex], betas: tuple[SupportsFloat | SupportsIndex, SupportsFloat | SupportsIndex], epsilon: SupportsFloat | SupportsIndex, weight_decay: SupportsFloat | SupportsIndex) -> Optimizer:
        """
        Creates AdamW.
        """
    @staticmethod
    def muon(learning_rate: tuple[SupportsFloat | SupportsIndex, SupportsIndex, str, SupportsIndex], momentum: SupportsFloat | SupportsIndex, nesterov: bool, weight_decay: SupportsFloat | SupportsIndex, iterations: SupportsIndex) -> Optimizer:
        """
        Creates Muon.
        """
    @staticmethod
    def rate(learning_rate: tuple[SupportsFloat | SupportsIndex, SupportsIndex, str, SupportsIndex], step: SupportsIndex) -> float:
        """
        Returns the learning rate of a step, counted from 1, of a schedule.
        """
    @staticmethod
    def sgd(learning_rate: tuple[SupportsFloat | SupportsIndex, SupportsIndex, str, SupportsIndex], momentum: SupportsFloat | SupportsIndex, nesterov: bool, weight_decay: SupportsFloat | SupportsIndex) -> Optimizer:
        """
        Creates stochastic gradient descent.
        """

@final
class Sequences:
    """
    Sequences of tokens. The class `zor.Sequences` creates it.
    """
    def __new__(cls, /, tokens: Incomplete, lengths: SupportsGetItem[int, SupportsIndex], prefixes: SupportsGetItem[int, SupportsIndex] | None) -> Sequences:
        """
        Creates sequences from their tokens, one sequence after another, their lengths, and the
        numbers of positions in their prefixes.
        """

@final
class Translator:
    """
    A network that translates, with its vocabulary and its lexicons.
    """
    @staticmethod
    def from_bytes(bytes: bytes) -> Translator:
        """
        Loads a translator from the bytes of a model file.
        """
    def languages(self, /) -> list[str]:
        """
        Returns the two languages.
        """
    @staticmethod
    def load(path: str | PathLike[str]) -> Translator:
        """
        Loads a translator from a model file or the folder of a run or task.
        """
    def to_bytes(self, /) -> bytes:
        """
        Returns the bytes of a model file.
        """
    def translate(self, /, lines: SupportsGetItem[int, str], to: str, beam: SupportsIndex, n_best: SupportsIndex, glossary: SupportsGetItem[int, tuple[str, str]], one_way: bool) -> list[list[tuple[str, float]]]:
        """
        Returns the best translations of each line, text and score, the best one first.
        """

def after_fork() -> None:
    """
    Replaces threads that a fork of the process does not have.
    """

def command(arguments: SupportsGetItem[int, str]) -> int:
    """
    Runs the command line with the arguments after the program's name. Returns its exit code.
    """

def end() -> None:
    """
    Lets no other thread take the interpreter's lock from now on. The interpreter calls it before it
    ends.
    """

def load_images(name: str, data_dir: str | PathLike[str] | None, download: bool) -> "tuple[tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]], tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]]]":
    """
    Loads a data set by name; downloads it if it is nowhere.
    """

def load_numpy() -> None:
    """
    Loads what NumPy has for extensions, when the package is imported: later, a signal could
    interrupt it.
    """

def load_sample() -> "tuple[tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]], tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]]]":
    """
    Loads the sample of Fashion-MNIST that is inside the package.
    """

def panic_for_tests() -> None:
    """
    Panics inside a computation. For the test that a panic is an exception.
    """

def preset_rule(name: str) -> str:
    """
    Returns the rule of a name, `default`, `classic` or `backprop`, as JSON.
    """

def score_translations(hypotheses: SupportsGetItem[int, str], references: SupportsGetItem[int, str]) -> tuple[float, float, int, str, str]:
    """
    Scores translations, the hypotheses, against a reference for each.
    """

def set_num_threads(threads: SupportsIndex) -> None:
    """
    Sets the number of threads of the computation.
    """

def task_names() -> list[tuple[str, str]]:
    """
    Returns the names and descriptions of all tasks.
    """

def train(settings: str, out: str | PathLike[str] | None, overwrite: bool, resume: str | PathLike[str] | None, from_model: str | PathLike[str] | None, checkpoint_every: SupportsIndex | None, keep: SupportsIndex, told: tuple[Any, Any, Any, Any]) -> str:
    """
    Trains a task in a run folder. Returns the results as JSON.
    """
