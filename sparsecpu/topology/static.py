"""No algorithm: weights are where they are."""

from __future__ import annotations

from sparsecpu.topology.base import Topology


class Static(Topology):
    """The pattern never changes."""

    name = "static"

    def __init__(self) -> None:
        super().__init__()

    def due(self, steps_done: int) -> bool:
        return False
