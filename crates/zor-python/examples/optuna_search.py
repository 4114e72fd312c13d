"""Searches the learning rate, hidden width and threshold of a small classifier with Optuna."""

from __future__ import annotations

import numpy as np
import optuna
import zor
from numpy.typing import NDArray
from zor import layers as L
from zor.data import fashion_mnist

STEPS = 300


def fit(
    settings: dict[str, float],
    x: NDArray[np.float64],
    y: NDArray[np.uint8],
    callback: zor.network.Callback | None = None,
) -> zor.Network:
    """Trains the classifier on images of 14x14 pixels."""
    hidden = [L.Dense(int(settings["hidden"])), L.Gate(threshold=settings["threshold"])]
    network = zor.Network(14 * 14, [*hidden, L.Dense(10)])
    optimizer = zor.Muon(zor.Schedule.linear(settings["learning_rate"], STEPS))
    network.fit(x, y, optimizer=optimizer, steps=STEPS, batch_size=64, callback=callback)
    return network


def right(network: zor.Network, x: NDArray[np.float64], y: NDArray[np.uint8]) -> float:
    """Returns the share of images whose class is predicted."""
    return float((network.predict(x).argmax(axis=1) == y).mean())


def main(trials: int = 20) -> float:
    """Returns the share of right predictions on test images, with the best settings found."""
    (images, y), (test_images, y_test) = fashion_mnist(sample=True)
    x, x_test = (
        one.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 14 * 14) / 255
        for one in (images, test_images)
    )
    train, validation = slice(0, 1500), slice(1500, None)

    def objective(trial: optuna.Trial) -> float:
        settings = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.3, log=True),
            "hidden": trial.suggest_int("hidden", 8, 128, log=True),
            "threshold": trial.suggest_float("threshold", -1.0, 1.0),
        }

        def report(progress: zor.Progress) -> None:
            if progress.step % 50 == 0 and progress.step < STEPS:
                trial.report(right(progress.network, x[validation], y[validation]), progress.step)
                if trial.should_prune():
                    raise optuna.TrialPruned()  # it ends the training

        network = fit(settings, x[train], y[train], report)
        return right(network, x[validation], y[validation])

    sampler = optuna.samplers.TPESampler(seed=0)
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=100)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=trials)
    # The best trial was chosen on the validation images, so only other images can judge it.
    share = right(fit(study.best_params, x, y), x_test, y_test)
    print(f"best settings: {study.best_params}")
    print(f"validation: {study.best_value:.1%} right, test: {share:.1%} right")
    return share


if __name__ == "__main__":
    main()
