"""Times a training step of the airbench network (Jordan 2024) in PyTorch on the CPU, in both memory layouts.

Run by `cargo xtask bench --suite conv --peer torch`; prints one JSON object a line: a layout and its milliseconds.
The network is the one that Zor's suite trains: ReLU in the place of gates, the same shapes, batch and optimizer.
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
    return nn.Sequential(
        nn.Conv2d(3, 24, 2, bias=False),
        nn.ReLU(),
        Block(24, 64),
        Block(64, 256),
        Block(256, 256),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(256, 10, bias=False),
    )


def step_times(layout, batch, steps, warm_up):
    torch.manual_seed(0)
    model = network().to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(10, (batch,))
    times = []
    for step in range(warm_up + steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if step >= warm_up:
            times.append(1e3 * (time.perf_counter() - start))
    return times


def main():
    threads, batch, steps = (int(argument) for argument in sys.argv[1:4])
    torch.set_num_threads(threads)
    layouts = {"channels-first": torch.contiguous_format, "channels-last": torch.channels_last}
    for name, layout in layouts.items():
        times = step_times(layout, batch, steps, 3)
        print(json.dumps({"layout": name, "milliseconds": times, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
