"""Times a training step of the airbench network (Jordan 2024) in PyTorch on the CPU, in both memory layouts.

Run by `cargo xtask bench --suite conv --peer torch`: reads a JSON object `{"layout": ..., "steps": ...}` a line, and answers with
the mean milliseconds of a step as `{"value": ...}`. The network is the one that Zor's suite trains: ReLU in the place of gates, the same shapes, batch and optimizer.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = F.relu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.relu(self.norm2(self.conv2(x)))


def network():
    # The first convolution whitens and does not learn, nor does the scale behind it.
    whitening, norm = nn.Conv2d(3, 24, 2, bias=False), nn.BatchNorm2d(24)
    whitening.weight.requires_grad_(False)
    norm.weight.requires_grad_(False)
    return nn.Sequential(
        whitening,
        norm,
        nn.ReLU(),
        Block(24, 64),
        Block(64, 256),
        Block(256, 256),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(256, 10, bias=False),
    )


class Trainer:
    def __init__(self, layout, batch):
        torch.manual_seed(0)
        self.model = network().to(memory_format=layout).train()
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-3, fused=True)
        self.images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
        self.labels = torch.randint(10, (batch,))

    def milliseconds(self, steps):
        """The mean time of so many steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.model(self.images), self.labels).backward()
            self.optimizer.step()
        return 1e3 * (time.perf_counter() - start) / steps


def main():
    threads, batch = (int(argument) for argument in sys.argv[1:3])
    torch.set_num_threads(threads)
    layouts = {"PyTorch, channels first": torch.contiguous_format, "PyTorch, channels last": torch.channels_last}
    trainers = {name: Trainer(layout, batch) for name, layout in layouts.items()}
    for line in sys.stdin:
        question = json.loads(line)
        value = trainers[question["layout"]].milliseconds(question["steps"])
        print(json.dumps({"value": value, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
