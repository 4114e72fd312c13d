"""Measures what the conversion of a network to integrate-and-fire units costs."""

from __future__ import annotations

import zor
import zor.nir


def main(steps: int = 150) -> None:
    """Trains 784-64-784 on pictures of clothing and prints the table of its conversion."""
    (x_train, _), (x_test, _) = zor.data.fashion_mnist(sample=True)
    train = x_train.reshape(-1, 784) / 255
    test = x_test[:100].reshape(-1, 784) / 255
    network = zor.Network.dense([784, 64, 784], seed=1)
    optimizer = zor.Muon(zor.Schedule.linear(0.02, steps))
    network.fit(train, optimizer=optimizer, steps=steps, seed=1)
    print(zor.nir.conversion_cost(network, train[:500], test))


if __name__ == "__main__":
    main()
