"""A linear layer at its nonzeros, without a column-by-column index or a gradient vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.linear_ways.sparse_product import SparseProduct
from sparsecpu.sparse.row_blocks import chunks_of_equal_work
from sparsecpu.step.context import Context


class LeanProduct(SparseProduct):
    """dx comes first, by scattering rows; then the gradient of each slab is handed out at once."""

    def backward(self, dy, ctx, finish=None, gate=None) -> np.ndarray | None:
        from sparsecpu.kernels.linear import gradient_kernel

        if dy.shape != self.y.shape or dy.dtype != self.y.dtype or not dy.flags.c_contiguous:
            raise ParameterError("shape of dy", dy.shape, f"C-contiguous {self.y.shape}")
        finish, gate = self.finish_of_dx(finish, gate)
        dx = self._scattered(dy, finish, gate, ctx) if self.layer.needs_dx else None
        if ctx.apply is None:
            return dx
        pattern, gradient = self.pattern, gradient_kernel(dy.shape[2])
        dbias = self.bias_gradient()
        for rows, places in pattern.slabs():
            bounds = pattern.indptr[rows.start : rows.stop + 1] - places.start
            bounds.setflags(write=False)  # as all index arrays are, so that kernels compile once
            found = _slab_gradient(
                gradient, bounds, pattern.indices[places], self.read, dy[:, rows], dbias[rows], ctx
            )
            ctx.apply(self.weight, places, found)
        return dx

    def _scattered(self, dy: np.ndarray, finish: int, gate: np.ndarray, ctx: Context) -> np.ndarray:
        from sparsecpu.kernels.linear.scatter import scatter_kernel
        from sparsecpu.kernels.machine.threads import current_threads

        dx, pattern = self.memory_of_dx(dy, ctx), self.pattern
        parts = -(-current_threads() // len(dy))
        scatter_kernel(dy.shape[2])(
            pattern.indptr, pattern.indices, self.weight.data, dy, gate, dx, finish, parts,
        )  # fmt: skip
        return dx


def _slab_gradient(
    gradient: Callable,
    bounds: np.ndarray,
    indices: np.ndarray,
    x: np.ndarray,
    dy: np.ndarray,
    dbias: np.ndarray,
    ctx: Context,
) -> np.ndarray:
    """Return the gradient of a slab in the workspace, and write that of its biases.

    Tile by tile, for the rows of a slab in one tile are contiguous; sums are the same as of all
    tiles at once.
    """
    chunks, kind = chunks_of_equal_work(bounds), dbias.dtype
    starts, ends = bounds[None, :-1], bounds[None, 1:]
    total = ctx.workspace.array("lean", "total", (len(indices),), kind)
    gradient(starts, ends, indices, x[:1], dy[:1], total, dbias, chunks)
    for tile in range(1, len(x)):
        part = ctx.workspace.array("lean", "part", (len(indices),), kind)
        more = ctx.workspace.array("lean", "bias", dbias.shape, kind)
        here = slice(tile, tile + 1)
        gradient(starts, ends, indices, x[here], dy[here], part, more, chunks)
        np.add(total, part, out=total)
        np.add(dbias, more, out=dbias)
    return total
