"""Networks as NIR graphs of integrate-and-fire units, and back."""

from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zor
from zor import layers as L

nir = pytest.importorskip("nir")

exchange = zor.nir

MAP = (8, 8, 2)


def random_network(shape: Any, stack: list[L.LayerSettings]) -> zor.Network:
    network = zor.Network(shape, stack)
    random = np.random.default_rng(1)
    values = {}
    for name, value in network.weights().items():
        if not name.endswith(("weight", "kernel")):
            value = random.uniform(0.2, 1.0, value.shape)
        values[name] = value
    network.set_weights(values)
    return network


def samples(network: zor.Network, n: int = 20) -> Any:
    return np.random.default_rng(2).uniform(-0.5, 1, (n, *network.input_shape)).astype(np.float32)


CASES: dict[str, tuple[Any, list[L.LayerSettings]]] = {
    "no gate": (9, [L.Dense(4)]),
    "dense": (9, [L.Gate("input"), L.Dense(6), L.Gate(), L.Dense(3), L.Gate("output")]),
    "three layers": (9, [L.Dense(8), L.Gate(activation="relu"), L.Dense(8), L.Gate(), L.Dense(3)]),
    "rectified input": (9, [L.Gate("input", spikes=True), L.Dense(3)]),
    "biases": (9, [L.Dense(6), L.Bias(), L.Gate(), L.Dense(3), L.Bias(), L.Scale(0.3)]),
    "batch norm": (9, [L.Dense(6), L.Dropout(0.3), L.BatchNorm(), L.Gate(), L.Dense(3)]),
    "sequence": (9, [L.Sequential([L.Dense(6), L.Sequential([L.Bias(), L.Gate()])]), L.Dense(3)]),
    "two gates": (9, [L.Dense(6), L.Gate(), L.Gate(spikes=False, activation="relu"), L.Dense(3)]),
    "convolution": (
        MAP,
        [
            L.Conv2d(4, padding="same"),
            L.BatchNorm(),
            L.Gate(),
            L.AveragePool2d(),
            L.Conv2d(6, 2, groups=2),
            L.Bias(),
            L.Gate(),
            L.Flatten(),
            L.Dense(5),
        ],
    ),
    "flat gate": (MAP, [L.Conv2d(4), L.Flatten(), L.Scale(2.0), L.Gate(), L.Dense(5), L.Bias()]),
    "map to map": (MAP, [L.Conv2d(4, padding=1, stride=2), L.Gate(), L.Conv2d(3, 3, dilation=1)]),
    "dilation": (MAP, [L.Conv2d(4, 3, dilation=2), L.Gate(), L.GlobalPool2d(), L.Dense(3)]),
    "oblong pool": (MAP, [L.AveragePool2d((3, 2), (1, 2)), L.Conv2d(3), L.Gate(), L.Conv2d(2, 1)]),
    "dense on a map": (MAP, [L.Dense(6), L.Gate(), L.Dense(4), L.Bias()]),
}


def assert_same(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("case", CASES)
def test_a_graph_comes_back_as_a_network_with_equal_predictions(case: str, tmp_path: Path) -> None:
    network = random_network(*CASES[case])
    x = samples(network)
    graph = exchange.to_nir(network, x, steps=4)
    assert_same(exchange.from_nir(graph).predict(x), network.predict(x))
    nir.write(tmp_path / "graph.nir", graph)
    read = nir.read(tmp_path / "graph.nir")
    assert read.metadata["steps"] == 4
    assert_same(exchange.from_nir(read, rule="classic").predict(x), network.predict(x))


@pytest.mark.parametrize("case", CASES)
def test_units_approach_the_gates(case: str) -> None:
    network = random_network(*CASES[case])
    x = samples(network)
    graph = exchange.to_nir(network, x, steps=1, quantile=1.0)
    table = exchange.conversion_cost(network, graph, x, steps=(16, 256))
    psnr = {cost.steps: cost.psnr_db for cost in table if cost.reset == "subtraction"}
    assert psnr[256] > 40
    assert psnr[256] >= psnr[16]


def test_a_dense_network_has_the_usual_nodes() -> None:
    network = zor.Network.dense([9, 6, 3])
    x = samples(network)
    graph = exchange.to_nir(network, x, quantile=1.0)
    assert list(graph.nodes) == ["input", "dense_1", "if_2", "dense_3", "output"]
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds == ["Input", "Linear", "IF", "Linear", "Output"]
    weights = network.weights()
    largest = np.maximum(x @ weights["1.weight"], 0).max()
    unit = graph.nodes["if_2"]
    np.testing.assert_array_equal(unit.r, np.ones(6))
    np.testing.assert_array_equal(unit.v_reset, np.zeros(6))
    np.testing.assert_allclose(unit.v_threshold, np.full(6, largest), rtol=1e-5)
    np.testing.assert_array_equal(graph.nodes["dense_1"].weight, weights["1.weight"].T)
    np.testing.assert_allclose(
        graph.nodes["dense_3"].weight, largest * weights["3.weight"].T, rtol=1e-5
    )


def test_headroom_raises_thresholds_and_keeps_the_meaning() -> None:
    network = random_network(*CASES["dense"])
    x = samples(network)
    plain = exchange.to_nir(network, x, steps=1)
    rare = exchange.to_nir(network, x, steps=1, headroom=8.0)
    assert_same(rare.nodes["if_2"].v_threshold, 8 * plain.nodes["if_2"].v_threshold)
    assert_same(exchange.from_nir(rare).predict(x), network.predict(x))
    zero = [
        exchange.conversion_cost(network, graph, x, steps=(1024,))[1] for graph in (plain, rare)
    ]
    assert zero[0].reset == zero[1].reset == "zero"
    assert zero[1].psnr_db > zero[0].psnr_db + 10


def test_a_silent_layer_has_a_threshold_above_zero() -> None:
    network = zor.Network(3, [L.Dense(2), L.Gate(), L.Dense(1)])
    network.set_weights({"0.weight": -np.ones((3, 2))})
    graph = exchange.to_nir(network, np.ones((4, 3)), steps=1)
    np.testing.assert_array_equal(graph.nodes["if_1"].v_threshold, [1, 1])


def test_an_activation_at_the_output_is_left_out_on_request(tmp_path: Path) -> None:
    stack = [L.Dense(6), L.Gate(), L.Dense(3), L.Gate("output", activation="softmax")]
    network = random_network(9, stack)
    x = samples(network)
    with pytest.raises(zor.Error, match=r"layer 3 \(gate\): NIR has no activation 'softmax'"):
        exchange.to_nir(network, x)
    graph = exchange.to_nir(network, x, drop_activation=True)
    assert "Apply 'softmax' to the output" in graph.metadata["note"]
    nir.write(tmp_path / "graph.nir", graph)
    back = exchange.from_nir(nir.read(tmp_path / "graph.nir"))
    assert_same(back.predict(x), network.predict(x))
    by_samples = exchange.conversion_cost(network, x, x, steps=[64])
    assert by_samples == exchange.conversion_cost(network, graph, x, steps=[64])
    assert by_samples[0].psnr_db > 30


HIDDEN = {
    "threshold": (L.Gate(threshold=0.2), r"1 \(gate\): its threshold is 0.2"),
    "inhibition": (L.Gate(inhibition=0.5), r"1 \(gate\): its inhibition is 0.5"),
    "charges": (L.Gate(stateful=True), r"1 \(gate\): its charges carry over"),
    "activation": (L.Gate(activation="tanh"), r"1 \(gate\): NIR has no activation 'tanh'"),
    "function": (L.Gate(activation=np.tanh), r"1 \(gate\): NIR has no activation functions in"),
}

REFUSALS: dict[str, tuple[Any, list[L.LayerSettings], str]] = {
    **{name: (9, [L.Dense(4), gate, L.Dense(3)], why) for name, (gate, why) in HIDDEN.items()},
    "last gate": (9, [L.Dense(4), L.Gate()], r"1 \(gate\): the output would be spikes"),
    "max pool": (MAP, [L.MaxPool2d()], r"0 \(pool2d\): NIR has no max pooling"),
    "pool of a convolution": (MAP, [L.Conv2d(3, max_pool=2)], r"0 \(conv2d\): NIR has no max pool"),
    "padded pool": (MAP, [L.AveragePool2d(3, padding=1)], r"0 \(pool2d\): average pools of NIR"),
    "transposed": (MAP, [L.Conv2d(3, transposed=True)], r"0 \(conv2d\): NIR has no transposed"),
    "oblong window": (MAP, [L.Conv2d(3, (3, 1))], r"0 \(conv2d\): the package nir"),
    "upsampling": (MAP, [L.Upsample()], r"0 \(upsample\): NIR has no upsampling"),
    "group norm": (MAP, [L.GroupNorm(2)], r"0 \(group_norm\): NIR has no normalisation"),
    "residual": (9, [L.Residual([L.Dense(9)])], r"0 \(residual\): only layers in sequence"),
    "concatenation": (9, [L.Concatenate([L.Dense(9)])], r"0 \(concatenate\): NIR has no concat"),
    "loose bias": (9, [L.Bias(), L.Dense(3)], r"0 \(bias\): there are no weights directly below"),
    "bias of positions": (
        MAP,
        [L.Conv2d(3), L.Flatten(), L.Bias(), L.Dense(3)],
        r"2 \(bias\): it differs between positions",
    ),
    "reshape": (MAP, [L.Reshape((4, 16, 2)), L.Dense(3)], r"0 \(reshape\): NIR can flatten"),
    "inside a sequence": (
        9,
        [L.Sequential([L.Dense(4), L.Gate(threshold=-2.0)]), L.Dense(3)],
        r"layer 0 \(sequence\), layer 1 \(gate\): its threshold is -2",
    ),
    "input": ((4, 3), [L.Dense(3)], r"the input has shape \[4, 3\]"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_nir_cannot_express_is_refused_by_name(case: str) -> None:
    shape, stack, message = REFUSALS[case]
    network = zor.Network(shape, stack)
    x = np.zeros((2, *network.input_shape))
    with pytest.raises(zor.Error, match=message):
        exchange.to_nir(network, x)


@pytest.mark.parametrize(
    ("calibration", "error", "message"),
    [
        (np.zeros((0, 9)), zor.Error, "with n at least 1"),
        (np.zeros((2, 8)), zor.Error, r"it must be \[n, 9\]"),
        (np.full((2, 9), np.nan), zor.Error, "NaN or infinity"),
        ("text", TypeError, "must have real numbers"),
    ],
)
def test_samples_that_do_not_fit_are_refused(calibration: Any, error: Any, message: str) -> None:
    network = zor.Network.dense([9, 3])
    with pytest.raises(error, match=message):
        exchange.to_nir(network, calibration)
    with pytest.raises(error, match=message):
        exchange.conversion_cost(network, np.ones((1, 9)), calibration)


@pytest.mark.parametrize(
    "settings", [{"quantile": 0}, {"quantile": 1.1}, {"headroom": 0}, {"steps": 0}]
)
def test_settings_out_of_range_are_refused(settings: Any) -> None:
    with pytest.raises(zor.Error, match="must be above 0"):
        exchange.to_nir(zor.Network.dense([3, 2]), np.ones((1, 3)), **settings)
    with pytest.raises(zor.Error, match="each at least 1"):
        exchange.conversion_cost(zor.Network.dense([3, 2]), np.ones((1, 3)), np.ones((1, 3)), [0])


def sequence(*nodes: Any) -> Any:
    return nir.NIRGraph.from_list(*nodes)


def unit(*values: float, r: float = 1.0) -> Any:
    threshold = np.array(values, np.float32)
    return nir.IF(np.full_like(threshold, r), threshold, np.zeros_like(threshold))


def test_a_graph_of_another_tool_becomes_a_network() -> None:
    random = np.random.default_rng(3)
    weight, last = random.normal(size=(4, 3)), random.normal(size=(2, 4))
    bias = random.normal(size=4)
    reset = nir.IF(np.full(4, 0.5), np.arange(1.0, 5.0), np.full(4, -1.0))
    network = exchange.from_nir(sequence(nir.Affine(weight, bias), reset, nir.Linear(last)))
    x = random.normal(size=(5, 3)).astype(np.float32)
    rates = np.maximum(x @ weight.T + bias, 0) * 0.5 / np.arange(2.0, 6.0)
    assert_same(network.predict(x), rates @ last.T)


def test_pools_and_groups_of_another_tool_become_a_network() -> None:
    random = np.random.default_rng(4)
    first = nir.Conv2d((6, 6), random.normal(size=(4, 2, 3, 3)), 1, "same", 1, 1, np.zeros(4))
    threshold = np.ones((4, 6, 6)) * np.arange(1.0, 5.0)[:, None, None]
    nodes = {
        "in": nir.Input(np.array([2, 6, 6])),
        "first": first,
        "units": nir.IF(np.ones((4, 6, 6)), threshold),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "second": nir.Conv2d((3, 3), random.normal(size=(6, 2, 3, 3)), 1, 1, 1, 2, np.ones(6)),
        "out": nir.Output(np.array([6, 3, 3])),
    }
    # The package nir does not know the shapes of groups.
    graph = nir.NIRGraph(nodes, list(zip(nodes, list(nodes)[1:])), type_check=False)
    network = exchange.from_nir(graph)
    assert network.output_shape == (3, 3, 6)
    x = random.normal(size=(5, 6, 6, 2)).astype(np.float32)
    # The simulation reads the graph by itself, so that the two check each other.
    costs = exchange.conversion_cost(network, graph, x / 20, steps=[2048])
    assert costs[0].psnr_db > 45


def test_rates_at_the_output_are_scaled() -> None:
    network = exchange.from_nir(sequence(nir.Linear(np.eye(2)), unit(4, 4)))
    np.testing.assert_allclose(network.predict(np.array([[2.0, -1.0]])), [[0.5, 0.0]])


ONE = np.ones(2)
BAD_GRAPHS: dict[str, tuple[Any, str]] = {
    "leak": (
        lambda: sequence(nir.Linear(np.eye(2)), nir.LIF(ONE, ONE, ONE * 0, ONE)),
        r"node 'lif' \(LIF\): it leaks",
    ),
    "threshold": (
        lambda: sequence(nir.Linear(np.eye(2)), nir.Threshold(ONE)),
        r"node 'threshold' \(Threshold\): its output is 0 or 1",
    ),
    "scale": (lambda: sequence(nir.Scale(ONE)), r"node 'scale' \(Scale\): a network has no such"),
    "resistance": (lambda: sequence(unit(1, 1, r=-1)), r"node 'if' \(IF\): r must be above 0"),
    "reset": (lambda: sequence(unit(1, 0)), r"node 'if' \(IF\): .* v_threshold above v_reset"),
    "unequal": (lambda: sequence(unit(1, 2)), r"node 'output' \(Output\): .* thresholds differ"),
    "flat map": (
        lambda: sequence(nir.Input(np.array([2, 3, 3])), nir.Flatten(np.array([2, 3, 3]), 0)),
        r"node 'output' \(Output\): it follows a flattened map",
    ),
    "half flat map": (
        lambda: sequence(nir.Input(np.array([2, 3, 3])), nir.Flatten(np.array([2, 3, 3]), 1)),
        r"node 'flatten' \(Flatten\): it flattens axes 1 to -1",
    ),
    "positions": (
        lambda: sequence(
            nir.Input(np.array([1, 1, 2])),
            nir.IF(np.ones((1, 1, 2)), np.array([[[1.0, 2.0]]])),
            nir.Conv2d((1, 2), np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)),
        ),
        r"node 'conv2d' \(Conv2d\): the thresholds below it differ",
    ),
    "branch": (
        lambda: nir.NIRGraph(
            {
                "in": nir.Input(np.array([2])),
                "a": nir.Linear(np.eye(2)),
                "b": nir.Linear(np.eye(2)),
                "out": nir.Output(np.array([2])),
            },
            [("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")],
        ),
        r"node 'in' has two edges",
    ),
    "loop": (
        lambda: nir.NIRGraph(
            {"in": nir.Input(np.array([2])), "a": unit(1, 1), "out": nir.Output(np.array([2]))},
            [("in", "a"), ("a", "out"), ("a", "a")],
        ),
        r"node 'a' has two edges",
    ),
    "circle": (
        lambda: nir.NIRGraph(
            {"in": nir.Input(np.array([2])), "a": unit(1, 1)},
            [("in", "a"), ("a", "in")],
            type_check=False,
        ),
        r"no sequence from its input to an output",
    ),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_what_a_network_cannot_express_is_refused_by_name(case: str) -> None:
    graph, message = BAD_GRAPHS[case]
    with pytest.raises(zor.Error, match=message):
        exchange.from_nir(graph())


def test_something_else_than_a_graph_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a nir.NIRGraph, not dict"):
        exchange.from_nir({})


def test_leaking_units_are_not_simulated() -> None:
    graph = sequence(nir.Linear(np.eye(2)), nir.LIF(ONE, ONE, ONE * 0, ONE))
    with pytest.raises(zor.Error, match="a LIF is not simulated: it leaks"):
        exchange.conversion_cost(zor.Network.dense([2, 2]), graph, np.ones((1, 2)))


def test_a_table_shows_what_conversion_costs() -> None:
    random = np.random.default_rng(0)
    causes = random.uniform(0, 1, (128, 4)) * (random.uniform(size=(128, 4)) < 0.6)
    x = (causes @ random.uniform(0, 1, (4, 32)) / 2).astype(np.float32)
    network = zor.Network.dense([32, 12, 32], seed=1)
    network.fit(x, optimizer=zor.AdamW(3e-3), steps=300, batch_size=32)
    graph = exchange.to_nir(network, x)
    table = exchange.conversion_cost(network, graph, x[:40])
    subtraction = [cost for cost in table if cost.reset == "subtraction"]
    zero = [cost for cost in table if cost.reset == "zero"]
    assert [cost.steps for cost in subtraction] == [8, 16, 32, 64, 256]
    assert all(a.psnr_db > b.psnr_db + 1 and a.mae < b.mae for a, b in zip(subtraction, zero))
    assert all(a.mae > b.mae for a, b in zip(subtraction, subtraction[1:]))
    lines = str(table).splitlines()
    assert len(lines) == 7
    assert lines[4].split()[:2] == ["32", f"{subtraction[2].psnr_db:.2f}"]
    assert graph.metadata["psnr_db_subtraction"] > graph.metadata["psnr_db_zero"]


def test_the_examples_run() -> None:
    assert doctest.testmod(exchange).failed == 0


def test_the_error_says_which_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    for name in [name for name in sys.modules if name.startswith("zor.nir")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match="zor.nir needs the package nir: pip install nir"):
        importlib.import_module("zor.nir")
