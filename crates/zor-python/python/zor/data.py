"""Data sets as NumPy arrays."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _zor

__all__ = ["cifar10", "fashion_mnist"]

Bytes = npt.NDArray[np.uint8]
Split = tuple[tuple[Bytes, Bytes], tuple[Bytes, Bytes]]
"""Training images and labels, and test images and labels."""


def fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    sample: bool = False,
) -> Split:
    """Loads Fashion-MNIST (Xiao et al. 2017): pictures of clothing in ten classes.

    The files are searched for in `data_dir`, in the folder `ZOR_DATA_DIR`, and in the cache of the
    command `zor`, and downloaded (30 MB) if they are in none of them.

    Args:
        data_dir: folder with the files.
        download: whether to download the files if they are not found.
        sample: whether to return the 3,000 training images that are inside the package instead, the
            last 1,000 of them as test images.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, as Keras returns them: images `uint8 [n, 28, 28]`
        from 0 to 255 and labels `uint8 [n]`; 60,000 and 10,000 images.

    Raises:
        zor.Error: the files are damaged, are not found, or cannot be downloaded.
    """
    found = _zor.load_sample() if sample else _load("fashion-mnist", data_dir, download)
    (x_train, y_train), (x_test, y_test) = found
    return (x_train[..., 0], y_train), (x_test[..., 0], y_test)


def cifar10(data_dir: str | os.PathLike[str] | None = None, *, download: bool = True) -> Split:
    """Loads CIFAR-10 (Krizhevsky 2009): photographs in ten classes.

    Args:
        data_dir: folder with the files, searched first; see `fashion_mnist`.
        download: whether to download the files (170 MB) if they are not found.

    Returns:
        `((x_train, y_train), (x_test, y_test))`: images `uint8 [n, 32, 32, 3]` from 0 to 255 and
        labels `uint8 [n]`; 50,000 and 10,000 images.

    Raises:
        zor.Error: the files are damaged, are not found, or cannot be downloaded.
    """
    return _load("cifar-10", data_dir, download)


def _load(name: str, data_dir: Any, download: bool) -> Split:
    folder = None if data_dir is None else os.fspath(data_dir)
    return _zor.load_images(name, folder, download)
