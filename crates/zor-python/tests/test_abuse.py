"""Uses that once broke the package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import zor
from zor import layers as L

X = np.random.default_rng(0).random((16, 8), dtype=np.float32)


def run(code, timeout=60):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("call", ["predict(x)", "train_batch(x)"])
def test_daemon_threads_at_the_end_of_the_interpreter(call):
    code = f"""
        import sys, threading, time, numpy, zor
        network = zor.Network.dense([64, 64, 64])
        x = numpy.ones((64, 64), dtype=numpy.float32)
        def work():
            while True:
                network.{call}
        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        sys.exit(3)
    """
    for _ in range(3):
        found = run(code)
        assert (found.returncode, found.stderr) == (3, "")


def test_threads_of_a_pool_do_not_wait_for_each_other():
    code = """
        import os, threading, numpy, zor
        x = numpy.random.default_rng(0).random((512, 128), dtype=numpy.float32)
        def use():
            network = zor.Network.dense([128] * 3)
            def train():
                for _ in range(30):
                    network.train_batch(x)
            threads = [threading.Thread(target=train) for _ in range(3)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            own = {}
            function = lambda v: own["network"].predict(numpy.ones((2, 8)))
            stack = [zor.layers.Dense(4), zor.layers.Gate(activation=function)]
            own["network"] = zor.Network(8, stack)
            try:
                own["network"].predict(numpy.ones((2, 8)))
            except zor.Error as error:
                assert "in use" in str(error)
            other = zor.Network(4, [zor.layers.Dense(4)])
            def helped(v):
                thread = threading.Thread(target=lambda: other.predict(v))
                thread.start()
                thread.join()
                return v
            network = zor.Network(8, [zor.layers.Dense(4), zor.layers.Gate(activation=helped)])
            network.predict(numpy.ones((2, 8)))
        for threads in (2, 1):
            zor.set_num_threads(threads)
            use()
        child = os.fork()
        if child == 0:
            use()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("done")
    """
    found = run(code)
    assert found.stdout == "done\n", found.stderr


def test_pools_that_are_replaced_end():
    code = """
        import time, zor
        def threads():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Threads"))
        for _ in range(20):
            zor.set_num_threads(2)
        time.sleep(1)
        print(threads())
    """
    assert int(run(code).stdout) < 12
    with pytest.raises(zor.Error, match="1024"):
        zor.set_num_threads(100_000)


def test_copies_do_not_share_exceptions():
    def function(x):
        if threading.current_thread().name == "bad":
            raise ZeroDivisionError
        return x

    network = zor.Network(8, [L.Dense(4), L.Gate(activation=function), L.Dense(200)])
    found = {"good": [], "bad": []}

    def use(one, name):
        for _ in range(60):
            try:
                one.predict(X)
                found[name].append("returned")
            except ZeroDivisionError:
                found[name].append("raised")

    threads = [
        threading.Thread(target=use, args=(network, "good"), name="good"),
        threading.Thread(target=use, args=(network.copy(), "bad"), name="bad"),
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert set(found["good"]) == {"returned"} and set(found["bad"]) == {"raised"}


def test_an_exception_that_a_later_gate_hides_stops_the_step():
    fails = []

    def function(x):
        if fails:
            raise KeyboardInterrupt
        return x

    stack = [L.Gate("input", stateful=True, threshold=0.9), L.Dense(8), L.Gate(activation=function)]
    network = zor.Network(8, [*stack, L.Gate(), L.Dense(4)])
    y = np.ones((16, 4), dtype=np.float32)
    network.train_batch(X, y)
    before = network.weights(), network.charges(), network.history
    fails.append(True)
    for call in (network.train_batch, network.train_batch_errors, network.evaluate):
        with pytest.raises(KeyboardInterrupt):
            call(X, y)
    with pytest.raises(KeyboardInterrupt):
        network.predict_stateful(X)
    after = network.weights(), network.charges(), network.history
    for old, new in zip(before[:2], after[:2]):
        assert all((old[name] == new[name]).all() for name in old)
    assert (before[2] == after[2]).all()


def test_batches_that_do_not_fit_into_memory():
    network = zor.Network.dense([8, 4, 8])
    huge = np.broadcast_to(np.float32(0.5), (2**40, 8))
    for call in (network.predict, network.train_batch, network.evaluate, network.predict_stateful):
        with pytest.raises(MemoryError, match="rows"):
            call(huge)
    wide = zor.Network((4, 4, 1), [L.Upsample(65536)])
    with pytest.raises(MemoryError, match="rows"):
        wide.predict(np.ones((2, 16)))


def test_scores_of_another_detector():
    one = zor.Detector.fit(np.random.default_rng(0).random((16, 2)), steps=5)
    other = zor.Detector.fit(np.random.default_rng(0).random((16, 4)), steps=5)
    table = np.ones((3, 4))
    with pytest.raises(zor.Error, match="4 cells"):
        one.explain(other.score(table), 0)
    one.score(table[:, :2])


def test_missing_cells_of_every_kind():
    x = np.arange(16.0)
    masked = np.ma.masked_array(np.stack([x, x], axis=1), mask=np.zeros((16, 2), dtype=bool))
    masked[3, 1] = np.ma.masked
    detector = zor.Detector.fit(masked, steps=5)
    assert np.isnan(detector.score(masked).parts[3, 1])
    columns = {"a": np.ma.masked_array(x, mask=x == 3), "b": [None, *x[1:]]}
    assert np.isnan(zor.Detector.fit(columns, steps=5).score(columns).parts[[3, 0], [0, 1]]).all()


def test_streams_that_are_closed():
    code = """
        import sys
        sys.stderr = None
        import numpy, zor
        zor.Network.dense([8, 4, 8]).fit(numpy.ones((16, 8)), steps=3, progress=True)
        zor.train("fashion-reconstruction", steps=2, baseline=False, out=sys.argv[1])
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", textwrap.dedent(code), f"{folder}/run"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_paths_that_are_missing():
    for name in ("resume", "from_model"):
        with pytest.raises(FileNotFoundError):
            zor.train("fashion-reconstruction", **{name: "/nonexistent"})
