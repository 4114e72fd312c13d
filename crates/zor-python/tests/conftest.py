"""What the tests share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def samples() -> NDArray[np.float32]:
    """Sixteen samples of eight features in [0, 1]."""
    return np.random.default_rng(0).random((16, 8), dtype=np.float32)
