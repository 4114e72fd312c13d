"""The interface of the first version."""

from __future__ import annotations

import numpy as np
import pytest
import zor
from zor import Layer, Zor


def test_ten_lines_learn(samples):
    snn = Zor([Layer(8), Layer(4), Layer(8)])
    first = 1 - np.mean(np.abs(snn.train_batch(samples, samples)))
    for _ in range(300):
        errors = snn.train_batch(samples, samples)
    assert errors.shape == samples.shape and errors.dtype == np.float32
    assert 1 - np.mean(np.abs(errors)) > first
    assert snn.accuracy_history[-1] == pytest.approx(1 - np.mean(np.abs(errors)), abs=1e-6)
    assert snn.accuracy(samples) == pytest.approx(
        1 - np.mean(np.abs(samples - snn.predict(samples))), abs=1e-6
    )
    rates = snn.spike_rates()
    assert len(rates) == 3 and all(0 <= rate <= 1 for rate in rates)


def classic_step(w, x, charge, threshold=-2.0, min_charge=-5.0, limit=1.0, state=None, step=1):
    """One step of the classic rule on two weight matrices, as `docs/rule.md` has it."""
    pre, spikes = [], []
    value = x
    for k in range(3):
        charge[k][charge[k] < min_charge] = 0
        charge[k] += value
        spike = charge[k] > threshold
        value = np.where(spike, charge[k], 0)
        charge[k][spike] = 0
        pre.append(value)
        spikes.append(spike.astype(np.float64))
        if k < 2:
            value = value @ w[k]
    errors = x - value
    signal = errors
    for k in reversed(range(3)):
        norm = np.linalg.norm(signal, axis=0)
        signal = np.clip(np.divide(signal, norm, where=norm > 0, out=np.zeros_like(signal)), -1, 1)
        if k == 0:
            break
        below = signal @ w[k - 1].T
        p = pre[k - 1] / (np.linalg.norm(pre[k - 1], axis=0) + 1e-8)
        g = np.abs(spikes[k] / (np.linalg.norm(spikes[k], axis=0) + 1e-8))
        gradient = -(p.T @ (signal * g))
        m, v = state[k - 1]
        m[:] = 0.9 * m + 0.1 * gradient
        v[:] = 0.999 * v + 0.001 * gradient**2
        w[k - 1] *= 1 - 1e-3 * 0.01
        w[k - 1] -= 1e-3 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        np.clip(w[k - 1], -limit, limit, out=w[k - 1])
        signal = below
    return errors


def test_steps_are_those_of_the_equations(samples):
    snn = Zor([8, 4, 8])
    w = [weights.astype(np.float64) for weights in snn.weights]
    x = samples.astype(np.float64)
    charge = [np.zeros((16, n)) for n in (8, 4, 8)]
    state = [(np.zeros_like(one), np.zeros_like(one)) for one in w]
    for step in range(1, 51):
        expected = classic_step(w, x, charge, state=state, step=step)
        assert np.allclose(snn.train_batch(samples, samples), expected, atol=1e-4)
    for found, expected in zip(snn.weights, w):
        assert np.allclose(found, expected, atol=1e-4)


def test_settings_of_layers_reach_the_network(samples):
    silent = Zor([Layer(8), Layer(4, threshold=100.0), Layer(8)])
    silent.train_batch(samples, samples)
    assert silent.spike_rates()[1] == 0
    bounded = Zor([Layer(8, max_weight=0.01), Layer(4), Layer(8)])
    bounded.train_batch(samples, samples)
    assert np.abs(bounded.weights[0]).max() <= 0.01 < np.abs(bounded.weights[1]).max()
    rectified = Zor([Layer(8), Layer(4), Layer(8, activation="relu")])
    assert rectified.predict(samples).min() == 0


def test_activation_in_python(samples):
    named = Zor([8, Layer(4, activation="tanh"), 8])
    own = Zor([8, Layer(4, activation=np.tanh), 8])
    for _ in range(5):
        expected = named.train_batch(samples, samples)
        assert np.allclose(own.train_batch(samples, samples), expected, atol=1e-5)
    with pytest.raises(zor.Error, match="tanh"):
        own.save("never.zor")


def test_saved_training_continues_with_equal_bits(samples, tmp_path):
    snn = Zor([8, Layer(4, activation="gelu"), 8])
    for _ in range(3):
        snn.train_batch(samples, samples)
    snn.save(tmp_path / "snn.zor")
    again = Zor.load(tmp_path / "snn.zor")
    assert [layer.units for layer in again.layers] == [8, 4, 8]
    assert again.layers[1].activation == "gelu"
    for _ in range(3):
        assert (snn.train_batch(samples, samples) == again.train_batch(samples, samples)).all()


def test_another_network_is_not_loaded(samples, tmp_path):
    path = tmp_path / "network.zor"
    zor.Network(8, [zor.layers.Dense(3), zor.layers.Bias()]).save(path)
    with pytest.raises(zor.Error, match="zor.Network.load"):
        Zor.load(path)


@pytest.mark.parametrize("layers", [[], [Layer(8)]])
def test_too_few_layers(layers):
    with pytest.raises(zor.Error, match="two layers"):
        Zor(layers)


def test_wrong_layers():
    with pytest.raises(TypeError, match="str"):
        Zor(["8", "4"])
    with pytest.raises(TypeError, match="float"):
        Zor([8, Layer(4, activation=0.5), 8])
    with pytest.raises(zor.Error, match="rely"):
        Zor([8, Layer(4, activation="rely"), 8])
