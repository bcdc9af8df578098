"""How much larger a sparse layer may be than a dense one of the same FLOPs."""

from __future__ import annotations

from sparsecpu.errors import ParameterError

#: Relative rounding errors of sizes that should be integers stay below this.
SLACK = 1e-9


def scale_of(sparsity: float) -> float:
    """Return 1 / (1 - s), as an integer if it is one."""
    if not (isinstance(sparsity, (int, float)) and 0.0 <= sparsity < 1.0):
        raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
    scale = 1.0 / (1.0 - sparsity)
    return round(scale) if abs(scale - round(scale)) < SLACK * scale else scale
