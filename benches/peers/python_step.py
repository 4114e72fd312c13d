"""Times Zor's Python package, beside the same rule in PyTorch.

Run by `cargo xtask bench --suite python`: reads one JSON object a line and answers with `{"value": ...}`.

- `{"kind": "zor" | "network" | "classic", "sizes": [...], "batch": ..., "steps": ...}`: milliseconds of a training step: of `zor.Zor`, which
  returns the error matrix; of `zor.Network`; of the same rule in PyTorch;
- `{"kind": "call", "steps": ...}`: microseconds of a prediction of one row by a network 4-2-4;
- `{"kind": "beside", "steps": ...}`: time of a step of 784-64-784 that follows work of PyTorch's threads, relative to the time of a step alone;
- `{"kind": "import"}`: milliseconds that `import zor` takes beyond `import numpy`.
"""

import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

import zor
from step import Classic


class FirstVersion:
    def __init__(self, sizes, batch):
        self.network = zor.Zor(sizes)
        self.input = np.random.default_rng(0).random((batch, sizes[0]), dtype=np.float32)

    def step(self):
        self.network.train_batch(self.input, self.input)


class Network(FirstVersion):
    def __init__(self, sizes, batch):
        super().__init__(sizes, batch)
        self.network = zor.Network.dense(sizes, rule="classic")
        self.optimizer = zor.AdamW()

    def step(self):
        self.network.train_batch(self.input, self.input, self.optimizer)


KINDS = {"zor": FirstVersion, "network": Network, "classic": Classic}


def seconds(step, steps):
    """Mean seconds of a step."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def beside(steps):
    """Median time of steps that alternate with work of PyTorch's threads, relative to steps alone."""
    trainer = FirstVersion([784, 64, 784], 48)
    matrix = torch.rand(512, 512)
    alone, mixed = [], []
    for _ in range(steps):
        alone.append(seconds(trainer.step, 1))
    for _ in range(steps):
        torch.mean(torch.abs(matrix @ matrix)).item()
        mixed.append(seconds(trainer.step, 1))
    return statistics.median(mixed) / statistics.median(alone)


def imported():
    """Median milliseconds of `import zor` after `import numpy`, each in a new process."""
    code = "import numpy, time; start = time.perf_counter(); import zor; print(time.perf_counter() - start)"
    command = [sys.executable, "-c", code]
    found = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(9)]
    return 1e3 * statistics.median(found)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    trainers = {}
    small = zor.Network.dense([4, 2, 4])
    row = np.ones((1, 4), dtype=np.float32)
    for line in sys.stdin:
        question = json.loads(line)
        kind = question["kind"]
        if kind == "call":
            value = 1e6 * seconds(lambda: small.predict(row), question["steps"])
        elif kind == "beside":
            value = beside(question["steps"])
        elif kind == "import":
            value = imported()
        else:
            key = (kind, tuple(question["sizes"]), question["batch"])
            if key not in trainers:
                trainers[key] = KINDS[kind](question["sizes"], question["batch"])
            value = 1e3 * seconds(trainers[key].step, question["steps"])
        print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
