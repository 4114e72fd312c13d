"""Trains dense networks of random configurations by Zor's rule in PyTorch on the CPU, and says how each training ends.

Run by `cargo xtask bench --suite stability --peer torch`: reads one JSON object a line, a configuration of the suite, and answers with `{"outcome":
...}`: "learned", "learned nothing", "not finite" or the name of an exception. Layers are matrices with a gate behind each but the last. Inputs and
weights are drawn here, by the recipe of the suite.
"""

import json
import math
import sys

import torch

from reconstruction import orthogonal

FEWEST, DIFFERENT, DECREASE = 128, 4, 1e-3


def unit(x, epsilon=0.0):
    norms = x.norm(dim=0)
    return (x / torch.where(norms > 0, norms + epsilon, torch.ones_like(norms))).clamp_(-1.0, 1.0)


def data(case):
    """Inputs and targets: the input itself, values or classes that a random linear map gives."""
    n, size, fault = max(FEWEST, case["batch"]), case["sizes"][0], case["fault"]
    x = torch.randn(n, size)
    different = {"Constant": 1, "Duplicated": DIFFERENT}.get(fault, n)
    x = x[torch.arange(n) % different]
    target = x @ torch.randn(size, case["sizes"][-1]) / math.sqrt(size)
    if fault == "Outliers":
        x = x * torch.where(torch.rand_like(x) < 0.01, 1e4, 1.0)
    if fault == "DeadColumn":
        x[:, 0] = 0.0
    x = x * case["scale"]
    if case["aim"] == "reconstruction":
        return x, x
    return x, target.argmax(1) if case["aim"] == "classes" else target


class Network:
    def __init__(self, case):
        self.case, self.rule = case, case["rule"]
        pairs = list(zip(case["sizes"], case["sizes"][1:]))
        scales = [self.rule["initial_scale"] * math.sqrt(2 / sum(pair)) for pair in pairs]
        self.weights = [torch.randn(pair) * scale for pair, scale in zip(pairs, scales)]
        rate, optimizer = case["learning_rate"], case["optimizer"]
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.weights, rate, momentum=0.9)
        elif optimizer == "muon":
            self.momenta = [torch.zeros_like(weight) for weight in self.weights]
        else:
            kind = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
            self.optimizer = kind(self.weights, rate)

    def forward(self, x):
        presynaptic, spikes = [], []
        for index, weight in enumerate(self.weights):
            presynaptic.append(x)
            x = x @ weight
            if index < len(self.weights) - 1:
                spikes.append((x > self.rule["threshold"]).float())
                x = x * spikes[-1]
        return x, presynaptic, spikes

    def signal(self, output, target):
        if self.case["aim"] != "classes":
            return target - output
        return torch.nn.functional.one_hot(target, output.shape[1]) - output.softmax(1)

    def error(self, x, target):
        return self.signal(self.forward(x)[0], target).square().mean().item()

    def step(self, x, target):
        rule = self.rule
        output, presynaptic, spikes = self.forward(x)
        signal = self.signal(output, target)
        if not torch.isfinite(signal).all():
            raise FloatingPointError
        correlations, gated = [], signal
        for index in reversed(range(len(self.weights))):
            pre = unit(presynaptic[index], 1e-8) if rule["normalize_presynaptic"] else presynaptic[index]
            correlations.insert(0, pre.T @ gated)
            if index == 0:
                break
            signal, spike = signal @ self.weights[index].T, spikes[index - 1]
            on_the_way = rule["signal_gate"] == "on_the_way_down"
            signal = signal * spike if on_the_way else signal
            signal = unit(signal) if rule["normalize_signal"] else signal
            gated = signal if on_the_way else signal * spike / (spike.norm(dim=0) + 1e-8)
        self.move(correlations)

    def move(self, correlations):
        if self.case["optimizer"] == "muon":
            for weight, momentum, correlation in zip(self.weights, self.momenta, correlations):
                direction = orthogonal(correlation + 0.95 * momentum.mul_(0.95).add_(correlation))
                weight.add_(direction, alpha=self.case["learning_rate"] * max(1, weight.shape[0] / weight.shape[1]) ** 0.5)
        else:
            for weight, correlation in zip(self.weights, correlations):
                weight.grad = -correlation
            self.optimizer.step()
        if limit := self.rule["weight_limit"]:
            for weight in self.weights:
                weight.clamp_(-limit, limit)


def outcome(case):
    torch.manual_seed(case["seed"])
    x, target = data(case)
    network, few = Network(case), slice(FEWEST)
    before, order = network.error(x[few], target[few]), torch.empty(0, dtype=torch.long)
    for _ in range(case["steps"]):
        if len(order) < case["batch"]:
            order = torch.randperm(len(x))
        chosen, order = order[: case["batch"]], order[case["batch"] :]
        network.step(x[chosen], target[chosen])
    after = network.error(x[few], target[few])
    if not math.isfinite(after) or not all(weight.isfinite().all() for weight in network.weights):
        return "not finite"
    return "learned" if after < before * (1 - DECREASE) or before == 0 else "learned nothing"


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        try:
            found = outcome(json.loads(line))
        except (ArithmeticError, RuntimeError) as error:
            found = type(error).__name__
        print(json.dumps({"outcome": found}), flush=True)


if __name__ == "__main__":
    main()
