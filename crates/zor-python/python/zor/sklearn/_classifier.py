"""A classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ..layers import Bias, Dense
from ..optimizers import Optimizer
from ..rule import Rule
from ._trained import FLOATS, Array, Seed, Trained


class ZorClassifier(ClassifierMixin, Trained):  # type: ignore[misc]
    """A classifier of gated dense layers.

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
        label_smoothing: share of each class's target that is spread evenly over all classes, in
            [0, 1].
        class_weight: weight of each class in the training, by class; `"balanced"` for weights that
            are inverse to the number of samples; `None` for equal weights.
        random_state: seed of the weights and of the order of the samples.
        verbose: whether to show a progress bar.

    Attributes:
        classes_: the classes, sorted, `[classes]`.
        network_: the trained `zor.Network`. Its outputs are the logits of standardised samples.
        scaler_: the `StandardScaler` of the features.
        n_iter_: number of training steps.
        n_features_in_: number of features.
        feature_names_in_: names of the features, where the samples have names.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from zor.sklearn import ZorClassifier
        >>> x, y = load_iris(return_X_y=True)
        >>> classifier = ZorClassifier(random_state=0).fit(x, y)
        >>> classifier.predict_proba(x[:2]).shape
        (2, 3)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (64, 64),
        *,
        rule: Rule | str = "default",
        optimizer: Optimizer | None = None,
        learning_rate: float = 0.02,
        weight_decay: float = 0.3,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int = 64,
        label_smoothing: float = 0.02,
        class_weight: dict[Any, Any] | str | None = None,
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> ZorClassifier:
        """Trains a new network.

        Args:
            X: samples, `[n, features]`.
            y: class of each sample, `[n]`: numbers or text.

        Returns:
            The classifier.

        Raises:
            ValueError: a setting is out of its range, `y` has no classes, or `X` has NaN or
                infinity.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        weights = None
        if self.class_weight is not None:
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            weights = by_class[codes]
        self.scaler_ = StandardScaler().fit(X)
        self.network_ = self._train(
            [*self._hidden(), Dense(len(self.classes_)), Bias()],
            self.scaler_.transform(X),
            codes,
            weights=weights,
            label_smoothing=self.label_smoothing,
        )
        return self

    def predict_proba(self, X: Any) -> Array:
        """Returns the probability of each class, `[n, classes]`, in the order of `classes_`.

        Raises:
            sklearn.exceptions.NotFittedError: the classifier is not fitted.
            ValueError: `X` has another number of features, or NaN or infinity.
        """
        x = self._read(X)
        return softmax(self.network_.predict(x), copy=False)  # type: ignore[no-any-return]

    def predict(self, X: Any) -> Array:
        """Returns the most probable class of each sample, `[n]`.

        Raises:
            As `predict_proba`.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]  # type: ignore[no-any-return]
