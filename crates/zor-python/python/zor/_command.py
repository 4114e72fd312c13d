"""The command `zor`, which the package installs."""

from __future__ import annotations

import signal
import sys

from . import _zor


def main() -> int:
    """Runs the command line of Zor with the arguments of the program. Returns its exit code."""
    # The command handles Ctrl-C itself.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _zor.command(sys.argv[1:])
