"""Detectors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zor

NORMAL = np.stack([np.linspace(0, 1, 64), np.linspace(0, 2, 64)], axis=1)


@pytest.fixture(scope="module")
def detector():
    return zor.Detector.fit(NORMAL, steps=200)


def test_strange_rows_score_higher(detector):
    scores = detector.score([[0.5, 1.0], [0.5, 0.1]])
    assert scores.scores[1] > 3 * scores.scores[0] and len(scores) == 2
    assert 0 < scores.p_values[1] < scores.p_values[0] <= 1
    assert detector.alarms(scores, 0.05).tolist() == [False, True]
    causes = detector.explain(scores, 1, most=2)
    assert {cause.column for cause in causes} == {"0", "1"}
    assert sum(cause.share for cause in causes) == pytest.approx(1, abs=1e-5)


def test_missing_cells(detector):
    scores = detector.score([[0.5, np.nan], [np.nan, 1.0]])
    assert np.isfinite(scores.scores).all() and np.isnan(scores.parts[0, 1])


def test_files_and_pickles(detector, tmp_path):
    path = tmp_path / "detector.zor"
    detector.save(path)
    expected = detector.score(NORMAL).scores
    for other in (zor.Detector.load(path), pickle.loads(pickle.dumps(detector))):
        assert (other.score(NORMAL).scores == expected).all()
        assert other.threshold(0.05) == detector.threshold(0.05)


def test_tables_with_names():
    table = {"size": np.arange(32), "kind": ["a", "b"] * 16}
    detector = zor.Detector.fit(table, steps=20, seed=1)
    assert detector.cells == ["size", "kind"]
    assert len(detector.score(table)) == 32
    with pytest.raises(zor.Error, match="size"):
        detector.score({"kind": ["a"]})


def test_a_series():
    wave = np.sin(np.arange(200) / 5)
    detector = zor.Detector.fit(wave, window=8, steps=50, detection_noise=0.1)
    assert len(detector.score(wave)) == 193


def test_on_step():
    seen = []
    zor.Detector.fit(NORMAL, steps=50, on_step=seen.append)
    assert seen and seen[0] == 1

    def stop(step):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        zor.Detector.fit(NORMAL, steps=50, on_step=stop)


def test_numbers_far_from_zero():
    table = 1e9 + np.random.default_rng(0).normal(size=(64, 2))
    detector = zor.Detector.fit(table, steps=100)
    strange = table[:4] + [0, 20]
    assert (detector.score(strange).scores > detector.score(table[:4]).scores).all()


def test_the_calibration_can_be_stopped():
    """A task that is stopped after its training resumes with the calibration."""
    steps = []

    def stop(step):
        steps.append(step)
        if step > 60:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        zor.Detector.fit(NORMAL, steps=50, on_step=stop)
    assert steps[-1] <= 250
