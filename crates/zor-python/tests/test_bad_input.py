"""Bad input: an exception of the right class that says what is needed, and a network as it was."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zor
from zor import layers as L

VALUES = [
    (np.ones((4, 7)), zor.Error, r"\[4, 7\].*\[batch, 8\]"),
    (np.ones(8), zor.Error, "one row per sample"),
    (np.ones((2, 2, 8)), zor.Error, r"\[2, 2, 8\]"),
    (np.ones((0, 8)), zor.Error, "no rows"),
    (np.ones((4, 0)), zor.Error, r"\[4, 0\]"),
    (np.full((4, 8), np.nan), zor.Error, "NaN"),
    (np.full((4, 8), np.inf), zor.Error, "infinite"),
    (np.full((4, 8), 1e300), zor.Error, "infinite"),
    (np.ones((4, 8), dtype=complex), TypeError, "complex"),
    (np.full((4, 8), "a"), TypeError, "real numbers"),
    (np.full((4, 8), None), zor.Error, "NaN"),
    (np.full((4, 8), object()), TypeError, "not numbers"),
    (np.full((4, 8), "1.5", dtype=object), TypeError, "not numbers"),
    (np.array([["2020-01-01"] * 8], dtype="datetime64[D]"), TypeError, "datetime64"),
    ([[1.0, 2.0], [3.0]], zor.Error, "not an array"),
    ("abc", TypeError, "real numbers"),
    (None, TypeError, "None"),
    (object(), TypeError, "real numbers|not numbers"),
    (3.5, zor.Error, "one row per sample"),
    ({"a": [1]}, TypeError, "real numbers|not numbers"),
]


@pytest.fixture
def network():
    network = zor.Network.dense([8, 4, 8], rule="classic")
    network.train_batch(np.random.default_rng(0).random((4, 8)))
    return network


def state(network):
    return (
        {name: value.tobytes() for name, value in network.weights().items()},
        {at: value.tobytes() for at, value in network.charges().items()},
        network.history.tobytes(),
    )


@pytest.mark.parametrize(("x", "error", "message"), VALUES)
@pytest.mark.parametrize("call", ["predict", "train_batch", "evaluate", "predict_stateful", "fit"])
def test_input(network, call, x, error, message):
    before = state(network)
    with pytest.raises(error, match=message) if x is not VALUES[3][0] else pytest.raises(error):
        getattr(network, call)(x)
    assert state(network) == before


@pytest.mark.parametrize(("y", "error", "message"), VALUES)
def test_target(network, y, error, message):
    if y is None:
        return
    before = state(network)
    with pytest.raises((error, zor.Error, TypeError)):
        network.train_batch(np.ones((4, 8)), y)
    assert state(network) == before


def test_arrays_of_other_types_and_layouts(network):
    x = np.random.default_rng(0).random((4, 8)).astype(np.float32)
    expected = network.predict(x)
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((8, 16), dtype=np.float32)
    wide[::2, ::2] = x
    swapped = x.astype(">f4")
    unaligned = np.zeros(4 * 8 * 4 + 1, dtype=np.uint8)[1:].view(np.float32).reshape(4, 8)
    unaligned[:] = x
    same = [
        read_only,
        np.asfortranarray(x),
        wide[::2, ::2],
        x[::-1][::-1],
        x.astype(np.float64),
        swapped,
        unaligned,
        x.tolist(),
        np.broadcast_to(x, (1, 4, 8))[0],
        memoryview(x),
    ]
    for one in same:
        assert np.allclose(network.predict(one), expected, atol=1e-6)
        network.train_batch(one, one)
        network = zor.Network.dense([8, 4, 8], rule="classic")
        network.train_batch(np.random.default_rng(0).random((4, 8)))
    assert network.predict(x.astype(np.float64)).dtype == np.float64
    assert network.predict(x.astype(np.float16)).dtype == np.float16
    assert network.predict(np.ones((4, 8), dtype=bool)).dtype == np.float32


def test_a_mask_is_not_lost(network):
    masked = np.ma.masked_array(np.ones((4, 8)), mask=np.eye(4, 8, dtype=bool))
    with pytest.raises(zor.Error, match="mask"):
        network.predict(masked)


def test_classes(network):
    x = np.ones((4, 8))
    before = state(network)
    for y, error, message in [
        ([0, 1, 2], zor.Error, "3 classes for a batch of 4"),
        ([0, 1, 2, 8], zor.Error, "row 3 has class 8"),
        ([0, 1, 2, -1], zor.Error, "row 3 has class -1"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "integers"),
    ]:
        with pytest.raises(error, match=message):
            network.train_batch(x, y)
        with pytest.raises(error, match=message):
            network.evaluate(x, y)
    with pytest.raises(zor.Error, match="label smoothing"):
        network.train_batch(x, [0, 1, 2, 3], label_smoothing=1.5)
    with pytest.raises(zor.Error, match="3 weights for 4"):
        network.train_batch(x, [0, 1, 2, 3], weights=[1, 1, 1])
    with pytest.raises(zor.Error, match="-1"):
        network.train_batch(x, [0, 1, 2, 3], weights=[1, 1, 1, -1])
    with pytest.raises(zor.Error, match="weights"):
        network.train_batch(x, x, weights=[1, 1, 1, 1])
    assert state(network) == before


def test_optimizer(network):
    with pytest.raises(TypeError, match="zor.AdamW"):
        network.train_batch(np.ones((4, 8)), optimizer="adam")


def test_fit(network):
    x = np.ones((4, 8))
    for wrong, message in [
        ({"steps": 3, "epochs": 3}, "mutually exclusive"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"y": np.ones((3, 8))}, "4 samples and 3 targets"),
        ({"steps": -1}, "steps is -1"),
    ]:
        with pytest.raises(zor.Error, match=message):
            network.fit(x, **wrong)


def test_networks_that_cannot_be():
    for make, error, message in [
        (lambda: zor.Network(8, []), zor.Error, "at least one layer"),
        (lambda: zor.Network(0, [L.Dense(3)]), zor.Error, "0"),
        (lambda: zor.Network(-3, [L.Dense(3)]), (zor.Error, OverflowError), None),
        (lambda: zor.Network(8, [L.Dense(0)]), zor.Error, "layer 0"),
        (lambda: zor.Network(8, [L.Dense(-1)]), zor.Error, "-1"),
        (lambda: zor.Network(8, [L.Dense(2.5)]), zor.Error, "2.5"),
        (lambda: zor.Network(8, [L.Dense("3")]), zor.Error, "3"),
        (lambda: zor.Network(8, [L.Conv2d(3)]), zor.Error, "height, width, channels"),
        (lambda: zor.Network(8, ["dense"]), TypeError, "zor.layers"),
        (lambda: zor.Network(8, [L.Gate("middle")]), zor.Error, "middle"),
        (lambda: zor.Network(8, [L.Gate(activation="rely")]), zor.Error, "rely"),
        (lambda: zor.Network(8, [L.Gate(threshold=float("nan"))]), zor.Error, "NaN"),
        (lambda: zor.Network(8, [L.Dense(3)], rule="clasic"), zor.Error, "clasic"),
        (lambda: zor.Network(8, [L.Dense(3)], rule=3), TypeError, "zor.Rule"),
        (lambda: zor.Network(8, [L.Dense(3)], seed=-1), (zor.Error, OverflowError), None),
        (lambda: zor.Network.dense([8]), zor.Error, "two sizes"),
        (lambda: zor.Network.dense([8, 4], activations=["none"]), zor.Error, "1 activations"),
        (lambda: zor.Network.dense([10**7, 10**7]), (zor.Error, MemoryError), "memory"),
        (lambda: zor.Rule(threshold=float("inf"))._json(), zor.Error, "threshold"),
        (
            lambda: zor.Network(8, [L.Dense(3)], rule=zor.Rule(initial_scale=-1.0)),
            zor.Error,
            "initial_scale",
        ),
    ]:
        with pytest.raises(error, match=message):
            make()


def test_weights(network):
    before = state(network)
    good = network.weights()
    for wrong, error, message in [
        ({"7.weight": good["1.weight"]}, zor.Error, "7.weight"),
        ({"1.weight": good["1.weight"].T}, zor.Error, r"\[4, 8\]"),
        ({"1.weight": np.ones(8)}, zor.Error, "rows, columns"),
        ({"3.weight": good["3.weight"] + 1, "1.weight": np.full((8, 4), np.nan)}, zor.Error, "NaN"),
        ({"1.weight": "abc"}, TypeError, "real numbers"),
    ]:
        with pytest.raises(error, match=message):
            network.set_weights(wrong)
    assert state(network) == before


def test_files(network, tmp_path):
    missing = tmp_path / "missing.zor"
    with pytest.raises(FileNotFoundError, match="missing.zor"):
        zor.Network.load(missing)
    with pytest.raises(FileNotFoundError, match="missing.zor"):
        zor.Zor.load(missing)
    with pytest.raises(FileNotFoundError, match="missing.zor"):
        zor.Detector.load(missing)
    with pytest.raises((OSError, zor.Error), match="folder"):
        zor.Network.load(tmp_path)
    with pytest.raises(OSError):
        network.save(tmp_path / "no" / "folder" / "x.zor")
    with pytest.raises(zor.Error, match="f8"):
        network.save(tmp_path / "x.zor", dtype="f8")
    with pytest.raises(TypeError):
        network.save(3.5)
    text = tmp_path / "text.zor"
    text.write_text("not a model")
    with pytest.raises(zor.Error, match="text.zor"):
        zor.Network.load(text)
    good = tmp_path / "good.zor"
    network.save(good)
    whole = good.read_bytes()
    for length in (0, 10, 100, len(whole) - 1):
        text.write_bytes(whole[:length])
        with pytest.raises(zor.Error, match="text.zor"):
            zor.Network.load(text)
    newer = bytearray(whole)
    newer[8] += 1
    text.write_bytes(newer)
    with pytest.raises(zor.Error, match="newer|version|digest"):
        zor.Network.load(text)


def test_pickles_that_are_cut_short(network):
    whole = pickle.dumps(network)
    for length in range(0, len(whole), 97):
        with pytest.raises((pickle.UnpicklingError, EOFError, zor.Error, ValueError, IndexError)):
            pickle.loads(whole[:length])
    rebuild, (kind, data) = network.__reduce__()
    with pytest.raises(zor.Error):
        rebuild(kind, data[:-5])


def test_activation_functions(samples):
    def network(function):
        return zor.Network(
            8, [L.Gate("input", stateful=True), L.Dense(4), L.Gate(activation=function)]
        )

    for function, error, message in [
        (lambda x: x[:, :2], zor.Error, "keep the shape"),
        (lambda x: x.sum(), (zor.Error, TypeError), None),
        (lambda x: None, TypeError, "None"),
        (lambda x: 1 / 0, ZeroDivisionError, None),
        (lambda x: np.full(x.shape, np.nan), zor.Error, "finite"),
    ]:
        one = network(function)
        before = state(one)
        with pytest.raises(error, match=message):
            one.train_batch(samples, np.ones((16, 4)))
        assert state(one) == before
    own = {}
    one = own["network"] = network(lambda x: own["network"].predict(samples))
    with pytest.raises(zor.Error, match="in use"):
        one.train_batch(samples, np.ones((16, 4)))


def test_detector(tmp_path):
    for table, error, message in [
        (np.ones((3, 2)), zor.Error, "3 normal rows"),
        (np.ones((3, 2, 2)), zor.Error, "rows, columns"),
        ({"a": [1, 2], "b": [1]}, zor.Error, "different lengths"),
        (tmp_path / "missing.csv", FileNotFoundError, "missing.csv"),
        ([], zor.Error, None),
    ]:
        with pytest.raises(error, match=message):
            zor.Detector.fit(table)
    with pytest.raises(zor.Error, match="stepz"):
        zor.Detector.fit(np.ones((16, 2)), stepz=3)
    with pytest.raises(TypeError, match="fit"):
        zor.Detector()
    detector = zor.Detector.fit(np.random.default_rng(0).random((16, 2)), steps=5)
    with pytest.raises(zor.Error):
        detector.score(np.ones((3, 1)))
    with pytest.raises(zor.Error):
        detector.threshold(1e-9)


def test_a_panic_is_an_exception():
    from zor import _zor

    with pytest.raises(zor.Error, match="internal error.*a panic for tests") as caught:
        _zor.panic_for_tests()
    assert caught.value.kind == "internal"


def test_threads():
    for wrong, error in [(0, zor.Error), (-1, zor.Error), (2.0, TypeError), ("2", TypeError)]:
        with pytest.raises(error):
            zor.set_num_threads(wrong)
