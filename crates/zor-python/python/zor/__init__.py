"""Networks of analog-spike gates that learn by a local correlation rule.

`Zor` and `Layer` are the interface of the first version. `Network` is that of the library, with the
layers of `zor.layers`, a `Rule`, the optimizers of `zor.optimizers`, and `Detector` for anomalies
in tables. `train` runs a task, such as `"detection"`, as the command `zor train` does;
`translation.Translator` translates with a model of the task `"translation"`.

Every function takes NumPy arrays, PyTorch tensors, and whatever NumPy can convert to numbers. A
function that returns an array returns a tensor where its first argument is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import data, layers, optimizers, translation
from ._error import Error
from ._threads import set_num_threads
from ._zor import __version__
from .detection import Cause, Detector, Scores
from .first import Layer, Zor
from .network import Callback, Metrics, Network, Progress
from .optimizers import AdamW, Muon, Optimizer, Schedule, Sgd
from .rule import Rule
from .sequences import Sequences
from .tasks import Run, task_names, train

if TYPE_CHECKING:
    from . import nir as nir
    from . import sklearn as sklearn
    from . import torch as torch

__all__ = [
    "AdamW",
    "Callback",
    "Cause",
    "Detector",
    "Error",
    "Layer",
    "Metrics",
    "Muon",
    "Network",
    "Optimizer",
    "Progress",
    "Rule",
    "Run",
    "Schedule",
    "Scores",
    "Sequences",
    "Sgd",
    "Zor",
    "__version__",
    "data",
    "layers",
    "optimizers",
    "set_num_threads",
    "task_names",
    "train",
    "translation",
]

# These need packages that a plain installation does not have.
_LAZY = ("nir", "sklearn", "torch")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LAZY])
