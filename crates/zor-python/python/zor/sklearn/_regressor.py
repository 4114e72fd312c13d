"""A regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import validate_data

from ..layers import Bias, Dense
from ..optimizers import Optimizer
from ..rule import Rule
from ._trained import FLOATS, Array, Seed, Trained


class ZorRegressor(RegressorMixin, Trained):  # type: ignore[misc]
    """A regressor of gated dense layers, for one target or several.

    Targets are standardised in the training; predictions are in the unit of the targets.

    Args:
        hidden_layer_sizes: number of units of each hidden layer, from the input up.
        rule: the learning rule: a `zor.Rule`, or `"default"`, `"classic"` or `"backprop"`. Charges
            do not carry over to the next batch, since samples are shuffled.
        optimizer: an optimizer of `zor.optimizers`; with `None`, `zor.Muon` at a rate that falls to
            zero along a straight line.
        learning_rate: rate of the first step, without `optimizer`.
        weight_decay: each step first multiplies a weight by `1 - rate * weight_decay`; without
            `optimizer`.
        steps: number of training steps; by default 500, or ten passes over the samples if those are
            more.
        epochs: number of passes over the samples, instead of `steps`.
        batch_size: number of samples in a step.
        random_state: seed of the weights and of the order of the samples.
        verbose: whether to show a progress bar.

    Attributes:
        network_: the trained `zor.Network`, for standardised samples and targets.
        scaler_: the `StandardScaler` of the features.
        target_scaler_: the `StandardScaler` of the targets.
        n_iter_: number of training steps.
        n_features_in_: number of features.
        feature_names_in_: names of the features, where the samples have names.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> from zor.sklearn import ZorRegressor
        >>> x, y = load_diabetes(return_X_y=True)
        >>> regressor = ZorRegressor(random_state=0).fit(x, y)
        >>> regressor.predict(x[:2]).shape
        (2,)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (128,),
        *,
        rule: Rule | str = "default",
        optimizer: Optimizer | None = None,
        learning_rate: float = 0.02,
        weight_decay: float = 0.5,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int = 64,
        random_state: Seed = None,
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.rule = rule
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.steps = steps
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> ZorRegressor:
        """Trains a new network.

        Args:
            X: samples, `[n, features]`.
            y: targets, `[n]` or `[n, targets]`.

        Returns:
            The regressor.

        Raises:
            ValueError: a setting is out of its range, or an array has NaN or infinity.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        self._one_target = y.ndim == 1
        y = y.reshape(len(y), -1)
        self.scaler_ = StandardScaler().fit(X)
        self.target_scaler_ = StandardScaler().fit(y)
        self.network_ = self._train(
            [*self._hidden(), Dense(y.shape[1]), Bias()],
            self.scaler_.transform(X),
            self.target_scaler_.transform(y),
        )
        return self

    def predict(self, X: Any) -> Array:
        """Returns the predicted targets, `[n]` or `[n, targets]` as those of `fit`.

        Raises:
            sklearn.exceptions.NotFittedError: the regressor is not fitted.
            ValueError: `X` has another number of features, or NaN or infinity.
        """
        x = self._read(X)
        outputs = self.network_.predict(x)
        found: Array = self.target_scaler_.inverse_transform(outputs)
        return found[:, 0] if self._one_target else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
