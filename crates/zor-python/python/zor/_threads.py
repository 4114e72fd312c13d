"""Threads of the computation, and forks of the process."""

from __future__ import annotations

import atexit
import os

from . import _zor
from ._error import Error


def set_num_threads(threads: int) -> None:
    """Sets the number of threads that this process computes with.

    By default there is one per core, or `RAYON_NUM_THREADS`. Results do not depend on the number.

    Raises:
        zor.Error: the number is not from 1 to 1024.
    """
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"the number of threads must be an int, not {type(threads).__name__}")
    if not 0 < threads < 1 << 31:
        raise Error(f"the number of threads is {threads}; it must be from 1 to 1024")
    _zor.set_num_threads(threads)


_zor.load_numpy()
# Other threads must not ask for the interpreter's lock while it ends.
atexit.register(_zor.end)
# A forked process has none of the threads of its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_zor.after_fork)
