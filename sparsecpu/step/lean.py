"""Training in little memory: what it cannot go together with."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import ConflictError


def check_lean(network: Any, topology: Any, clip: float, accumulate: int) -> None:
    """Raise ``ConflictError`` if anything needs gradients that lean steps do not keep."""
    for name, wanted in (("clip", clip > 0), ("accumulate", accumulate > 1)):
        if wanted:
            raise ConflictError("lean", name, "which needs stored gradients")
    if any(p.spatial for p in network.parameters().values() if hasattr(p, "spatial")):
        raise ConflictError("lean", "convolutions or sparse tables", "which need stored gradients")
    if topology.needs_gradients:
        raise ConflictError("lean", topology.name, "which needs stored gradients")
