"""Optimizers, and schedules of their learning rate."""

from __future__ import annotations

from typing import Literal

from . import _zor
from ._record import Record

__all__ = ["AdamW", "Muon", "Optimizer", "Schedule", "Sgd"]


class Schedule(Record):
    """A learning rate that depends on the step alone.

    The rate grows linearly for `warm_up` steps to `peak`, then decays to zero at step `steps`.

    Attributes:
        peak: maximum learning rate.
        decay: `"constant"`, `"linear"`, or `"cosine"` (Loshchilov and Hutter 2017).
        steps: number of steps until the decay ends, warm-up included.
        warm_up: number of steps of linear growth.
    """

    peak: float
    decay: Literal["constant", "linear", "cosine"] = "constant"
    steps: int = 0
    warm_up: int = 0

    @classmethod
    def constant(cls, peak: float) -> Schedule:
        """Returns a constant rate."""
        return cls(peak)

    @classmethod
    def linear(cls, peak: float, steps: int, warm_up: int = 0) -> Schedule:
        """Returns a decay to zero along a straight line."""
        return cls(peak, "linear", steps, warm_up)

    @classmethod
    def cosine(cls, peak: float, steps: int, warm_up: int = 0) -> Schedule:
        """Returns a decay to zero along half a cosine."""
        return cls(peak, "cosine", steps, warm_up)

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 1."""
        return _zor.Optimizer.rate(_parts(self), step)


Rate = float | Schedule
"""A constant learning rate, or a schedule."""


def _parts(rate: Rate) -> tuple[float, int, str, int]:
    if not isinstance(rate, Schedule):
        return (rate, 0, "constant", 0)
    return (rate.peak, rate.warm_up, rate.decay, rate.steps)


class Optimizer(Record):
    """Settings of an optimizer: `AdamW`, `Muon` or `Sgd`. Its state is kept with each weight."""

    @property
    def _native(self) -> _zor.Optimizer:
        return self.__dict__["_made"]  # type: ignore[no-any-return]

    def _check(self) -> None:
        self.__dict__["_made"] = self._build()

    def __getstate__(self) -> dict[str, object]:
        return self._values()

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._check()

    def _build(self) -> _zor.Optimizer:
        raise NotImplementedError


class AdamW(Optimizer):
    """Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019).

    Attributes:
        learning_rate: a constant rate or a `Schedule`.
        betas: decay rates of the two moments, in [0, 1).
        epsilon: added to the root of the second moment.
        weight_decay: each step first multiplies a weight by `1 - learning_rate * weight_decay`; 0
            for Adam.

    Raises:
        zor.Error: a setting is out of its range.
    """

    learning_rate: Rate = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01

    def _build(self) -> _zor.Optimizer:
        rate = _parts(self.learning_rate)
        return _zor.Optimizer.adamw(rate, self.betas, self.epsilon, self.weight_decay)


class Muon(Optimizer):
    """Momentum whose direction is orthogonalised before it is applied (Jordan et al. 2024).

    Vectors, such as biases, take AdamW steps at a tenth of the rate.

    Attributes:
        learning_rate: a constant rate or a `Schedule`. A step changes a matrix by about this much
            in every direction that it acts on.
        momentum: share of the previous direction that is kept, in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        weight_decay: each step first multiplies a weight by `1 - learning_rate * weight_decay`.
        iterations: number of applications of the polynomial that orthogonalises, 1 to 20.

    Raises:
        zor.Error: a setting is out of its range.
    """

    learning_rate: Rate = 0.02
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    iterations: int = 5

    def _build(self) -> _zor.Optimizer:
        rate = _parts(self.learning_rate)
        return _zor.Optimizer.muon(
            rate, self.momentum, self.nesterov, self.weight_decay, self.iterations
        )


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum and decoupled weight decay.

    Attributes:
        learning_rate: a constant rate or a `Schedule`.
        momentum: share of the previous direction that is kept, in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        weight_decay: each step first multiplies a weight by `1 - learning_rate * weight_decay`.

    Raises:
        zor.Error: a setting is out of its range.
    """

    learning_rate: Rate = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def _build(self) -> _zor.Optimizer:
        rate = _parts(self.learning_rate)
        return _zor.Optimizer.sgd(rate, self.momentum, self.nesterov, self.weight_decay)
