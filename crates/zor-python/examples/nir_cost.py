"""Measures the cost of converting a network to integrate-and-fire units.

`nir_cost.py` prints a table, `nir_cost.py --json` the numbers of docs/results/nir.json.
"""

from __future__ import annotations

import json
import sys

import zor
import zor.nir


def main(steps: int = 150, as_json: bool = False) -> None:
    """Trains 784-64-784 on pictures of clothing and prints the costs of its conversion."""
    (x_train, _), (x_test, _) = zor.data.fashion_mnist(sample=True)
    train = x_train.reshape(-1, 784) / 255
    test = x_test[:100].reshape(-1, 784) / 255
    network = zor.Network.dense([784, 64, 784], seed=1)
    optimizer = zor.Muon(zor.Schedule.linear(0.02, steps))
    network.fit(train, optimizer=optimizer, steps=steps, seed=1)
    costs = zor.nir.conversion_cost(network, train[:500], test)
    if not as_json:
        print(costs)
        return
    psnr_db: dict[str, dict[str, float]] = {}
    for cost in costs:
        psnr_db.setdefault(f"{cost.steps} time steps", {})[cost.reset] = cost.psnr_db
    print(json.dumps({"suite": "nir", "seed": 1, "psnr_db": psnr_db}, indent=2, sort_keys=True))


if __name__ == "__main__":
    main(as_json="--json" in sys.argv[1:])
