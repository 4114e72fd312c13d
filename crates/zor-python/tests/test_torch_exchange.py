"""Networks as models of PyTorch, and weights from one to the other."""

from __future__ import annotations

import doctest
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import zor
from zor import layers as L

torch = pytest.importorskip("torch")

exchange = zor.torch

MAP = (6, 5, 4)
RULE = zor.Rule(gate_input=True, gate_output=True, stateful=True, threshold=0.3)

CASES: dict[str, tuple[Any, Sequence[L.LayerSettings]]] = {
    "dense": (9, [L.Dense(4), L.Gate(), L.Dense(3)]),
    "dense of a map": (MAP, [L.Dense(4)]),
    "gate that passes all": (9, [L.Gate("input"), L.Gate(spikes=False)]),
    "gate above zero": (9, [L.Gate(threshold=0.0, stateful=False)]),
    "gate with a threshold": (9, [L.Gate(threshold=-0.4)]),
    "gate with inhibition": (9, [L.Gate(threshold=0.2, inhibition=0.5)]),
    "gate with charges": (9, [L.Gate(threshold=0.2, stateful=True, min_charge=-1.0)]),
    "gate at the input": (9, [L.Gate("input", spikes=True, threshold=0.1)]),
    "gate at the output": (9, [L.Gate("output", spikes=True, threshold=0.1, activation="tanh")]),
    "gate with a target rate": (9, [L.Dense(5), L.Gate(target_spike_rate=0.2, stateful=False)]),
    "bias": (9, [L.Bias()]),
    "bias of a map": (MAP, [L.Bias()]),
    "bias of a sequence": ((5, 3), [L.Bias()]),
    "scale": (MAP, [L.Scale(-0.3)]),
    "dropout": (9, [L.Dropout(0.5)]),
    "batch norm": (9, [L.BatchNorm(epsilon=1e-3)]),
    "batch norm of a map": (MAP, [L.BatchNorm(trains_scale=False)]),
    "batch norm of a sequence": ((5, 3), [L.BatchNorm()]),
    "batch norm of a volume": ((2, 3, 2, 4), [L.BatchNorm(), L.Gate()]),
    "group norm": (8, [L.GroupNorm(2, epsilon=1e-2)]),
    "group norm of a map": (MAP, [L.GroupNorm(2)]),
    "layer norm": (8, [L.LayerNorm()]),
    "layer norm of a map": (MAP, [L.LayerNorm()]),
    "convolution": (MAP, [L.Conv2d(3)]),
    "convolution, same": (MAP, [L.Conv2d(3, (3, 5), padding="same", dilation=(2, 1))]),
    "convolution, strides": (MAP, [L.Conv2d(3, (2, 3), stride=(2, 1), padding=(1, 2))]),
    "convolution, groups": (MAP, [L.Conv2d(6, 3, groups=2)]),
    "convolution, depthwise": (MAP, [L.Conv2d(8, 3, groups=4, frozen=True)]),
    "convolution, max pool": (MAP, [L.Conv2d(3, 2, max_pool=2)]),
    "convolution, identity": (MAP, [L.Conv2d(7, 3, identity=True)]),
    "transposed convolution": (MAP, [L.Conv2d(3, 2, stride=2, transposed=True)]),
    "transposed convolution, all settings": (
        MAP,
        [L.Conv2d(6, (2, 3), (2, 3), (0, 1), (1, 2), groups=2, transposed=True)],
    ),
    "max pool": (MAP, [L.MaxPool2d()]),
    "max pool, overlapping": (MAP, [L.MaxPool2d((3, 2), stride=(1, 2), padding=1)]),
    "max pool, wide padding": (MAP, [L.MaxPool2d(3, stride=2, padding=2)]),
    "average pool": (MAP, [L.AveragePool2d()]),
    "average pool, overlapping": (MAP, [L.AveragePool2d((3, 2), stride=(1, 2), padding=1)]),
    "average pool, wide padding": (MAP, [L.AveragePool2d(3, stride=2, padding=(2, 1))]),
    "global average": (MAP, [L.GlobalPool2d()]),
    "global maximum": (MAP, [L.GlobalPool2d("max"), L.Flatten()]),
    "upsampling": (MAP, [L.Upsample(3)]),
    "flatten": (MAP, [L.Flatten()]),
    "reshape": (MAP, [L.Reshape((3, 10, 4)), L.Conv2d(2), L.Reshape((16,)), L.Reshape((4, 4))]),
    "sequence": (MAP, [L.Sequential([L.Conv2d(3), L.Sequential([L.Bias(), L.Gate()])])]),
    "residual": (9, [L.Residual([L.Dense(9), L.Gate()])]),
    "residual of maps": (
        MAP,
        [
            L.Residual(
                [L.Conv2d(3, padding="same"), L.Gate(), L.Conv2d(3, padding="same")],
                [L.Scale(0.5), L.Conv2d(3, 1)],
            )
        ],
    ),
    "concatenation": (9, [L.Concatenate([L.Dense(4)], [L.Dense(3)])]),
    "concatenation of maps": (
        MAP,
        [
            L.Concatenate(
                [
                    L.Conv2d(6, 2, stride=2),
                    L.Residual([L.Conv2d(6, padding="same"), L.BatchNorm()]),
                    L.Conv2d(2, (2, 3), stride=2, transposed=True),
                ]
            ),
            L.Gate(),
        ],
    ),
    "classifier": (
        (8, 8, 2),
        [
            L.Gate("input"),
            L.Conv2d(4, padding="same", max_pool=2),
            L.BatchNorm(),
            L.Gate(),
            L.Flatten(),
            L.Dense(5),
            L.Bias(),
            L.Gate("output", activation="softmax"),
        ],
    ),
    **{f"activation {name} of a map": (MAP, [L.Gate(activation=name)]) for name in L.ACTIVATIONS},
    **{f"activation {name}": (9, [L.Gate("output", activation=name)]) for name in L.ACTIVATIONS},
}


def random_network(case: str, seed: int = 1) -> zor.Network:
    shape, stack = CASES[case]
    network = zor.Network(shape, stack, rule=RULE, seed=seed)
    random = np.random.default_rng(seed)
    values = {name: random.normal(size=v.shape) for name, v in network.weights().items()}
    for name, value in values.items():
        if name.endswith("variance"):
            values[name] = np.abs(value) + 0.1
    network.set_weights(values)
    return network


def samples(network: zor.Network, n: int) -> Any:
    shape = (n, *network.input_shape)
    return np.random.default_rng(n).normal(size=shape).astype(np.float32)


def assert_same(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("case", CASES)
def test_a_model_computes_what_the_network_predicts(case: str) -> None:
    network = random_network(case)
    model = exchange.to_sequential(network)
    assert not model.training
    with torch.no_grad():
        for n in (1, 7):
            x = samples(network, n)
            expected = network.predict(x)
            assert_same(model(torch.from_numpy(x)).numpy(), expected)
            assert_same(model(torch.from_numpy(x.reshape(n, -1))).numpy(), expected)


@pytest.mark.parametrize("case", CASES)
def test_a_state_dict_comes_back_exactly(case: str) -> None:
    network, fresh = random_network(case), random_network(case, seed=2)
    found = exchange.state_dict(network)
    model = exchange.to_sequential(network)
    assert {key: value.shape for key, value in found.items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    exchange.load_state_dict(fresh, found)
    expected = network.weights()
    assert fresh.weights().keys() == expected.keys()
    for name, value in fresh.weights().items():
        np.testing.assert_array_equal(value, expected[name])


def test_layouts_are_those_of_pytorch() -> None:
    network = zor.Network((6, 6, 2), [L.Conv2d(4, (3, 2)), L.BatchNorm(), L.Flatten(), L.Dense(5)])
    shapes = {key: tuple(value.shape) for key, value in exchange.state_dict(network).items()}
    assert shapes == {
        "0.weight": (4, 2, 3, 2),
        "1.weight": (4,),
        "1.bias": (4,),
        "1.running_mean": (4,),
        "1.running_var": (4,),
        "1.num_batches_tracked": (),
        "3.weight": (5, 80),
    }
    dense = zor.Network.dense([3, 2])
    found = exchange.state_dict(dense)["1.weight"]
    np.testing.assert_array_equal(found.numpy(), dense.weights()["1.weight"].T)


def test_plain_modules_are_used_where_there_are_some() -> None:
    model = exchange.to_sequential(zor.Network.dense([9, 4, 9]))
    kinds = [type(module).__name__ for module in model]
    assert kinds == ["Identity", "Linear", "ReLU", "Linear", "Identity"]
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "3.weight"]


def test_what_is_not_trained_has_no_gradient() -> None:
    stack = [L.Conv2d(3, frozen=True), L.BatchNorm(trains_scale=False), L.Conv2d(2)]
    model = exchange.to_sequential(zor.Network(MAP, stack))
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {"1.bias", "2.weight"}


def test_the_generator_of_pytorch_is_left_alone() -> None:
    before = torch.get_rng_state()
    exchange.to_sequential(random_network("classifier"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_has_values_of_its_own() -> None:
    network = random_network("dense")
    before = network.weights()["0.weight"]
    with torch.no_grad():
        exchange.to_sequential(network)[0].weight.zero_()
    np.testing.assert_array_equal(network.weights()["0.weight"], before)


def test_a_trained_network_goes_over_to_a_fresh_one_and_comes_back_from_training() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 8, 8, 2)).astype(np.float32)
    y = random.integers(0, 5, 64)
    shape, stack = CASES["classifier"]
    network, fresh = zor.Network(shape, stack), zor.Network(shape, stack, seed=3)
    network.fit(x, y, epochs=2, batch_size=16)
    exchange.load_state_dict(fresh, exchange.state_dict(network))
    np.testing.assert_array_equal(fresh.predict(x), network.predict(x))

    model = exchange.to_sequential(network).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss(model(torch.from_numpy(x)).log(), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
    exchange.load_state_dict(fresh, model.state_dict())
    with torch.no_grad():
        assert_same(fresh.predict(x), model.eval()(torch.from_numpy(x)).numpy())


def test_values_of_other_types_are_taken() -> None:
    network = random_network("classifier")
    given = {key: value.double() for key, value in exchange.state_dict(network).items()}
    given["2.weight"].requires_grad_()
    del given["2.num_batches_tracked"]
    before = network.weights()
    exchange.load_state_dict(network, given)
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_one_error_names_all_keys_that_do_not_fit() -> None:
    network = random_network("classifier")
    before = network.weights()
    given = exchange.state_dict(network)
    del given["1.weight"]
    given["2.weight"] = torch.zeros(5)
    given["2.bias"] = torch.full((4,), torch.nan)
    given["9.weight"] = torch.zeros(1)
    given["9.num_batches_tracked"] = torch.zeros(1)
    with pytest.raises(zor.Error) as raised:
        exchange.load_state_dict(network, given)
    for part in (
        "1.weight is missing",
        "2.weight has shape [5] instead of [4]",
        "2.bias has NaN or infinity",
        "9.weight is unexpected",
        "9.num_batches_tracked is unexpected",
    ):
        assert part in str(raised.value)
    for name, value in network.weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("stack", "where"),
    [
        ([L.Dense(4), L.Gate(activation=np.tanh)], r"layer 1 \(gate\): the activation function is"),
        (
            [L.Residual([L.Dense(9), L.Gate(activation=np.tanh)])],
            r"layer 0 \(residual\): the activation function of a gate inside it",
        ),
    ],
)
def test_a_function_in_python_is_refused_by_name(stack: Any, where: str) -> None:
    network = zor.Network(9, stack)
    with pytest.raises(zor.Error, match=where):
        exchange.to_sequential(network)
    with pytest.raises(zor.Error, match=where):
        exchange.state_dict(network)


def test_the_examples_run() -> None:
    assert doctest.testmod(exchange).failed == 0


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "zor.torch")
    with pytest.raises(ImportError, match="zor.torch needs PyTorch: pip install torch"):
        importlib.import_module("zor.torch")
