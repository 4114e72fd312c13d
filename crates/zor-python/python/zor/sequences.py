"""Sequences of tokens, as the input of networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import _zor
from ._arrays import ArrayLike, is_tensor
from ._error import Error

__all__ = ["Sequences"]

Tokens = npt.NDArray[np.int64]
"""Tokens of a sequence, `[length]`."""


class Sequences:
    """Sequences of tokens, of different lengths, as the input of a network.

    Their positions are the rows of the batch, one sequence after another. The network has the input
    shape `[1]`, the token of a position; its first layer is `zor.layers.Embedding` or
    `zor.layers.TiedEmbedding`.

    Args:
        tokens: tokens of each sequence, integers `[length]` that count from 0.
        prefixes: number of positions in the prefix of each sequence, such as the source of a
            translation; none by default. Positions of a prefix see one another. The others see
            themselves and the positions before them.

    Raises:
        TypeError: tokens are not integers.
        zor.Error: there is no sequence, one of them is empty, a token is negative, or a prefix is
            longer than its sequence.

    Example:
        >>> import zor
        >>> sequences = zor.Sequences([[3, 1, 2], [4, 2]], prefixes=[1, 0])
        >>> len(sequences), sequences.lengths
        (2, (3, 2))
    """

    def __init__(self, tokens: Iterable[ArrayLike], prefixes: Iterable[int] | None = None) -> None:
        self._tokens = [_tokens(one, index) for index, one in enumerate(tokens)]
        self._prefixes = None if prefixes is None else tuple(map(int, prefixes))
        if self._prefixes is not None and min(self._prefixes, default=0) < 0:
            raise Error(f"a prefix has {min(self._prefixes)} positions; it must have 0 or more")
        together = np.concatenate([np.empty(0, np.int64), *self._tokens])
        self._native = _zor.Sequences(together, self.lengths, self._prefixes)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of positions of each sequence."""
        return tuple(map(len, self._tokens))

    @property
    def prefixes(self) -> tuple[int, ...]:
        """Number of positions in the prefix of each sequence."""
        return self._prefixes or (0,) * len(self)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Tokens]:
        """Returns the tokens of each sequence."""
        return (one.copy() for one in self._tokens)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "sequences are not an array; train_batch, predict, evaluate and cosine_to_backprop "
            "take them"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._tokens, self._prefixes)

    def __repr__(self) -> str:
        return f"<zor.Sequences: {len(self)} of {sum(self.lengths)} tokens>"


def _tokens(tokens: Any, index: int) -> Tokens:
    array = tokens.detach().cpu().numpy() if is_tensor(tokens) else np.asarray(tokens)
    if array.ndim != 1:
        raise Error(f"sequence {index} has shape {list(array.shape)}; it must be [length]")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"sequence {index} has dtype {array.dtype}; tokens are integers")
    return array.astype(np.int64)
