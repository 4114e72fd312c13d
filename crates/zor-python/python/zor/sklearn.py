"""Estimators with the interface of scikit-learn.

They work wherever those of scikit-learn do: in pipelines, in searches of settings, under
cross-validation. Features are standardised inside, by mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        OutlierMixin,
        RegressorMixin,
        TransformerMixin,
    )
    from sklearn.metrics import r2_score
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import check_random_state, check_scalar
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.extmath import softmax
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("zor.sklearn needs scikit-learn: pip install scikit-learn") from error

from ._bar import Bar
from .detection import Detector
from .layers import Bias, Dense, Gate, LayerSettings
from .network import Network
from .optimizers import Muon, Optimizer, Schedule
from .rule import Rule, as_rule

__all__ = ["ZorAutoencoder", "ZorClassifier", "ZorDetector", "ZorRegressor"]

Array = npt.NDArray[Any]
Seed = int | np.random.RandomState | None

_FLOATS = (np.float64, np.float32)
# Steps of a training on few samples, and passes over many.
_STEPS, _PASSES = 500, 10
# Share of normal rows that a detector may call outliers where `contamination` is "auto".
_FALSE_ALARM_RATE = 0.05
# A detector cannot be calibrated with fewer rows.
_LEAST_ROWS = 8


class _Trained(BaseEstimator):  # type: ignore[misc]
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
        seed = _seed(random)
        # Charges belong to rows of a batch, and samples are shuffled.
        rule = as_rule(self.rule).replace(stateful=False)
        layers = [Gate("input"), *layers, Gate("output")]
        network = Network(x.shape[1], layers, rule=rule, seed=seed)
        optimizer = self.optimizer
        if optimizer is None:
            schedule = Schedule.linear(self.learning_rate, steps)
            optimizer = Muon(schedule, weight_decay=self.weight_decay)
        size = min(self.batch_size, len(x))
        per_epoch = -(-len(x) // size)
        with Bar(steps, self.verbose) as bar:
            for step in range(steps):
                at = step % per_epoch * size
                if at == 0:
                    order = random.permutation(len(x))
                chosen = order[at : at + size]
                metrics = network.train_batch(
                    x[chosen],
                    y[chosen],
                    optimizer,
                    weights=None if weights is None else weights[chosen],
                    label_smoothing=label_smoothing,
                )
                bar.update(step + 1, metrics.mae)
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
        return max(_STEPS, _PASSES * per_epoch)

    def _hidden(self) -> list[LayerSettings]:
        return [layer for units in self._sizes() for layer in _gated(units)]

    def _sizes(self) -> list[int]:
        return np.atleast_1d(self.hidden_layer_sizes).tolist()  # type: ignore[no-any-return]

    def _read(self, x: Any) -> Array:
        """Returns new samples, standardised as those of the training."""
        check_is_fitted(self)
        x = validate_data(self, x, dtype=_FLOATS, reset=False)
        return self.scaler_.transform(x)  # type: ignore[no-any-return]


class ZorClassifier(ClassifierMixin, _Trained):  # type: ignore[misc]
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
        X, y = validate_data(self, X, y, dtype=_FLOATS)
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


class ZorRegressor(RegressorMixin, _Trained):  # type: ignore[misc]
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
        X, y = validate_data(self, X, y, dtype=_FLOATS, multi_output=True, y_numeric=True)
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


class ZorAutoencoder(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    _Trained,
):
    """An autoencoder of gated dense layers, which reduces samples to a code.

    The layers of the decoder mirror those of the encoder. The units of the code have no gate, so
    that a code may be negative. Without hidden layers the autoencoder is linear, as
    `sklearn.decomposition.PCA` is.

    Args:
        n_components: number of units of the code.
        hidden_layer_sizes: number of units of each layer between input and code, from the input up.
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
        encoder_: the `zor.Network` from standardised samples to codes.
        decoder_: the `zor.Network` from codes to standardised samples.
        network_: the trained `zor.Network`, both one after the other.
        scaler_: the `StandardScaler` of the features.
        n_iter_: number of training steps.
        n_features_in_: number of features.
        feature_names_in_: names of the features, where the samples have names.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from zor.sklearn import ZorAutoencoder
        >>> x, _ = load_digits(return_X_y=True)
        >>> autoencoder = ZorAutoencoder(n_components=8, random_state=0).fit(x)
        >>> autoencoder.transform(x[:2]).shape
        (2, 8)
    """

    def __init__(
        self,
        n_components: int = 8,
        *,
        hidden_layer_sizes: int | Sequence[int] = (64,),
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
        self.n_components = n_components
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

    def fit(self, X: Any, y: Any = None) -> ZorAutoencoder:
        """Trains a new network.

        Args:
            X: samples, `[n, features]`.
            y: ignored.

        Returns:
            The autoencoder.

        Raises:
            ValueError: a setting is out of its range, or `X` has NaN or infinity.
        """
        check_scalar(self.n_components, "n_components", Integral, min_val=1)
        X = validate_data(self, X, dtype=_FLOATS)
        self.scaler_ = StandardScaler().fit(X)
        x = self.scaler_.transform(X)
        encoder = [*self._hidden(), Dense(self.n_components), Bias()]
        sizes = self._sizes()[::-1]
        decoder = [layer for units in sizes for layer in _gated(units)]
        self.network_ = self._train([*encoder, *decoder, Dense(x.shape[1]), Bias()], x, x)
        # A gate for the input comes first.
        code = 1 + len(encoder)
        self.encoder_ = _part(self.network_, x.shape[1], 0, code)
        self.decoder_ = _part(self.network_, self.n_components, code)
        return self

    def transform(self, X: Any) -> Array:
        """Returns the code of each sample, `[n, n_components]`.

        Raises:
            sklearn.exceptions.NotFittedError: the autoencoder is not fitted.
            ValueError: `X` has another number of features, or NaN or infinity.
        """
        x = self._read(X)
        return self.encoder_.predict(x)

    def inverse_transform(self, X: Any) -> Array:
        """Returns the samples that codes `[n, n_components]` stand for, `[n, features]`.

        Raises:
            sklearn.exceptions.NotFittedError: the autoencoder is not fitted.
            ValueError: `X` has another number of columns, or NaN or infinity.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=_FLOATS)
        found: Array = self.scaler_.inverse_transform(self.decoder_.predict(codes))
        return found

    def reconstruct(self, X: Any) -> Array:
        """Returns the samples that the codes of samples stand for, `[n, features]`.

        Raises:
            As `transform`.
        """
        return self.inverse_transform(self.transform(X))

    def score(self, X: Any, y: Any = None) -> float:
        """Returns the share of the variance of standardised features that is reconstructed.

        It is R²: at most 1, and 0 for the mean of the samples.

        Args:
            X: samples, `[n, features]`.
            y: ignored.

        Raises:
            As `transform`.
        """
        x = self._read(X)
        found = self.network_.predict(x)
        return float(r2_score(x, found, multioutput="variance_weighted"))

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.output_shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


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
            dtype=_FLOATS,
            ensure_all_finite="allow-nan",
            ensure_min_samples=_LEAST_ROWS,
        )
        self.detector_ = Detector.fit(
            X,
            seed=_seed(check_random_state(self.random_state)),
            hidden=self.hidden,
            rule=self.rule,
            learning_rate=self.learning_rate,
            steps=self.steps,
            batch=self.batch_size,
            **(self.settings or {}),
        )
        if self.contamination == "auto":
            rate = max(_FALSE_ALARM_RATE, 1 / (len(X) + 1))
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
        X = validate_data(self, X, dtype=_FLOATS, ensure_all_finite="allow-nan", reset=False)
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


def _seed(random: np.random.RandomState) -> int:
    return int(random.randint(np.iinfo(np.int32).max))


def _gated(units: int) -> list[LayerSettings]:
    return [Dense(units), Bias(), Gate()]


def _part(network: Network, width: int, start: int, end: int | None = None) -> Network:
    """Returns some layers of a network, with their weights, as a network of its own.

    Args:
        network: a network of gates, dense layers and biases.
        width: number of inputs of the first of these layers.
        start: position of the first layer.
        end: position after the last layer; the end of the network by default.
    """
    records = network.layer_records()
    layers = [_KINDS[record["kind"]](**record["config"]) for record in records]
    part = Network(width, layers[start:end], rule=network.rule)
    found = {}
    for name, value in network.weights().items():
        position, tensor = name.split(".")
        if int(position) in range(len(layers))[start:end]:
            found[f"{int(position) - start}.{tensor}"] = value
    part.set_weights(found)
    return part


_KINDS: dict[str, type[LayerSettings]] = {"gate": Gate, "dense": Dense, "bias": Bias}
