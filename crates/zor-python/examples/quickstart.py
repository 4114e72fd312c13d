"""Trains the network of the first version to reconstruct images of clothing."""

from __future__ import annotations

import numpy as np
from zor import Layer, Zor
from zor.data import fashion_mnist


def main(steps: int = 500) -> float:
    """Returns the accuracy on test images, `1 - mean |target - output|`."""
    # The sample comes with the package; without `sample=True` all images are downloaded once.
    (x_train, _), (x_test, _) = fashion_mnist(sample=True)
    train, test = x_train.reshape(-1, 784) / 255, x_test.reshape(-1, 784) / 255

    snn = Zor([Layer(784), Layer(64), Layer(784)])
    random = np.random.default_rng(0)
    for step in range(1, steps + 1):
        batch = train[random.choice(len(train), 48, replace=False)]
        errors = snn.train_batch(batch, batch)
        if step % 50 == 0:
            print(f"step {step}: accuracy of the batch {1 - np.abs(errors).mean():.1%}")

    accuracy = snn.accuracy(test)
    print(f"accuracy of test images: {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
