"""Tables of any kind as what the extension reads: a path, or the contents of a file."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import is_tensor
from ._error import Error

Source = str | tuple[str, bytes, bool]


def source(table: Any, name: str = "the table") -> Source:
    """Returns a table for the extension.

    Args:
        table: the path of a CSV, `.npy` or `.npz` file; a DataFrame of pandas or polars; a mapping
            from names to columns; or an array `[rows, columns]`.
        name: what the table is, for messages.

    Raises:
        TypeError: it is none of them.
        zor.Error: columns differ in length, or an array does not have one or two axes.
    """
    if isinstance(table, (str, os.PathLike)):
        return os.fspath(table)
    if hasattr(table, "to_csv") and hasattr(table, "columns"):
        text = table.to_csv(index=False)
        return name, text.encode(), False
    if hasattr(table, "write_csv"):
        return name, table.write_csv().encode(), False
    if isinstance(table, Mapping):
        return name, _csv(table, name), False
    if is_tensor(table):
        table = table.detach().cpu()
        table = table.double().numpy() if table.is_floating_point() else table.numpy()
    array = _without_mask(table) if isinstance(table, np.ma.MaskedArray) else np.asarray(table)
    if array.dtype.kind in "OUS" and array.ndim == 2:
        columns = {str(at): array[:, at] for at in range(array.shape[1])}
        return name, _csv(columns, name), False
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; it must have numbers or text")
    if array.ndim not in (1, 2):
        raise Error(f"{name} has shape {list(array.shape)}; it must be [rows, columns]")
    contents = io.BytesIO()
    # Numbers far from zero need their digits until they are standardised.
    np.save(contents, np.ascontiguousarray(array, dtype=np.float64))
    return name, contents.getvalue(), True


def _csv(columns: Mapping[Any, Any], name: str) -> bytes:
    import csv

    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise Error(f"{name} has columns of different lengths: {sorted(lengths)}")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([str(column) for column in columns])
    writer.writerows(zip(*(_cells(column) for column in columns.values())))
    return text.getvalue().encode()


def _cells(column: Any) -> list[Any]:
    """Returns the cells of a column as text or numbers. Missing ones are empty."""
    if is_tensor(column):
        column = column.detach().cpu().tolist()
    elif isinstance(column, np.ma.MaskedArray):
        column = column.tolist()
    return [_cell(value) for value in column]


def _cell(value: Any) -> Any:
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return ""
    return value.decode() if isinstance(value, bytes) else value


def _without_mask(table: Any) -> Any:
    """Returns an array of numbers with NaN for masked ones; text with `None`."""
    if table.dtype.kind in "fiub":
        return table.astype(np.float64).filled(np.nan)
    return np.asarray(table.tolist(), dtype=object)
