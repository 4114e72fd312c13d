"""What estimators share that train a network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from ..layers import Bias, Dense, Gate, LayerSettings
from ..network import Network
from ..optimizers import Muon, Optimizer, Schedule
from ..rule import Rule, as_rule

Array = npt.NDArray[Any]
Seed = int | np.random.RandomState | None
FLOATS = (np.float64, np.float32)
# Steps of a training on few samples, and passes over many.
STEPS, PASSES = 500, 10


class Trained(BaseEstimator):  # type: ignore[misc]
    """What estimators share that train a network."""

    hidden_layer_sizes: int | Sequence[int]
    rule: Rule | str
    optimizer: Optimizer | None
    learning_rate: float
    weight_decay: float
    steps: int | None
    epochs: int | None
    batch_size: int
    random_state: Seed
    verbose: bool

    def _train(
        self,
        layers: Sequence[LayerSettings],
        x: Array,
        y: Array,
        *,
        weights: Array | None = None,
        label_smoothing: float = 0.0,
    ) -> Network:
        steps = self._count_steps(len(x))
        random = check_random_state(self.random_state)
        # Charges belong to rows of a batch, and samples are shuffled.
        rule = as_rule(self.rule).replace(stateful=False)
        layers = [Gate("input"), *layers, Gate("output")]
        network = Network(x.shape[1], layers, rule=rule, seed=seed_of(random))
        optimizer = self.optimizer
        if optimizer is None:
            schedule = Schedule.linear(self.learning_rate, steps)
            optimizer = Muon(schedule, weight_decay=self.weight_decay)
        network.fit(
            x,
            y,
            optimizer=optimizer,
            steps=steps,
            batch_size=self.batch_size,
            seed=seed_of(random),
            weights=weights,
            label_smoothing=label_smoothing,
            progress=self.verbose,
        )
        self.n_iter_ = steps
        return network

    def _count_steps(self, n: int) -> int:
        check_scalar(self.batch_size, "batch_size", Integral, min_val=1)
        per_epoch = -(-n // min(self.batch_size, n))
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are mutually exclusive; set one of them to None")
        if self.steps is not None:
            return int(check_scalar(self.steps, "steps", Integral, min_val=1))
        if self.epochs is not None:
            return int(check_scalar(self.epochs, "epochs", Integral, min_val=1)) * per_epoch
        return max(STEPS, PASSES * per_epoch)

    def _hidden(self) -> list[LayerSettings]:
        return [layer for units in self._sizes() for layer in gated(units)]

    def _sizes(self) -> list[int]:
        return np.atleast_1d(self.hidden_layer_sizes).tolist()  # type: ignore[no-any-return]

    def _read(self, x: Any) -> Array:
        """Returns new samples, standardised as those of the training."""
        check_is_fitted(self)
        x = validate_data(self, x, dtype=FLOATS, reset=False)
        return self.scaler_.transform(x)  # type: ignore[no-any-return]


def seed_of(random: np.random.RandomState) -> int:
    return int(random.randint(np.iinfo(np.int32).max))


def gated(units: int) -> list[LayerSettings]:
    return [Dense(units), Bias(), Gate()]
