"""The package: what it imports, names and documents."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import zor

PLAIN = [
    name
    for _, name, _ in pkgutil.iter_modules(zor.__path__)
    if name not in ("_zor", "__main__", "nir", "sklearn", "torch", "_torch_layers")
]


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_numpy_is_the_only_import():
    code = (
        "import sys; before = set(sys.modules); import numpy, zor; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names))"
    )
    assert set(run(code).split()) <= {"numpy", "zor"}


def test_every_public_name_is_there_and_documented():
    for name in zor.__all__:
        one = getattr(zor, name)
        if name == "Callback":
            continue
        documented = inspect.isclass(one) or inspect.isroutine(one) or inspect.ismodule(one)
        assert not documented or inspect.getdoc(one), name
        if inspect.isclass(one) and one.__module__.startswith("zor"):
            for member, value in vars(one).items():
                public = not member.startswith("_") and callable(getattr(one, member))
                assert not public or inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize("name", PLAIN)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"zor.{name}")
    assert doctest.testmod(module).failed == 0


def test_unknown_names():
    with pytest.raises(AttributeError, match="nothing"):
        zor.nothing  # noqa: B018


def test_data_sets():
    (x_train, y_train), (x_test, y_test) = zor.data.fashion_mnist(sample=True)
    assert x_train.shape == (2000, 28, 28) and x_train.dtype == np.uint8
    assert y_train.shape == (2000,) and x_test.shape == (1000, 28, 28) and y_test.dtype == np.uint8
    assert set(y_train) == set(range(10))


def test_missing_data_sets(tmp_path):
    with pytest.raises((zor.Error, OSError)):
        zor.data.cifar10(tmp_path, download=False)
