"""Progress bars."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal

Shown = bool | Literal["auto"]
"""Whether to show a progress bar; `"auto"` for one where stderr is a terminal or in a notebook."""

_SECONDS = 0.1


class Bar:
    """A bar of `tqdm`, or a line on stderr where `tqdm` is not installed."""

    def __init__(self, steps: int, shown: Shown, name: str | None = None) -> None:
        self._steps = steps
        self._bar: Any = None
        self._next = 0.0
        is_shown = sys.stderr is not None and (_is_seen() if shown == "auto" else bool(shown))
        self._shown = is_shown
        if not is_shown:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=steps, unit="step", desc=name)

    def __enter__(self) -> Bar:
        return self

    def update(self, step: int, figure: str | float) -> None:
        """Shows a number of steps and a metric or a mean absolute error, ten times a second."""
        if not self._shown:
            return
        now = time.monotonic()
        if now < self._next and step < self._steps:
            return
        self._next = now + _SECONDS
        text = figure if isinstance(figure, str) else f"mean absolute error {figure:.4f}"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
        else:
            sys.stderr.write(f"\r\x1b[Kstep {step} of {self._steps}, {text}")
            sys.stderr.flush()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
        elif self._shown:
            sys.stderr.write("\n")

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_seen() -> bool:
    return sys.stderr.isatty() or "ipykernel" in sys.modules
