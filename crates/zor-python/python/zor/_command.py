"""The command `zor`, which the package installs."""

from __future__ import annotations

import sys

from . import _zor


def main() -> int:
    """Runs the command line of Zor with the arguments of the program. Returns its exit code."""
    return _zor.command(sys.argv[1:])
