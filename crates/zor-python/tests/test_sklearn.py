"""Estimators of `zor.sklearn`."""

from __future__ import annotations

import doctest
import importlib
import pickle
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("sklearn")

import zor
import zor.sklearn
from sklearn.base import clone
from sklearn.datasets import (
    load_diabetes,
    load_digits,
    load_iris,
    make_blobs,
    make_friedman1,
)
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from zor.sklearn import ZorAutoencoder, ZorClassifier, ZorDetector, ZorRegressor

pytestmark = pytest.mark.packages

Array = npt.NDArray[Any]

NETWORKS = [ZorAutoencoder, ZorClassifier, ZorRegressor]
ALL = [*NETWORKS, ZorDetector]


@pytest.fixture(scope="module")
def iris() -> tuple[Array, Array]:
    return load_iris(return_X_y=True)


def answers(estimator: Any, x: Array) -> Array:
    """Returns what an estimator says about samples."""
    if isinstance(estimator, ZorAutoencoder):
        return estimator.transform(x)
    if isinstance(estimator, ZorClassifier):
        return estimator.predict_proba(x)
    if isinstance(estimator, ZorRegressor):
        return estimator.predict(x)
    return estimator.score_samples(x)


# No check is expected to fail.
@parametrize_with_checks(
    [
        ZorAutoencoder(steps=100),
        ZorClassifier(steps=150),
        ZorRegressor(steps=150),
        ZorDetector(steps=20, hidden=16),
    ]
)
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", ALL)
def test_a_random_state_decides_the_answers(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    found = [answers(kind(steps=30, random_state=seed).fit(x, y), x) for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    state = np.random.RandomState(0)
    assert np.array_equal(found[0], answers(kind(steps=30, random_state=state).fit(x, y), x))
    assert not np.array_equal(found[0], answers(kind(steps=30, random_state=state).fit(x, y), x))


@pytest.mark.parametrize("kind", ALL)
def test_a_pickled_estimator_answers_as_before(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    fitted = kind(steps=30).fit(x, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(answers(fitted, x), answers(loaded, x))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_clone_has_the_settings_and_no_weights(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    given = {"rule": zor.Rule.backprop(), "optimizer": zor.AdamW(1e-3)}
    fitted = kind(steps=5, hidden_layer_sizes=(8, 4), **given).fit(x, y)
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert cloned.get_params()["optimizer"] == zor.AdamW(1e-3)
    assert not hasattr(cloned, "network_")
    cloned.fit(x, y)


@pytest.mark.parametrize("kind", ALL)
def test_answers_have_the_precision_of_the_samples(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    fitted = kind(steps=5).fit(x, y)
    assert answers(fitted, x).dtype == np.float64
    if kind is not ZorDetector:
        assert answers(fitted, x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("kind", ALL)
def test_samples_that_do_not_fit_are_refused(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    with pytest.raises(NotFittedError):
        answers(kind(), x)
    fitted = kind(steps=5).fit(x, y)
    with pytest.raises(ValueError, match="3 features"):
        answers(fitted, x[:, :3])
    infinite = x.copy()
    infinite[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        answers(fitted, infinite)
    with pytest.raises(ValueError, match="infinity"):
        kind(steps=5).fit(infinite, y)


@pytest.mark.parametrize("kind", NETWORKS)
def test_missing_values_are_refused(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    missing = x.copy()
    missing[7, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        kind(steps=5).fit(missing, y)
    with pytest.raises(ValueError, match="contains NaN"):
        answers(kind(steps=5).fit(x, y), missing)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps == 0"),
        ({"epochs": 0}, "epochs == 0"),
        ({"steps": 1, "epochs": 1}, "mutually exclusive"),
        ({"batch_size": 0}, "batch_size == 0"),
        ({"hidden_layer_sizes": (0,)}, "unit"),
        ({"learning_rate": -1.0}, "rate"),
        ({"rule": "hebb"}, "hebb"),
    ],
)
def test_settings_out_of_range_are_refused(
    kind: Any, settings: dict[str, Any], message: str, iris: tuple[Array, Array]
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings).fit(*iris)


@pytest.mark.parametrize("kind", NETWORKS)
def test_settings_of_another_type_are_refused(kind: Any, iris: tuple[Array, Array]) -> None:
    with pytest.raises(TypeError, match="steps must be an instance of int"):
        kind(steps=2.5).fit(*iris)
    with pytest.raises(TypeError, match="optimizer must be"):
        kind(optimizer="muon").fit(*iris)


@pytest.mark.parametrize("kind", NETWORKS)
def test_steps_are_counted(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    assert kind(steps=7).fit(x, y).n_iter_ == 7
    assert kind(epochs=2, batch_size=64).fit(x, y).n_iter_ == 2 * 3
    fitted = kind(batch_size=2).fit(x, y)
    assert fitted.n_iter_ == 10 * 75 == len(fitted.network_.history)


@pytest.mark.parametrize("kind", NETWORKS)
def test_charges_do_not_carry_over_to_other_samples(kind: Any, iris: tuple[Array, Array]) -> None:
    x, y = iris
    fitted = kind(steps=20, rule="classic", random_state=0).fit(x, y)
    assert fitted.network_.rule == zor.Rule.classic().replace(stateful=False)
    assert np.isfinite(answers(fitted, x)).all()


def test_a_progress_bar_is_shown(
    iris: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    ZorClassifier(steps=3, verbose=True).fit(*iris)
    assert "3" in capsys.readouterr().err
    ZorClassifier(steps=3).fit(*iris)
    assert capsys.readouterr().err == ""


def test_settings_are_searched_in_parallel(iris: tuple[Array, Array]) -> None:
    pipeline = make_pipeline(StandardScaler(), ZorClassifier(random_state=0))
    grid = {
        "zorclassifier__hidden_layer_sizes": [(64,), (64, 64)],
        "zorclassifier__optimizer": [None, zor.AdamW(3e-3)],
    }
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(*iris)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 4


# Classifier


def test_iris_is_classified_as_by_logistic_regression(iris: tuple[Array, Array]) -> None:
    reference = cross_val_score(LogisticRegression(max_iter=1000), *iris, cv=5).mean()
    found = cross_val_score(ZorClassifier(random_state=0), *iris, cv=5).mean()
    assert found > 0.93
    assert found > reference - 0.04


def test_digits_are_classified() -> None:
    x, y = load_digits(return_X_y=True)
    x, x_new, y, y_new = train_test_split(x, y, random_state=0, stratify=y)
    assert ZorClassifier(random_state=0).fit(x, y).score(x_new, y_new) > 0.95


def test_classes_are_those_of_the_targets(iris: tuple[Array, Array]) -> None:
    x, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    classifier = ZorClassifier(random_state=0).fit(x, names[y])
    assert list(classifier.classes_) == list(names)
    assert set(classifier.predict(x)) == set(names)
    probabilities = classifier.predict_proba(x)
    assert probabilities.shape == (150, 3)
    assert np.allclose(probabilities.sum(axis=1), 1)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        classifier.fit(x, y + 0.5)


def test_class_weights_move_the_border() -> None:
    x, y = make_blobs([150, 15], centers=[[0.0], [1.0]], cluster_std=1.0, random_state=0)
    shares = [
        (ZorClassifier(class_weight=weight, random_state=0).fit(x, y).predict(x) == 1).mean()
        for weight in (None, "balanced", {0: 1, 1: 1000})
    ]
    assert shares[0] < 0.05
    assert 0.2 < shares[1] < 0.6
    assert shares[2] > 0.7


def test_smooth_labels_lower_the_confidence(iris: tuple[Array, Array]) -> None:
    x, y = iris
    most = [
        ZorClassifier(label_smoothing=smoothing, random_state=0).fit(x, y).predict_proba(x).max()
        for smoothing in (0.0, 0.3)
    ]
    assert most[0] > 0.98
    assert most[1] < 0.95
    with pytest.raises(ValueError, match="label smoothing"):
        ZorClassifier(label_smoothing=1.5).fit(x, y)


# Regressor


def test_diabetes_is_predicted_as_by_ridge() -> None:
    x, y = load_diabetes(return_X_y=True)
    reference = cross_val_score(Ridge(), StandardScaler().fit_transform(x), y, cv=5).mean()
    found = cross_val_score(ZorRegressor(random_state=0), x, y, cv=5).mean()
    assert found > 0.45
    assert found > reference - 0.03


def test_what_is_not_linear_is_predicted_better_than_by_ridge() -> None:
    x, y = make_friedman1(500, noise=1.0, random_state=0)
    reference = cross_val_score(Ridge(), x, y, cv=3).mean()
    assert cross_val_score(ZorRegressor(random_state=0), x, y, cv=3).mean() > reference + 0.1


def test_predictions_are_in_the_unit_of_the_targets(iris: tuple[Array, Array]) -> None:
    x, _ = iris
    y = x[:, 0] + x[:, 1] * x[:, 2]
    plain = ZorRegressor(steps=100, random_state=0).fit(x, y)
    scaled = ZorRegressor(steps=100, random_state=0).fit(x, 1e6 + 1e3 * y)
    assert np.allclose(scaled.predict(x), 1e6 + 1e3 * plain.predict(x), rtol=1e-6)


def test_several_targets_are_predicted_together(iris: tuple[Array, Array]) -> None:
    x, _ = iris
    regressor = ZorRegressor(random_state=0).fit(x[:, :2], x[:, 2:])
    assert regressor.predict(x[:, :2]).shape == (150, 2)
    assert regressor.score(x[:, :2], x[:, 2:]) > 0.85


# Autoencoder


def test_a_short_code_keeps_more_than_principal_components() -> None:
    x, _ = load_digits(return_X_y=True)
    x, x_new = train_test_split(x, random_state=0)
    autoencoder = ZorAutoencoder(n_components=8, random_state=0).fit(x)
    scaler = StandardScaler().fit(x)
    standardised = scaler.transform(x_new)
    pca = PCA(n_components=8).fit(scaler.transform(x))
    left = standardised - pca.inverse_transform(pca.transform(standardised))
    kept = 1 - (left**2).sum() / ((standardised - standardised.mean(axis=0)) ** 2).sum()
    assert autoencoder.score(x_new) > kept + 0.1


def test_the_code_is_all_that_a_reconstruction_has(iris: tuple[Array, Array]) -> None:
    x, _ = iris
    # Gates whose thresholds moved in the training keep them in encoder and decoder.
    rule = zor.Rule(target_spike_rate=0.3)
    autoencoder = ZorAutoencoder(2, hidden_layer_sizes=(16, 8), rule=rule, steps=50).fit(x)
    code = autoencoder.transform(x)
    assert code.shape == (150, 2)
    assert (code < 0).any()
    rebuilt = autoencoder.inverse_transform(code)
    assert np.array_equal(rebuilt, autoencoder.reconstruct(x))
    whole = autoencoder.network_.predict(autoencoder.scaler_.transform(x))
    assert np.allclose(rebuilt, autoencoder.scaler_.inverse_transform(whole), rtol=1e-6)


def test_a_code_has_names_and_its_own_width() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(load_iris().data, columns=["a", "b", "c", "d"])
    autoencoder = ZorAutoencoder(2, steps=5).set_output(transform="pandas").fit(frame)
    assert list(autoencoder.transform(frame).columns) == ["zorautoencoder0", "zorautoencoder1"]
    assert list(autoencoder.feature_names_in_) == ["a", "b", "c", "d"]
    assert autoencoder.reconstruct(frame).shape == (150, 4)
    with pytest.raises(ValueError, match="feature names"):
        autoencoder.transform(frame.rename(columns={"a": "e"}))
    with pytest.raises(ValueError):
        autoencoder.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n_components == 0"):
        ZorAutoencoder(0).fit(frame)


def test_a_code_serves_a_classifier(iris: tuple[Array, Array]) -> None:
    autoencoder = ZorAutoencoder(2, random_state=0)
    pipeline = make_pipeline(autoencoder, LogisticRegression())
    assert cross_val_score(pipeline, *iris, cv=3).mean() > 0.8


# Detector


def plane(n: int, seed: int) -> Array:
    """Returns rows of four columns that two numbers decide."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ random.normal(size=(2, 4)) + random.normal(0, 0.1, (n, 4))


@pytest.fixture(scope="module")
def rows() -> tuple[Array, Array, Array]:
    x = plane(300, 0)
    strange = x[200:].copy()
    strange[:, 0] = np.random.default_rng(1).permutation(strange[:, 0])
    return x[:200], x[200:], strange


def test_strange_rows_are_outliers(rows: tuple[Array, Array, Array]) -> None:
    normal, new, strange = rows
    detector = ZorDetector(random_state=0).fit(normal)
    scores = detector.score_samples(np.concatenate([new, strange]))
    assert roc_auc_score([1] * len(new) + [0] * len(strange), scores) > 0.85
    assert (detector.predict(new) == -1).mean() < 0.15
    assert (detector.predict(strange) == -1).mean() > 0.6


def test_a_row_is_an_outlier_where_its_p_value_is_at_most_5_percent(
    rows: tuple[Array, Array, Array],
) -> None:
    normal, new, strange = rows
    detector = ZorDetector(random_state=0).fit(normal)
    x = np.concatenate([new, strange])
    p_values = detector.detector_.score(x).p_values
    assert np.array_equal(detector.predict(x) == -1, p_values <= 0.05)
    above = detector.score_samples(x) - detector.offset_
    assert np.array_equal(detector.decision_function(x), above)


def test_contamination_is_the_share_of_outliers(rows: tuple[Array, Array, Array]) -> None:
    normal = rows[0]
    for share in (0.02, 0.3):
        detector = ZorDetector(contamination=share, steps=20, random_state=0)
        assert (detector.fit_predict(normal) == -1).mean() == pytest.approx(share)
    for wrong in (0.0, 0.6):
        with pytest.raises(ValueError, match="contamination"):
            ZorDetector(contamination=wrong).fit(normal)
    with pytest.raises(TypeError, match="contamination"):
        ZorDetector(contamination="none").fit(normal)


def test_missing_cells_are_accepted(rows: tuple[Array, Array, Array]) -> None:
    normal, new, strange = rows
    normal, strange = normal.copy(), strange.copy()
    normal[::5, 1] = strange[::2, 2] = np.nan
    detector = ZorDetector(random_state=0).fit(normal)
    scores = detector.score_samples(np.concatenate([new, strange]))
    assert np.isfinite(scores).all()
    assert roc_auc_score([1] * len(new) + [0] * len(strange), scores) > 0.8


def test_eight_rows_are_enough(rows: tuple[Array, Array, Array]) -> None:
    normal = rows[0]
    detector = ZorDetector(steps=20, random_state=0).fit(normal[:8])
    assert set(detector.predict(normal)) <= {-1, 1}
    with pytest.raises(ValueError, match="minimum of 8 is required"):
        ZorDetector().fit(normal[:7])


def test_settings_of_a_detector_pass_through(rows: tuple[Array, Array, Array]) -> None:
    normal = rows[0]
    settings = {"detection_noise": 0.3}
    noisy = ZorDetector(steps=20, settings=settings, random_state=0).fit(normal)
    plain = ZorDetector(steps=20, random_state=0).fit(normal)
    assert not np.array_equal(noisy.score_samples(normal), plain.score_samples(normal))
    for name in ("colour", "stride"):
        with pytest.raises(zor.Error, match=name):
            ZorDetector(settings={name: 0}).fit(normal)
    with pytest.raises(zor.Error, match="hidden"):
        ZorDetector(hidden=0).fit(normal)


def test_the_examples_run() -> None:
    for name in ("_autoencoder", "_classifier", "_detector", "_regressor"):
        found = doctest.testmod(importlib.import_module(f"zor.sklearn.{name}"))
        assert found.attempted > 0 and found.failed == 0


def test_without_scikit_learn_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith("zor.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match="needs scikit-learn: pip install scikit-learn"):
        importlib.import_module("zor.sklearn")
