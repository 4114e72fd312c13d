"""`python -m zor` is the command `zor`."""

import sys

from ._command import main

sys.exit(main())
