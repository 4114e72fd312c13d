"""What nodes of NIR compute, and the order of the nodes of a graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from .._arrays import FloatArray
from .._error import Error

Shape = tuple[int, ...]
Pair = tuple[int, int]
Path = list[tuple[str, Any]]
"""Names and nodes of a graph, from the input to the output."""

NO_LAYER = {
    "LIF": "it leaks, and a gate does not",
    "CubaLIF": "it leaks, and a gate does not",
    "LI": "it leaks, and a gate does not",
    "CubaLI": "it leaks, and a gate does not",
    "I": "it integrates over time, and a network has no time",
    "Delay": "it delays, and a network has no time",
    "Threshold": "its output is 0 or 1, whereas a gate passes its value",
    "NIRGraph": "it is a graph inside a graph",
}


def path_of(graph: Any) -> Path:
    """Returns the nodes of a graph from its input to its output."""
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"a graph must be a nir.NIRGraph, not {type(graph).__name__}")
    following: dict[str, str] = {}
    for source, target in graph.edges:
        if source in following or target in following.values():
            node = source if source in following else target
            raise Error(f"node '{node}' has two edges in or out; graphs must be in sequence")
        following[source] = target
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise Error(f"the graph has {len(inputs)} inputs; it must have one")
    name: str | None = inputs[0]
    path: Path = []
    while name is not None and len(path) < len(graph.nodes):
        path.append((name, graph.nodes[name]))
        name = following.get(name)
    if len(path) != len(graph.nodes) or not isinstance(path[-1][1], nir.Output):
        loose = sorted(set(graph.nodes) - {name for name, _ in path})
        raise Error(
            f"the graph is no sequence from its input to an output; nodes apart from it: {loose}"
        )
    return path


def pair(value: Any) -> Pair:
    first, second = np.broadcast_to(np.asarray(value), 2)
    return int(first), int(second)


def window_of(node: Any) -> tuple[Pair, Pair, Pair] | str:
    """Returns stride, padding and dilation of a convolution, or why it has no counterpart."""
    stride, dilation, padding = pair(node.stride), pair(node.dilation), node.padding
    if not isinstance(padding, str):
        return stride, pair(padding), dilation
    if padding == "valid":
        return stride, (0, 0), dilation
    around = [step * (side - 1) for step, side in zip(dilation, node.weight.shape[2:])]
    if stride != (1, 1) or any(both % 2 for both in around):
        return "padding 'same' needs stride 1 and an odd window"
    return stride, (around[0] // 2, around[1] // 2), dilation


def sides_of(
    sides: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Pair:
    """Returns height and width of a map that windows leave."""
    height, width = (
        (side + 2 * pad - far * (size - 1) - 1) // step + 1
        for side, size, step, pad, far in zip(sides, kernel, stride, padding, dilation)
    )
    return height, width


def shifts(
    x: FloatArray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Iterator[tuple[Pair, FloatArray]]:
    """Yields each element of a window, with its values `[batch, channels, height, width]`."""
    height, width = sides_of(x.shape[2:], kernel, stride, padding, dilation)
    (down, across), (top, left) = stride, padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    for row, column in np.ndindex(*kernel):
        y, z = row * dilation[0], column * dilation[1]
        part = padded[:, :, y : y + down * height : down, z : z + across * width : across]
        yield (row, column), part[:, :, :height, :width]


def apply(node: Any, x: FloatArray) -> FloatArray:
    """Returns the output of a node without a state, `[batch, *shape]`."""
    if isinstance(node, (nir.Linear, nir.Affine)):
        product: FloatArray = x @ np.asarray(node.weight, np.float32).T
        return product + np.float32(node.bias) if isinstance(node, nir.Affine) else product
    if isinstance(node, nir.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, (nir.AvgPool2d, nir.SumPool2d)):
        kernel = pair(node.kernel_size)
        window = (pair(node.stride), pair(node.padding), (1, 1))
        parts = [part for _, part in shifts(x, kernel, *window)]
        total: FloatArray = np.sum(parts, 0)
        return total / np.float32(len(parts)) if isinstance(node, nir.AvgPool2d) else total
    if isinstance(node, nir.Conv2d):
        return convolve(node, x)
    if isinstance(node, (nir.Input, nir.Output)):
        return x
    kind = type(node).__name__
    raise Error(f"a {kind} is not simulated: {NO_LAYER.get(kind, 'gates have no counterpart')}")


def convolve(node: Any, x: FloatArray) -> FloatArray:
    weight, groups = np.asarray(node.weight, np.float32), int(node.groups)
    window = window_of(node)
    if isinstance(window, str):
        raise Error(window)
    out, _, height, width = weight.shape
    sides = sides_of(x.shape[2:], (height, width), *window)
    total = np.zeros((len(x), groups, out // groups, math.prod(sides)), np.float32)
    by_group = weight.reshape(groups, out // groups, -1, height, width)
    for (row, column), part in shifts(x, (height, width), *window):
        values = part.reshape(len(x), groups, -1, math.prod(sides))
        total += by_group[:, :, :, row, column] @ values
    output: FloatArray = total.reshape(len(x), out, *sides)
    return output + np.asarray(node.bias, np.float32)[:, None, None]


def positions(shape: Shape) -> npt.NDArray[np.intp]:
    """Returns where each value of a map `[channels, height, width]` is with channels last."""
    channels, height, width = shape
    places: npt.NDArray[np.intp] = np.arange(math.prod(shape)).reshape(height, width, channels)
    return np.ravel(places.transpose(2, 0, 1))


def channels_first(x: FloatArray, shape: Shape) -> FloatArray:
    return x if len(shape) == 1 else np.moveaxis(x.reshape(len(x), *shape), -1, 1)


def as_rows(x: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1).reshape(len(x), -1))
