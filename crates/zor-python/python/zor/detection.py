"""Detection of anomalies in tables and series."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _zor
from ._arrays import FloatArray
from ._error import Error
from ._record import Record
from ._settings import nested
from ._tables import source
from .network import Path

__all__ = ["Cause", "Detector", "Scores"]


class Cause(NamedTuple):
    """A cell that makes a row strange.

    Attributes:
        column: name of the column; in a window of a series, with the age of the row.
        share: share of the row's score, in [0, 1].
        value: value of the cell, in its unit.
        expected: value that was expected, given the other cells of the row.
    """

    column: str
    share: float
    value: str
    expected: str


class Scores(Record):
    """Scores of the rows of a table, or of the windows of a series.

    Attributes:
        scores: score of each row, `[rows]`. A larger one is stranger; those of normal rows are
            mostly below 1.
        p_values: how rare such a score is among normal rows, in (0, 1], `[rows]`; a conformal
            p-value (Laxhammar and Falkman 2010).
        parts: part of each cell in the score, `[rows, cells]`; NaN for missing cells.
        values: encoded values of each row, `[rows, width]`.
        expected: values that were expected where they were hidden, encoded, `[rows, width]`.
    """

    scores: FloatArray
    p_values: FloatArray
    parts: FloatArray
    values: FloatArray
    expected: FloatArray

    def __len__(self) -> int:
        return len(self.scores)


class Detector:
    """A detector of anomalies, which learns from normal rows.

    Example:
        >>> import numpy as np
        >>> import zor
        >>> x = np.linspace(0, 1, 64)
        >>> detector = zor.Detector.fit(np.stack([x, 2 * x], axis=1), steps=200)
        >>> scores = detector.score([[0.5, 1.0], [0.5, 0.1]]).scores
        >>> bool(scores[1] > scores[0])
        True
    """

    _native: _zor.Detector

    def __init__(self) -> None:
        raise TypeError("a detector is made by zor.Detector.fit or zor.Detector.load")

    @classmethod
    def _with(cls, native: _zor.Detector) -> Detector:
        detector = cls.__new__(cls)
        detector._native = native
        return detector

    @classmethod
    def fit(
        cls,
        table: Any,
        *,
        seed: int = 0,
        on_step: Callable[[int], object] | None = None,
        **settings: Any,
    ) -> Detector:
        """Learns from the rows of a table what is normal.

        Ctrl-C raises `KeyboardInterrupt` after the step in progress.

        Args:
            table: normal rows: the path of a CSV, `.npy` or `.npz` file, a DataFrame, a mapping
                from names to columns, or an array `[rows, columns]`. Missing values are allowed. At
                least 8 rows.
            seed: seed of the weights and the batches.
            on_step: called with the number of steps done, those of the calibration included, at
                most fifty times a second; its exception ends the training.
            settings: settings that `zor tasks detection` lists, such as `steps`, `hidden`, `window`
                (rows of a series that are read together), `time`, `ignore`, `label`, or
                `detection_noise` for `detection.noise`.

        Raises:
            FileNotFoundError: there is no such file.
            zor.Error: a setting is unknown or out of its range, there are too few rows, or a cell
                cannot be read.
        """
        for name in ("data", "task"):
            if name in settings:
                raise Error(f"{name} is no setting of a detector; the table is the first argument")
        text = json.dumps(nested({**settings, "seed": seed}))
        return cls._with(_zor.Detector.fit(source(table), text, on_step))

    @classmethod
    def load(cls, path: Path) -> Detector:
        """Loads a detector from a model file, or from the folder of a run or task.

        Raises:
            FileNotFoundError: there is no such file.
            zor.Error: the file is damaged, or is a model of another task.
        """
        return cls._with(_zor.Detector.load(os.fspath(path)))

    def save(self, path: Path) -> None:
        """Saves the detector as a model file, which `zor detect` reads too.

        Raises:
            OSError: the file cannot be written.
        """
        self._native.save(os.fspath(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_bytes, (type(self), self._native.to_bytes())

    def score(self, table: Any) -> Scores:
        """Scores the rows of a table, or the windows of a series in the order of their last rows.

        Args:
            table: rows with the columns that the detector learned from, as in `fit`.

        Raises:
            zor.Error: a column is missing, or a cell does not match the kind of its column.
        """
        return Scores(*self._native.score(source(table)))

    def explain(self, scores: Scores, row: int, most: int = 3) -> list[Cause]:
        """Returns the cells that make a row strange, the strangest first.

        Args:
            scores: scores of a table.
            row: index of the row in `scores`.
            most: maximum number of cells.

        Raises:
            zor.Error: the scores are those of a detector of other columns.
        """
        if most < 0:
            raise Error(f"most is {most}; it must be at least 0")
        found = self._native.explain(
            scores.parts[row].tolist(),
            scores.values[row].tolist(),
            scores.expected[row].tolist(),
            most,
        )
        return [Cause(*one) for one in found]

    def alarms(self, scores: Scores, false_alarm_rate: float = 0.05) -> npt.NDArray[np.bool_]:
        """Returns which rows raise an alarm, `[rows]`.

        On average over training sets, at most a share of `false_alarm_rate` of normal rows does.

        Raises:
            zor.Error: the rate is lower than the number of calibration rows can promise.
        """
        return scores.scores > self.threshold(false_alarm_rate)

    def threshold(self, false_alarm_rate: float) -> float:
        """Returns the score above which at most this share of normal rows lies on average.

        Raises:
            zor.Error: the rate is lower than the number of calibration rows can promise.
        """
        return self._native.threshold(false_alarm_rate)

    @property
    def cells(self) -> list[str]:
        """Names of the cells of a row, in the order of `Scores.parts`."""
        return self._native.cells()

    def __repr__(self) -> str:
        return f"<zor.Detector of {len(self.cells)} cells>"


def _from_bytes(cls: type[Detector], data: bytes) -> Detector:
    return cls._with(_zor.Detector.from_bytes(data))
