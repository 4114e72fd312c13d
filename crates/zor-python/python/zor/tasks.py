"""Tasks: trainings with a data set, a network, settings, and a folder for their results."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _zor
from ._bar import Bar, Shown
from ._record import Record
from ._settings import nested
from ._tables import source
from .detection import Detector
from .network import Network, Path
from .translation import Translator

if TYPE_CHECKING:
    from pathlib import Path as FilePath

__all__ = ["Run", "task_names", "train"]


class Run(Record):
    """A finished training run.

    Attributes:
        folder: its folder, with `model.zor`, metrics, settings and pictures.
        metrics: what `zor train --json` prints: `task`, `rule`, `seed`, `parameters`, `steps`,
            `train_seconds`, and the metrics of the task, such as `psnr_db`, `top1` or `auroc`;
            fractions are in [0, 1].
        table: the metrics beside those of the baselines, for people.
    """

    folder: FilePath
    metrics: dict[str, Any]
    table: str

    @property
    def model(self) -> FilePath:
        """Path of the model file."""
        return self.folder / "model.zor"

    def network(self) -> Network:
        """Loads the trained network."""
        return Network.load(self.model)

    def detector(self) -> Detector:
        """Loads the trained detector of the task `detection`."""
        return Detector.load(self.model)

    def translator(self) -> Translator:
        """Loads the trained translator of the task `translation`."""
        return Translator.load(self.model)

    def __str__(self) -> str:
        return self.table


def task_names() -> dict[str, str]:
    """Returns all tasks by name, with what they do."""
    return dict(_zor.task_names())


def train(
    task: str | None = None,
    *,
    data: Any = None,
    out: Path | None = None,
    overwrite: bool = False,
    resume: Path | None = None,
    from_model: Path | None = None,
    checkpoint_every: int | None = None,
    keep: int = 3,
    callback: Callable[[dict[str, Any]], object] | None = None,
    progress: Shown = "auto",
    **settings: Any,
) -> Run:
    """Trains a task, as the command `zor train` does.

    Ctrl-C saves a checkpoint after the step in progress and raises `KeyboardInterrupt`, whose
    message says where it is; `train(resume=...)` continues from it with the same bits. An exception
    of `callback` does too.

    Args:
        task: name of a task; `task_names` lists them. Not with `resume`.
        data: data of the task: a path, or for the tasks `detection` and `table` a table of any kind
            that `Detector.fit` takes. Arrays and frames are written to a file beside the run.
        out: folder for the results; must not contain a run yet. By default a new folder in
            `runs/TASK`.
        overwrite: whether to replace the run in `out`.
        resume: a checkpoint, or the folder of a run or task, to resume from.
        from_model: a model whose weights the training starts with.
        checkpoint_every: number of steps between checkpoints; none by default.
        keep: number of most recent checkpoints to keep, besides the best one.
        callback: called with a dict of the metrics of each evaluation: `step`, `train_seconds`,
            `training_mae` and those of the task.
        progress: whether to show progress bars: `"auto"` for a terminal or a notebook.
        settings: settings that `zor tasks TASK` lists, such as `steps`, `hidden`, `seed`,
            `detection_noise` for `detection.noise`, or `translation_languages="en,pcm"`, the
            languages of the pairs in `data`.

    Raises:
        FileNotFoundError: there is no such checkpoint or model.
        zor.Error: a setting is unknown or out of its range, or the data cannot be read.
        OSError: a file cannot be written.

    Example:
        >>> import tempfile
        >>> import zor
        >>> folder = tempfile.mkdtemp()
        >>> run = zor.train("fashion-reconstruction", out=folder + "/run", steps=2, baseline=False)
        >>> run.metrics["steps"]
        2
    """
    given = dict(settings)
    if task is not None:
        given["task"] = task
    if data is not None:
        given["data"] = _file_of(data, task)
    told = _Told(progress, callback)
    with told:
        text = _zor.train(
            json.dumps(nested(given)),
            None if out is None else os.path.abspath(out),
            overwrite,
            None if resume is None else _existing(resume),
            None if from_model is None else _existing(from_model),
            checkpoint_every,
            keep,
            (told.start, told.step, told.evaluated, told.tell),
        )
    from pathlib import Path as FilePath

    metrics = json.loads(text)
    table = metrics.pop("table")
    return Run(FilePath(metrics["run"]), metrics, table)


def _existing(path: Path) -> str:
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    return os.path.abspath(path)


def _file_of(data: Any, task: str | None) -> str:
    """Returns the path of data; that which has none is written to a file."""
    found = source(data, "data")
    if isinstance(found, str):
        return os.path.abspath(found) if found != "-" else found
    import tempfile
    from pathlib import Path as FilePath

    _, contents, is_array = found
    folder = FilePath("runs", task or "data")
    folder.mkdir(parents=True, exist_ok=True)
    ending = ".npy" if is_array else ".csv"
    with tempfile.NamedTemporaryFile(
        dir=folder, prefix="data-", suffix=ending, delete=False
    ) as file:
        file.write(contents)
    return os.path.abspath(file.name)


class _Told:
    """What a run says, shown as bars and lines."""

    def __init__(
        self, progress: Shown, callback: Callable[[dict[str, Any]], object] | None
    ) -> None:
        self._progress = progress
        self._callback = callback
        self._bar: Bar | None = None

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def start(self, name: str, steps: int, about: str) -> None:
        self._close()
        if self._progress is True or self._progress == "auto":
            self.tell(f"{name}: {about}")
        self._bar = Bar(steps, self._progress, name)

    def step(self, step: int, figure: str) -> None:
        if self._bar is not None:
            self._bar.update(step, figure)

    def evaluated(self, text: str) -> None:
        if self._callback is not None:
            self._callback(json.loads(text))

    def tell(self, line: str) -> None:
        if sys.stderr is not None and (self._progress is not False or line.startswith("warning")):
            print(line, file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
