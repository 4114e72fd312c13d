"""Estimators with the interface of scikit-learn.

They work wherever those of scikit-learn do: in pipelines, in searches of settings, under
cross-validation. Features are standardised inside, by mean and standard deviation.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("zor.sklearn needs scikit-learn: pip install scikit-learn") from error

from ._autoencoder import ZorAutoencoder
from ._classifier import ZorClassifier
from ._detector import ZorDetector
from ._regressor import ZorRegressor

__all__ = ["ZorAutoencoder", "ZorClassifier", "ZorDetector", "ZorRegressor"]
