"""Threads, processes and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import zor

X = np.random.default_rng(0).random((64, 128), dtype=np.float32)


def make():
    return zor.Network.dense([128, 64, 128])


def trained(seed=0, steps=20):
    """Returns the weights of a network after some steps."""
    network = zor.Network.dense([128, 64, 128], seed=seed)
    for _ in range(steps):
        network.train_batch(X)
    return network.weights()["1.weight"]


def test_two_threads_train_two_networks():
    found = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: trained(seed)}))
        for seed in (1, 2)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (found[1] == trained(1)).all() and (found[2] == trained(2)).all()


def test_two_threads_train_one_network():
    network = make()

    def train():
        for _ in range(50):
            network.train_batch(X)
            network.predict(X[:1])

    threads = [threading.Thread(target=train) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(network.history) == 100 and np.isfinite(network.history).all()


def test_other_threads_run_meanwhile():
    network = zor.Network.dense([1024, 1024, 1024])
    x = np.ones((1024, 1024), dtype=np.float32)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    for _ in range(3):
        network.train_batch(x, x, zor.Muon())
    end = time.monotonic()
    done.set()
    thread.join()
    gaps = np.diff([start, *[t for t in ticks if start < t < end], end])
    assert len(gaps) > 3 and gaps.max() < 0.5 * (end - start)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes(method):
    expected = trained()
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        for found in pool.map_async(trained, [0, 0, 0, 0]).get(timeout=60):
            assert (found == expected).all()


def test_the_number_of_threads_does_not_change_results():
    code = """
        import hashlib, sys, numpy, zor
        if sys.argv[1] != "0":
            zor.set_num_threads(int(sys.argv[1]))
        x = numpy.random.default_rng(0).random((300, 200), dtype=numpy.float32)
        network = zor.Network.dense([200, 100, 200])
        for _ in range(5):
            network.train_batch(x, x, zor.Muon())
        print(hashlib.sha256(network.predict(x).tobytes()).hexdigest())
    """
    found = {output(code, str(threads)) for threads in (0, 1, 3)}
    assert len(found) == 1


def output(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_joblib():
    joblib = pytest.importorskip("joblib")
    expected = trained(3, 5)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(trained)(3, 5) for _ in range(4))
    assert all((one == expected).all() for one in found)


def interrupted(code, after):
    """Runs code, interrupts it, and returns its output, and the seconds until it ended."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        # Background jobs of a shell ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    return text


def test_ctrl_c_in_a_loop_leaves_a_usable_network():
    code = """
        import time, signal, numpy, zor
        x = numpy.random.default_rng(0).random((48, 784), dtype=numpy.float32)
        network = zor.Network.dense([784, 64, 784])
        sent = []
        network.train_batch(x)
        print("started", flush=True)
        try:
            while True:
                network.train_batch(x)
        except KeyboardInterrupt:
            pass
        steps = len(network.history)
        network.train_batch(x)
        assert len(network.history) == steps + 1
        print("usable")
    """
    assert interrupted(code, 0.3) == "usable\n"


def test_ctrl_c_in_a_task_leaves_a_checkpoint(tmp_path):
    code = f"""
        import os, time, threading, signal, zor
        os.chdir({str(tmp_path)!r})
        seconds = []
        def callback(metrics):
            if metrics["step"] == 8:
                print("started", flush=True)
        try:
            zor.train("fashion-reconstruction", steps=100000, out="run", progress=False,
                      callback=callback, baseline=False)
        except KeyboardInterrupt as error:
            print(error)
        run = zor.train(resume="run", steps=None, progress=False) if False else None
    """
    text = interrupted(code, 0.5)
    assert "stopped after step" in text and "checkpoint" in text
    checkpoints = list((tmp_path / "run").glob("checkpoint-*.zor"))
    assert len(checkpoints) == 1
    assert len(zor.Network.load(checkpoints[0]).history) > 7


@pytest.mark.parametrize("threads", ["", "zor.set_num_threads(2)"])
def test_ctrl_c_is_quick(threads):
    """From the signal to the exception, while a detector is fitted."""
    code = """
        import os, signal, sys, threading, time, numpy, zor
        exec(sys.argv[1])
        x = numpy.random.default_rng(0).random((256, 8))
        sent = []
        def send():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        def on_step(step):
            if not sent and step > 20:
                threading.Timer(0.2, send).start()
                sent.append(0.0)
        try:
            zor.Detector.fit(x, steps=10_000_000, on_step=on_step)
        except KeyboardInterrupt:
            print(time.monotonic() - sent[-1])
    """
    # Another program may take the processor at that moment.
    assert min(float(output(code, threads)) for _ in range(3)) < 0.1
