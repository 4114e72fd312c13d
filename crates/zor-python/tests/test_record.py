"""Settings as immutable objects."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import zor
from zor import layers as L


def test_values_by_order_and_by_name():
    gate = L.Gate("input", activation="relu")
    assert (gate.place, gate.activation, gate.threshold) == ("input", "relu", None)
    assert gate == L.Gate(place="input", activation="relu") != L.Gate("input")
    assert hash(gate) == hash(L.Gate("input", activation="relu"))
    assert repr(L.Scale(2.0)) == "Scale(factor=2.0)"
    assert L.Residual([L.Dense(3)]).shortcut == ()
    assert gate.replace(threshold=0.5).threshold == 0.5


def test_wrong_values_are_named():
    for make, message in [
        (lambda: L.Dense(), "Dense needs 'units'"),
        (lambda: L.Dense(3, unit=4), "Dense has no 'unit'; it has units,"),
        (lambda: L.Dense(3, units=4), "'units' was given twice"),
        (lambda: L.Scale(1.0, 2.0), "takes 1 values; 2 were given"),
    ]:
        with pytest.raises(TypeError, match=message):
            make()


def test_they_do_not_change():
    rule = zor.Rule()
    with pytest.raises(AttributeError, match="replace"):
        rule.threshold = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del rule.threshold
    assert rule == zor.Rule()


@pytest.mark.parametrize(
    "record",
    [zor.Rule.classic(), zor.Sgd(0.1), zor.Schedule.cosine(0.1, 9), L.Conv2d(3), zor.Layer(4)],
)
def test_copies_are_equal(record):
    assert copy.deepcopy(record) == record == pickle.loads(pickle.dumps(record))


def test_signatures_are_those_of_the_values():
    signature = inspect.signature(zor.AdamW)
    assert signature.parameters["epsilon"].default == 1e-8
    assert list(inspect.signature(L.Dense).parameters)[0] == "units"
