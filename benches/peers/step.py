"""Times training steps of dense networks in PyTorch on the CPU: Zor's classic rule, and a multilayer perceptron under backpropagation.

Run by `cargo xtask bench --suite step --peer torch`: reads one JSON object a line, `{"kind": "classic" | "mlp", "sizes": [...],
"batch": ..., "steps": ...}`, and answers with the mean milliseconds of a step as `{"value": ...}`.
"""

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Classic:
    """The classic rule of `docs/rule.md`: stateful charges, everything normalised, AdamW, weights within one."""

    threshold, min_charge, limit = -2.0, -5.0, 1.0

    def __init__(self, sizes, batch):
        deviation = [0.5 * math.sqrt(2 / (a + b)) for a, b in zip(sizes, sizes[1:])]
        self.weights = [nn.Parameter(torch.randn(a, b) * d) for a, b, d in zip(sizes, sizes[1:], deviation)]
        self.charges = [torch.zeros(batch, size) for size in sizes]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-3, fused=True)
        self.input = torch.rand(batch, sizes[0])

    @torch.no_grad()
    def step(self):
        x, presynaptic, spikes = self.input, [], []
        for k, charge in enumerate(self.charges):
            charge.masked_fill_(charge < self.min_charge, 0.0).add_(x)
            fired = charge > self.threshold
            x = charge * fired
            charge.masked_fill_(fired, 0.0)
            presynaptic.append(x)
            spikes.append(fired.float())
            if k < len(self.weights):
                x = x @ self.weights[k]
        signal = self.input - x
        for k in reversed(range(len(self.weights))):
            signal = (signal / signal.norm(dim=0).clamp_min(1e-30)).clamp_(-1.0, 1.0)
            spike, pre = spikes[k + 1], presynaptic[k]
            gated = signal * (spike / (spike.norm(dim=0) + 1e-8))
            pre = pre / (pre.norm(dim=0) + 1e-8)
            self.weights[k].grad = (pre.T @ gated).neg_()
            if k > 0:
                signal = signal @ self.weights[k].T
        self.optimizer.step()
        for weight in self.weights:
            weight.clamp_(-self.limit, self.limit)


class Perceptron:
    """ReLU between, sigmoid at the end, mean squared error, fused Adam."""

    def __init__(self, sizes, batch):
        layers = [nn.Linear(sizes[0], sizes[1])]
        for a, b in zip(sizes[1:], sizes[2:]):
            layers += [nn.ReLU(), nn.Linear(a, b)]
        self.model = nn.Sequential(*layers, nn.Sigmoid())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.input = torch.rand(batch, sizes[0])

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        F.mse_loss(self.model(self.input), self.input).backward()
        self.optimizer.step()


KINDS = {"classic": Classic, "mlp": Perceptron}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    trainers = {}
    for line in sys.stdin:
        question = json.loads(line)
        kind, sizes, batch = question["kind"], question["sizes"], question["batch"]
        key = (kind, tuple(sizes), batch)
        if key not in trainers:
            trainers[key] = KINDS[kind](sizes, batch)
        start = time.perf_counter()
        for _ in range(question["steps"]):
            trainers[key].step()
        milliseconds = 1e3 * (time.perf_counter() - start) / question["steps"]
        print(json.dumps({"value": milliseconds, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
