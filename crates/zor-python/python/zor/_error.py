"""The exception of the package."""

from __future__ import annotations


class Error(ValueError):
    """Invalid input, settings or files, or a training that diverged.

    Attributes:
        kind: `"input"` for invalid input, settings or files; `"diverged"` for values that became
            infinite or NaN in a training; `"device"`, `"download"`; `"internal"` for a fault of
            Zor.
    """

    kind: str = "input"
