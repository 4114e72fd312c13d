"""The limit of linear codes: principal components of a pool of images, and how well they reproduce other images.

Run by `cargo xtask bench --suite cifar --peer torch`: reads a line of JSON `{"pool": FILE, "evaluation": FILE, "values": N, "components": K}`,
where the files hold float32 values, N of each image, and answers with `{"psnr_db": P}`, on unclamped values in [0, 1]. The mean is one of the
K components' worth of numbers that a linear autoencoder without biases spends too, so it is not taken off.
"""

import json
import sys

import numpy
import torch


def images(path, values):
    return torch.from_numpy(numpy.fromfile(path, numpy.float32)).reshape(-1, values)


def components(pool, count):
    """The first right singular vectors, from the smaller of the two Gram matrices, in double precision."""
    pool = pool.double()
    if len(pool) < pool.shape[1]:
        values, vectors = torch.linalg.eigh(pool @ pool.T)
        values, vectors = values[-count:], vectors[:, -count:]
        kept = values > values[-1] * 1e-12
        return (pool.T @ vectors[:, kept]) / values[kept].sqrt()
    return torch.linalg.eigh(pool.T @ pool)[1][:, -count:]


for line in sys.stdin:
    question = json.loads(line)
    pool = images(question["pool"], question["values"])
    evaluation = images(question["evaluation"], question["values"]).double()
    basis = components(pool, question["components"])
    error = (evaluation - evaluation @ basis @ basis.T).square().mean()
    print(json.dumps({"psnr_db": -10 * error.log10().item()}), flush=True)
