"""A linear layer whose rows stand in groups, without a gradient vector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsecpu.layers.linear_ways.grouped_product import GroupedProduct
from sparsecpu.sparse.keys import slabs
from sparsecpu.sparse.row_blocks import chunks_of_equal_work
from sparsecpu.step.context import Context

#: Nonzeros whose gradient is handed out at once: fewer cost more calls than the caches give back.
SLAB = 1 << 20


class LeanGroups(GroupedProduct):
    """dx comes first; then each slab of groups has its gradient, and takes its step at once."""

    def backward(self, dy, ctx, finish=None, gate=None) -> np.ndarray | None:
        if dy is not self._dy or gate is not self._gate or finish != self._finish:
            self._bind_backward(dy, ctx, finish, gate)
        if self.layer.needs_dx:
            self.input_gradient()
        if ctx.apply is not None:
            for chunks, places in self._slabs:
                dw = self._slab[: places.stop - places.start]
                self._gradient(*self._gradient_of(dw, places.start, chunks))
                ctx.apply(self.weight, places, dw)
        return self._dx if self.layer.needs_dx else None

    def _bind_gradient(self, dy: np.ndarray, ctx: Context) -> None:
        self._slabs = list(self._cut_slabs())
        most = max(places.stop - places.start for _, places in self._slabs)
        self._slab = ctx.workspace.array("lean", "slab", (most,), self.y.dtype)

    def _cut_slabs(self) -> Iterator[tuple[np.ndarray, slice]]:
        """Yield the chunks of groups of each slab, and the places of its nonzeros."""
        group, indptr = self.pattern.group, self.shared.indptr
        for groups, _ in slabs(indptr, SLAB // group):
            chunks = chunks_of_equal_work(indptr[groups.start : groups.stop + 1])
            rows = groups.start * group, min(groups.stop * group, self.pattern.shape[0])
            places = (int(place) for place in self.pattern.indptr[list(rows)])
            yield chunks + groups.start, slice(*places)
