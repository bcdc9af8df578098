"""No algorithm: weights are where they are."""

from __future__ import annotations

from sparsecpu.topology.base import Topology


class Static(Topology):
    """The pattern never changes."""

    name = "static"

    def __init__(self) -> None:
        super().__init__()

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        return 0.0

    def due(self, steps_done: int) -> bool:
        return False
