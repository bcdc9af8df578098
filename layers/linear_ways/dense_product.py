"""A linear layer as a full matrix: y by a kernel of ours, the gradients by BLAS."""

from __future__ import annotations

import numpy as np

from sparsecpu.layers.linear_ways.base import Way
from sparsecpu.step.context import Context


class DenseProduct(Way):
    """For large full patterns, and for layers in dense form."""

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        from sparsecpu.kernels.linear.full import product

        product(self.layer.full.matrix(ctx), self.x, self.bias, self.y, self.layer.relu)
        return self.y if other is None else np.add(self.y, other, out=self.y)

    def backward(self, dy, ctx, finish=None, gate=None) -> np.ndarray | None:
        layer, x = self.layer, self.x
        matrix, dw = layer.full.matrix(ctx, renew=False), layer.full.gradient(ctx)
        np.matmul(dy[0], x[0].T, out=dw)
        for tile in range(1, len(x)):
            part = ctx.workspace.array(layer, "dw", dw.shape, dw.dtype)
            np.matmul(dy[tile], x[tile].T, out=part)
            np.add(dw, part, out=dw)
        layer.full.keep(dw)
        if layer.bias is not None:
            np.sum(dy, axis=(0, 2), out=layer.bias.grad)
        if not layer.needs_dx:
            return None
        dx = self.memory_of_dx(dy, ctx)
        np.matmul(matrix.T, dy, out=dx)
        self._finish(dx, *self.finish_of_dx(finish, gate), ctx)
        return dx

    def _finish(self, dx: np.ndarray, finish: int, gate: np.ndarray, ctx: Context) -> None:
        from sparsecpu.kernels.linear import BACK_PLUS, BACK_TIMES, GATED

        if finish == BACK_PLUS:
            np.add(dx, gate, out=dx)
            return
        if finish == GATED:
            gate = np.greater(gate, 0, out=ctx.workspace.array(self.layer, "gate", dx.shape, bool))
        if finish in (GATED, BACK_TIMES):
            with np.errstate(invalid="ignore"):  # infinity times 0: the trainer reports divergence
                np.multiply(dx, gate, out=dx)  # many times faster than a masked copy
