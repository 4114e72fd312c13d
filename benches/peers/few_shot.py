"""Trains multilayer perceptrons 784-64-784 on ten images in PyTorch, and says how long the best validation PSNR took.

Run by `cargo xtask bench --suite few-shot --peer torch`: the arguments are threads and a file of little-endian f32 images of 784 pixels, ten
to learn from, a thousand to validate on, and the rest to choose settings on. Reads one JSON object a line:

- `{"kind": "mlp", "seed": ...}`: ReLU and sigmoid, Adam at 1e-3, full batch;
- `{"kind": "best", "seed": ...}`: the best of a sweep over output, optimizer and learning rate, chosen by what it reaches on the rest;
- `{"kind": "projection"}`: the closed-form projection on the span of the ten images.

The clock runs during training steps alone.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MOST_EPOCHS = 1500
# Epochs without a better PSNR after which training ends: its best is behind it.
PATIENCE = 300


def psnr(output, target):
    return -10 * torch.log10(F.mse_loss(output, target)).item()


def network(output):
    layers = [nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 784)]
    return nn.Sequential(*layers, *([nn.Sigmoid()] if output == "sigmoid" else []))


def train(images, validation, settings, seed):
    """The best PSNR on validation images, and the seconds and epochs of training until then."""
    torch.manual_seed(seed)
    model = network(settings["output"])
    kind = getattr(torch.optim, settings["optimizer"])
    optimizer = kind(model.parameters(), lr=settings["learning_rate"], fused=True)
    best, seconds = {"psnr_db": -1e9}, 0.0
    for epoch in range(1, MOST_EPOCHS + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(model(images), images).backward()
        optimizer.step()
        seconds += time.perf_counter() - start
        with torch.no_grad():
            reached = psnr(model(validation), validation)
        if reached > best["psnr_db"]:
            best = {"psnr_db": reached, "seconds": seconds, "epochs": epoch}
        elif epoch - best["epochs"] >= PATIENCE:
            break
    return best


SIMPLE = {"output": "sigmoid", "optimizer": "Adam", "learning_rate": 1e-3}


def sweep(images, choice):
    """The settings that reach most on images that are not validated on."""
    candidates = [
        {"output": output, "optimizer": optimizer, "learning_rate": rate}
        for output in ("sigmoid", "linear")
        for optimizer, rates in (("Adam", (3e-4, 1e-3, 3e-3, 1e-2)), ("SGD", (1.0, 10.0, 100.0)))
        for rate in rates
    ]
    reached = [(train(images, choice, settings, 0)["psnr_db"], i) for i, settings in enumerate(candidates)]
    finite = [pair for pair in reached if np.isfinite(pair[0])]
    return candidates[max(finite)[1]]


def projection(images, validation):
    """Outputs in the span of the images, by QR."""
    start = time.perf_counter()
    basis = torch.linalg.qr(images.T)[0]
    weights = basis @ basis.T
    seconds = time.perf_counter() - start
    return {"psnr_db": psnr(validation @ weights, validation), "seconds": seconds}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    everything = torch.from_numpy(np.fromfile(sys.argv[2], dtype="<f4").reshape(-1, 784))
    images, validation, choice = everything[:10], everything[10:1010], everything[1010:]
    best = None
    for line in sys.stdin:
        question = json.loads(line)
        if question["kind"] == "projection":
            answer = projection(images, validation)
        elif question["kind"] == "mlp":
            answer = train(images, validation, SIMPLE, question["seed"])
        else:
            best = best or sweep(images, choice)
            answer = train(images, validation, best, question["seed"]) | {"settings": best}
        print(json.dumps(answer | {"torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
