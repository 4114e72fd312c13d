"""A detector of outliers."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from ..detection import Detector
from ._trained import FLOATS, Array, Seed, seed_of

# Share of normal rows that a detector may call outliers where `contamination` is "auto".
FALSE_ALARM_RATE = 0.05
# A detector cannot be calibrated with fewer rows.
LEAST_ROWS = 8


class ZorDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """A detector of outliers, which learns from mostly normal rows to restore hidden cells.

    A row is strange where its cells differ from what a network expects of them, given the other
    cells of the row. Missing cells (NaN) need no preparation.

    Args:
        hidden: number of units of each of the two hidden layers.
        rule: the learning rule: `"default"`, `"classic"` or `"backprop"`.
        learning_rate: rate of the first step of `zor.Muon`; it falls to zero along a straight line.
        steps: number of training steps.
        batch_size: number of rows in a step.
        contamination: share of the rows of `fit` that are outliers, in (0, 0.5]; or `"auto"`, with
            which at most 5 % of new normal rows are called outliers, on average over training sets,
            if they come from where the rows of `fit` came from. With fewer than 19 rows that share
            is `1 / (rows + 1)`.
        random_state: seed of the weights and of the batches.
        settings: other settings of `zor.Detector.fit`, by name.

    Attributes:
        detector_: the `zor.Detector`, which also explains its scores.
        offset_: score below which a row is an outlier.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where the rows have names.

    Example:
        >>> import numpy as np
        >>> from zor.sklearn import ZorDetector
        >>> x = np.linspace(0, 1, 64)
        >>> detector = ZorDetector(random_state=0).fit(np.stack([x, 2 * x], axis=1))
        >>> detector.predict([[0.5, 1.0], [0.5, 0.1]])
        array([ 1, -1])
    """

    def __init__(
        self,
        hidden: int = 64,
        *,
        rule: str = "default",
        learning_rate: float = 0.02,
        steps: int = 200,
        batch_size: int = 128,
        contamination: float | str = "auto",
        random_state: Seed = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.hidden = hidden
        self.rule = rule
        self.learning_rate = learning_rate
        self.steps = steps
        self.batch_size = batch_size
        self.contamination = contamination
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any = None) -> ZorDetector:
        """Learns from rows what is normal.

        Args:
            X: rows, `[n, columns]`, at least 8. A few outliers among them do little harm.
            y: ignored.

        Returns:
            The detector.

        Raises:
            ValueError: a setting is out of its range, there are fewer than 8 rows, or `X` has
                infinity.
        """
        if self.contamination != "auto":
            check_scalar(
                self.contamination,
                "contamination",
                Real,
                min_val=0,
                max_val=0.5,
                include_boundaries="right",
            )
        X = validate_data(
            self,
            X,
            dtype=FLOATS,
            ensure_all_finite="allow-nan",
            ensure_min_samples=LEAST_ROWS,
        )
        self.detector_ = Detector.fit(
            X,
            seed=seed_of(check_random_state(self.random_state)),
            hidden=self.hidden,
            rule=self.rule,
            learning_rate=self.learning_rate,
            steps=self.steps,
            batch=self.batch_size,
            **(self.settings or {}),
        )
        if self.contamination == "auto":
            rate = max(FALSE_ALARM_RATE, 1 / (len(X) + 1))
            self.offset_ = -self.detector_.threshold(rate)
        else:
            percent = 100 * float(self.contamination)
            self.offset_ = float(np.percentile(self.score_samples(X), percent))
        return self

    def score_samples(self, X: Any) -> Array:
        """Returns the score of each row, `[n]`. Lower is stranger; most normal rows are above -1.

        Raises:
            sklearn.exceptions.NotFittedError: the detector is not fitted.
            ValueError: `X` has another number of columns, or infinity.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, ensure_all_finite="allow-nan", reset=False)
        return -self.detector_.score(X).scores.astype(np.float64)

    def decision_function(self, X: Any) -> Array:
        """Returns by how much the score of each row is above `offset_`, `[n]`.

        Raises:
            As `score_samples`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Array:
        """Returns -1 for outliers and 1 for other rows, `[n]`.

        Raises:
            As `score_samples`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
