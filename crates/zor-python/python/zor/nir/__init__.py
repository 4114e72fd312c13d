"""Exchange with neuromorphic tools through NIR, the Neuromorphic Intermediate Representation.

NIR has no unit that passes its value. A gate becomes an integrate-and-fire unit, whose spike rate
approximates the gate's value over many time steps: the usual conversion of an analog network to a
spiking one. `conversion_cost` measures what it costs.

Samples of a graph are vectors or maps `[channels, height, width]`.
"""

try:
    import nir as _nir  # noqa: F401
except ImportError as error:
    raise ImportError("zor.nir needs the package nir: pip install nir", name="nir") from error

from ._cost import conversion_cost
from ._read import from_nir
from ._simulate import ConversionCost, ConversionTable
from ._write import to_nir

__all__ = ["ConversionCost", "ConversionTable", "conversion_cost", "from_nir", "to_nir"]
