"""Trains a dense autoencoder by Zor's default rule and Muon, written in PyTorch as its authors write it.

Run by `cargo xtask bench --suite reconstruction --peer torch`: the argument is a JSON object of settings, with files of float32 images to train on and
to evaluate on. Reads one JSON object a line, `{"kind": "train", "steps": ...}`, answered by the seconds that these steps took, or `{"kind":
"evaluate"}`, answered by PSNR in dB; both as `{"value": ...}`. Muon is that of Jordan et al. 2024 in single precision.
"""

import json
import math
import sys
import time

import numpy
import torch


def unit(x, epsilon=0.0):
    norms = x.norm(dim=0)
    return (x / torch.where(norms > 0, norms + epsilon, torch.ones_like(norms))).clamp_(-1.0, 1.0)


def orthogonal(matrix, iterations=5):
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Autoencoder:
    def __init__(self, settings):
        self.settings = settings
        sizes = [settings["values"], settings["hidden"], settings["values"]]
        self.weights, self.momenta = [], []
        for inputs, outputs in zip(sizes, sizes[1:]):
            deviation = settings["initial_scale"] * math.sqrt(2 / (inputs + outputs))
            self.weights.append(torch.randn(inputs, outputs) * deviation)
            self.momenta.append(torch.zeros(inputs, outputs))
        self.steps = 0

    def forward(self, x):
        hidden = x @ self.weights[0]
        spikes = (hidden > self.settings["threshold"]).float()
        hidden = hidden * spikes
        return hidden, spikes, hidden @ self.weights[1]

    def step(self, x):
        hidden, spikes, output = self.forward(x)
        signal = unit(x - output)
        below = unit((signal @ self.weights[1].T) * spikes)
        self.move(1, unit(hidden, 1e-8).T @ signal)
        self.move(0, unit(x, 1e-8).T @ below)
        self.steps += 1

    def move(self, index, correlation):
        weight, momentum = self.weights[index], self.settings["momentum"]
        kept = self.momenta[index].mul_(momentum).add_(correlation)
        direction = orthogonal(correlation.add_(kept, alpha=momentum))
        rate = self.settings["learning_rate"] * (1 - self.steps / self.settings["steps"])
        weight.add_(direction, alpha=rate * max(1, weight.shape[0] / weight.shape[1]) ** 0.5)


def images(path, values):
    return torch.from_numpy(numpy.fromfile(path, numpy.float32)).reshape(-1, values)


@torch.inference_mode()
def main():
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    train, evaluation = (images(settings[name], settings["values"]) for name in ("train", "evaluation"))
    network, order = Autoencoder(settings), torch.empty(0, dtype=torch.long)
    for line in sys.stdin:
        question = json.loads(line)
        if question["kind"] == "evaluate":
            error = (evaluation - network.forward(evaluation)[2]).square().mean()
            value = -10 * math.log10(error.item())
        else:
            start = time.perf_counter()
            for _ in range(question["steps"]):
                if len(order) < settings["batch"]:
                    order = torch.randperm(len(train))
                chosen, order = order[: settings["batch"]], order[settings["batch"] :]
                network.step(train[chosen])
            value = time.perf_counter() - start
        print(json.dumps({"value": value, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
