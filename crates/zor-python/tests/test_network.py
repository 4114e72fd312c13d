"""Networks: training, predictions, weights, copies and files."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest
import zor
from zor import layers as L

EVERY_LAYER = [
    ("dense", 8, [L.Gate("input", threshold=0.1), L.Dense(5), L.Gate(), L.Dense(3), L.Bias()]),
    ("scale", 8, [L.Dense(4), L.Scale(0.5), L.Dropout(0.2, seed=1)]),
    (
        "norm",
        8,
        [L.Dense(6), L.BatchNorm(), L.Gate(activation="silu"), L.GroupNorm(2), L.LayerNorm()],
    ),
    ("stateful", 8, [L.Gate("input", stateful=True, threshold=0.5), L.Dense(4), L.Gate("output")]),
    (
        "maps",
        (6, 6, 2),
        [
            L.Conv2d(4, 3, padding="same"),
            L.BatchNorm(),
            L.Gate(),
            L.MaxPool2d(2),
            L.Conv2d(4, (3, 1), stride=(2, 1), groups=2, dilation=1),
            L.Upsample(2),
            L.AveragePool2d(2),
            L.Flatten(),
            L.Dense(3),
        ],
    ),
    ("transposed", (4, 4, 2), [L.Conv2d(3, 2, stride=2, transposed=True), L.GlobalPool2d("max")]),
    ("pooled", (4, 4, 2), [L.Conv2d(3, 3, padding=1, max_pool=2), L.GlobalPool2d()]),
    (
        "branches",
        8,
        [
            L.Sequential([L.Dense(8), L.Gate()]),
            L.Residual([L.Dense(8), L.Gate()]),
            L.Concatenate([L.Dense(4)], shortcut=[L.Scale(2.0)]),
            L.Reshape((2, 3, 2)),
            L.Flatten(),
        ],
    ),
]


@pytest.fixture(params=EVERY_LAYER, ids=[name for name, _, _ in EVERY_LAYER])
def case(request):
    _, shape, stack = request.param
    shape = (shape,) if isinstance(shape, int) else shape
    network = zor.Network(shape, stack, seed=3)
    random = np.random.default_rng(1)
    x = random.random((7, *shape), dtype=np.float32)
    y = random.random((7, int(np.prod(network.output_shape))), dtype=np.float32)
    return network, x, y


def test_every_layer_trains_and_returns(case, tmp_path):
    network, x, y = case
    first = network.train_batch(x, y, zor.AdamW(0.01))
    for _ in range(30):
        last = network.train_batch(x, y, zor.AdamW(0.01))
    assert last.mse < first.mse
    outputs = network.predict(x)
    assert outputs.shape == (7, y.shape[1])
    path = tmp_path / "network.zor"
    network.save(path)
    assert (zor.Network.load(path).predict(x) == outputs).all()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert (copied.history == network.history).all()
        assert copied.rule == network.rule
        assert copied.layer_records() == network.layer_records()
    one, other = network.copy(), pickle.loads(pickle.dumps(network))
    for _ in range(2):
        assert one.train_batch(x, y) == other.train_batch(x, y)
    rebuilt = zor.Network.load(path)
    rebuilt.set_weights({name: 0 * value for name, value in rebuilt.weights().items()})
    rebuilt.set_weights(network.weights())
    assert (rebuilt.predict(x) == outputs).all()


def test_no_layer_keeps_or_changes_the_callers_memory(case):
    network, x, y = case
    other = network.copy()
    for step in range(4):
        before = x.copy(), y.copy()
        expected = other.train_batch(x.copy(), y.copy())
        found = network.train_batch(x, y)
        assert found == expected
        assert (x == before[0]).all() and (y == before[1]).all()
        network.predict(x)
        other.predict(x)
        network.predict_stateful(x)
        other.predict_stateful(x.copy())
        # The caller may use the memory for the next batch at once.
        x[:] = np.random.default_rng(step).random(x.shape)
        y[:] = np.random.default_rng(step + 9).random(y.shape)


def test_cosines(case):
    network, x, y = case
    if any(record["kind"] == "dropout" for record in network.layer_records()):
        with pytest.raises(zor.Error, match="dropout"):
            network.cosine_to_backprop(x, y)
        return
    found = network.cosine_to_backprop(x, y)
    assert all(-1.001 <= cosine <= 1.001 for cosine in found)


@pytest.mark.parametrize("sizes", [[8, 5, 8], [8, 1, 8]])
def test_backprop_rule_coincides(samples, sizes):
    network = zor.Network.dense(sizes, rule="backprop")
    assert len(network.cosine_to_backprop(samples)) == 2
    assert all(cosine > 0.999 for cosine in network.cosine_to_backprop(samples))


def test_predictions_do_not_depend_on_their_number():
    network = zor.Network.dense([1500, 3, 1500])
    x = np.random.default_rng(0).random((6000, 1500), dtype=np.float32)
    whole = network.predict(x)
    assert np.allclose(whole[4000:4003], network.predict(x[4000:4003]), atol=1e-6)
    assert np.allclose(whole[-1:], network.predict(x[-1:]), atol=1e-6)


def test_fit_and_callback(samples):
    network = zor.Network.dense([8, 4, 8])
    seen = []

    def callback(progress):
        seen.append(progress.step)
        return progress.step == 7

    network.fit(samples, optimizer=zor.Muon(0.02), steps=20, batch_size=5, callback=callback)
    assert seen == list(range(1, 8)) and len(network.history) == 7
    again, other = zor.Network.dense([8, 4, 8]), zor.Network.dense([8, 4, 8])
    for one in (again, other):
        one.fit(samples, epochs=3, batch_size=5, seed=4)
    assert (again.predict(samples) == other.predict(samples)).all()
    assert len(again.history) == 3 * 4


def test_callback_that_raises(samples):
    network = zor.Network.dense([8, 4, 8])

    def callback(progress):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        network.fit(samples, steps=5, callback=callback)
    assert len(network.history) == 1
    network.train_batch(samples)


def test_classes(samples):
    y = np.arange(16) % 3
    network = zor.Network(8, [L.Dense(16), L.Gate(), L.Dense(3)])
    network.fit(samples, y, optimizer=zor.Muon(0.05), epochs=200, batch_size=16)
    assert (network.predict(samples).argmax(axis=1) == y).all()
    network.train_batch(samples, y, weights=np.ones(16), label_smoothing=0.1)


def test_known_targets(samples):
    known = np.ones_like(samples)
    known[:, 3] = 0
    one, other = zor.Network(8, [L.Dense(8)]), zor.Network(8, [L.Dense(8)])
    target = samples.copy()
    target[:, 3] = 9
    assert one.train_batch(samples, target, known=known) == other.train_batch(
        samples, samples, known=known
    )


def test_presets_of_the_rule():
    assert zor.Rule() == zor.Rule.named("default")
    assert zor.Rule.classic().stateful and zor.Rule.classic().threshold == -2
    assert zor.Network.dense([8, 4, 8], rule="classic").rule == zor.Rule.classic()
    assert zor.Rule().replace(threshold=0.5).threshold == 0.5
    with pytest.raises(zor.Error, match="clasic"):
        zor.Rule.named("clasic")


def test_schedules_and_optimizers():
    schedule = zor.Schedule.linear(1.0, 10)
    assert [schedule.rate(step) for step in (1, 6, 11)] == pytest.approx([1.0, 0.5, 0.0])
    assert zor.Schedule.cosine(0.1, 100, warm_up=10).rate(5) == pytest.approx(0.05)
    muon = zor.Muon(zor.Schedule.cosine(0.02, 500), momentum=0.8)
    assert pickle.loads(pickle.dumps(muon)) == muon == copy.deepcopy(muon)
    for wrong in (
        lambda: zor.AdamW(-1),
        lambda: zor.Muon(momentum=1.0),
        lambda: zor.Sgd(float("nan")),
        lambda: zor.AdamW(betas=(0.9, 1.0)),
        lambda: zor.AdamW(zor.Schedule(0.1, "square")),
    ):
        with pytest.raises(zor.Error):
            wrong()


def test_memory_of_dropped_networks():
    def make(n):
        for _ in range(n):
            network = zor.Network.dense([64, 32, 64])
            network.train_batch(np.ones((4, 64), dtype=np.float32))
        gc.collect()
        return resident()

    make(100)
    before = make(100)
    assert make(1000) - before < 4 << 20


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_an_array_is_not_copied_on_its_way_in():
    # The network is small, so that its own memory is too.
    network = zor.Network(100_000, [L.Dense(1)])
    x = np.ones((1000, 100_000), dtype=np.float32)  # 400 MB
    network.predict(x[:2])
    before = peak()
    network.predict(x)
    assert peak() - before < x.nbytes / 4
    network.evaluate(x, np.zeros((1000, 1)))
    assert peak() - before < x.nbytes / 4


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
