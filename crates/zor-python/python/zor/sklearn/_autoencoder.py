"""An autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from ..layers import Bias, Dense, Gate, LayerSettings
from ..network import Network
from ..optimizers import Optimizer
from ..rule import Rule
from ._trained import FLOATS, Array, Seed, Trained, gated


class ZorAutoencoder(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    Trained,
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
        X = validate_data(self, X, dtype=FLOATS)
        self.scaler_ = StandardScaler().fit(X)
        x = self.scaler_.transform(X)
        encoder = [*self._hidden(), Dense(self.n_components), Bias()]
        sizes = self._sizes()[::-1]
        decoder = [layer for units in sizes for layer in gated(units)]
        self.network_ = self._train([*encoder, *decoder, Dense(x.shape[1]), Bias()], x, x)
        # A gate for the input comes first.
        code = 1 + len(encoder)
        self.encoder_ = part(self.network_, x.shape[1], 0, code)
        self.decoder_ = part(self.network_, self.n_components, code)
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
        codes = check_array(X, dtype=FLOATS)
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


def part(network: Network, width: int, start: int, end: int | None = None) -> Network:
    """Returns some layers of a network, with their weights, as a network of its own.

    Args:
        network: a network of gates, dense layers and biases.
        width: number of inputs of the first of these layers.
        start: position of the first layer.
        end: position after the last layer; the end of the network by default.
    """
    records = network.layer_records()
    layers = [KINDS[record["kind"]](**record["config"]) for record in records]
    part = Network(width, layers[start:end], rule=network.rule)
    found = {}
    for name, value in network.weights().items():
        position, tensor = name.split(".")
        if int(position) in range(len(layers))[start:end]:
            found[f"{int(position) - start}.{tensor}"] = value
    part.set_weights(found)
    return part


KINDS: dict[str, type[LayerSettings]] = {"gate": Gate, "dense": Dense, "bias": Bias}
