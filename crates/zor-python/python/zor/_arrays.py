"""Arrays of any kind as NumPy arrays of 32-bit floats, and results as arrays of the kind given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from ._error import Error

if TYPE_CHECKING:
    import torch

    ArrayLike = npt.ArrayLike | torch.Tensor
    Array = TypeVar("Array", npt.NDArray[Any], torch.Tensor)
else:
    ArrayLike = Any
    Array = TypeVar("Array")

FloatArray = npt.NDArray[np.float32]
"""An array of 32-bit floats."""

_FLOAT32 = np.dtype(np.float32)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a PyTorch tensor. Does not import PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def floats(x: Any, name: str) -> FloatArray:
    """Returns numbers of any type as 32-bit floats. An array of 32-bit floats is not copied.

    Args:
        x: an array, a tensor on any device, or nested sequences of numbers.
        name: what the array is, for messages.

    Raises:
        TypeError: the values are not real numbers.
        zor.Error: the sequences do not have the shape of an array.
    """
    if type(x) is np.ndarray and x.dtype is _FLOAT32:
        return x if x.flags.aligned else x.copy()
    if is_tensor(x):
        return _of_tensor(x, name)
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        raise TypeError(f"the {name} is a sparse matrix; pass a dense array, such as its toarray()")
    if x is None:
        raise TypeError(f"the {name} is None; it must be an array of real numbers")
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        x = np.from_dlpack(x)
    _refuse_mask(x, name)
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise Error(f"the {name} is not an array: {error}") from None
    if array.dtype.kind == "O":
        try:
            array = np.asarray([float(_number(value)) for value in array.flat]).reshape(array.shape)
        except TypeError:
            raise TypeError(f"the {name} has values that are not numbers (dtype object)") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"the {name} has dtype {array.dtype}; it must have real numbers")
    with np.errstate(over="ignore"):
        return np.require(array, np.float32, "A")


def _of_tensor(x: Any, name: str) -> FloatArray:
    if x.is_complex():
        raise TypeError(f"the {name} has complex numbers; it must have real numbers")
    torch = sys.modules["torch"]
    try:
        if x.layout is not torch.strided:
            x = x.to_dense()
        found: FloatArray = x.detach().resolve_neg().to("cpu", torch.float32).numpy()
    except (NotImplementedError, RuntimeError) as error:
        raise Error(f"the {name} is a tensor whose values cannot be read: {error}") from None
    return found


def _refuse_mask(x: Any, name: str) -> None:
    parts = x if isinstance(x, (list, tuple)) else [x]
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise Error(f"the {name} has masked values; fill them first, x.filled(value)")


def _number(value: Any) -> Any:
    """Returns a number of Python; a missing one is NaN, and text is none."""
    if value is None:
        return np.nan
    if isinstance(value, (str, bytes)):
        raise TypeError(value)
    return value


def rows(x: Any, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Returns samples as rows, `[batch, features]`.

    Args:
        x: samples `[batch, *shape]` or `[batch, features]`.
        name: what the array is, for messages.
        shape: the shape of one sample.
    """
    array = floats(x, name)
    if array.ndim == 2:
        return array
    if array.shape == shape or array.ndim < 2:
        raise Error(
            f"the {name} has shape {list(array.shape)}; it must have one row per sample, "
            f"[batch, {', '.join(map(str, shape))}]: for one sample add an axis, x[None]"
        )
    if array.shape[1:] != shape:
        features = int(np.prod(shape))
        raise Error(
            f"the {name} has shape {list(array.shape)}; this network expects "
            f"[batch, {', '.join(map(str, shape))}] or [batch, {features}]"
        )
    return array.reshape(array.shape[0], -1)


def targets(y: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Returns target values as rows, or classes as 64-bit integers `[batch]`."""
    _refuse_mask(y, name)
    if not is_tensor(y) and not isinstance(y, np.ndarray):
        try:
            y = np.asarray(y)
        except ValueError as error:
            raise Error(f"the {name} is not an array: {error}") from None
    if y.ndim != 1:
        return rows(y, name, shape)
    if is_tensor(y):
        y = y.detach().cpu().numpy()
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"the {name} has one axis and dtype {y.dtype}; give classes as integers [batch], or "
            f"values with one row per sample"
        )
    if y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
        raise Error(f"the {name} has class {y.max()}; it is too large")
    return y.astype(np.int64, copy=False)  # type: ignore[no-any-return]


def like(x: Any) -> Callable[[FloatArray], Any]:
    """Returns a function that gives results the kind, device and type of `x`.

    The type is kept for floats; results for integers are 32-bit floats.
    """
    if is_tensor(x):
        torch = sys.modules["torch"]
        dtype = x.dtype if x.dtype.is_floating_point else torch.float32
        device = x.device
        return lambda result: torch.from_numpy(result).to(device, dtype)
    dtype = getattr(x, "dtype", _FLOAT32)
    if dtype is _FLOAT32 or not isinstance(dtype, np.dtype) or dtype.kind != "f":
        return _unchanged
    return lambda result: result.astype(dtype)


def _unchanged(result: FloatArray) -> FloatArray:
    return result
