"""A linear layer whose rows stand in groups that share their columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import row_bytes
from sparsecpu.layers.linear_ways.base import Way, check_tiles
from sparsecpu.step.context import Context


class GroupedProduct(Way):
    """y, dW and dx with one read of x, or of dx, for all rows of a group.

    No column-by-column index is needed, and no second copy of the values. Rows are read as they
    are, whatever the precision: arithmetic is the limit, and widening 16 bits would add to it.
    """

    def __init__(self, layer: Any, x: np.ndarray, ctx: Context) -> None:
        from sparsecpu.kernels.linear.grouped import matmul_kernel

        super().__init__(layer, x, ctx)
        self.shared, self.kind = self.pattern.groups, (self.pattern.group, x.shape[2], x.itemsize)
        self._multiply = matmul_kernel(*self.kind)
        self._cut = self.shared.blocks(row_bytes(x), in_groups=True)
        self._bind_output(None)
        self._dy: Any = None  # the gradients that backward is bound to
        self._dw: Any = None
        self._gate: Any = None
        self._finish: int | None = None

    def _bind_output(self, other: np.ndarray | None) -> None:
        """Prepare the arguments of the kernel that writes y."""
        self._other, shared = other, self.shared
        self._forward: tuple[Any, ...] = (
            shared.indptr, *self._cut, shared.indices, self.weight.data, self.x, self.bias,
            *self.finish_of_y(other), shared.chunks_of(row_bytes(self.x), in_groups=True),
        )  # fmt: skip

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        if other is not self._other:
            self._bind_output(other)
        self._multiply(*self._forward)
        return self.y

    def backward(self, dy, ctx, finish=None, gate=None) -> np.ndarray | None:
        bound = dy is self._dy and self.weight.grad is self._dw and gate is self._gate
        if not bound or finish != self._finish:
            self._bind_backward(dy, ctx, finish, gate)
        self.weight_gradient()
        if not self.layer.needs_dx:
            return None
        self.input_gradient()
        return self._dx

    def weight_gradient(self) -> None:
        """Write dW and db, of the dy that ``backward`` had last."""
        self._gradient(*self._weight_gradient)

    def input_gradient(self) -> None:
        """Write dx."""
        self._scatter(*self._input_gradient)

    def _bind_backward(self, dy: np.ndarray, ctx: Context, finish: int | None, gate: Any) -> None:
        """Prepare the arguments of the kernels that write dW and dx."""
        from sparsecpu.kernels.linear.grouped import gradient_kernel, scatter_kernel

        if dy.shape != self.y.shape:
            raise ParameterError("shape of dy", dy.shape, str(self.y.shape))
        check_tiles(dy, self.layer.out_features, self.y.dtype, "dy")
        self._dy, self._gradient = dy, gradient_kernel(*self.kind)
        self._gate, self._finish = gate, finish
        self._bind_gradient(dy, ctx)
        if not self.layer.needs_dx:
            return
        self._dx, self._scatter = self.memory_of_dx(dy, ctx), scatter_kernel(*self.kind)
        finish, gate = self.finish_of_dx(finish, gate)
        self._input_gradient: tuple[Any, ...] = (
            self.shared.indptr, *self._columns(), self.shared.indices, self.weight.data, dy, gate,
            self._dx, finish,
        )  # fmt: skip

    def _bind_gradient(self, dy: np.ndarray, ctx: Context) -> None:
        """Prepare the arguments of the kernel that writes dW."""
        dw, chunks = self.weight.grad, self.shared.chunks_of(row_bytes(dy), in_groups=True)
        self._weight_gradient, self._dw = self._gradient_of(dw, 0, chunks), dw

    def _gradient_of(self, dw: np.ndarray, first: int, chunks: np.ndarray) -> tuple:
        """Return the arguments of the kernel that writes dW from place ``first`` on."""
        from sparsecpu.kernels.linear.grouped import tiles_at_once

        shared, x = self.shared, self.x
        return (
            shared.indptr, *self._cut, shared.indices, x, self._dy, dw, self.bias_gradient(),
            chunks, tiles_at_once(x), first,
        )  # fmt: skip

    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where each group's columns of each block lie, with a block for every thread."""
        from sparsecpu.kernels.linear.grouped import blocks_of_dx, strip_of
        from sparsecpu.kernels.machine.threads import current_threads

        strip = strip_of(*self.kind)
        jobs = len(self.x) * (self.x.shape[2] // strip)
        wanted = blocks_of_dx(
            self.shared.indptr, self.shared.columns, self.pattern.group, strip * self.x.itemsize
        )
        return self.shared.cut(max(wanted, -(-current_threads() // jobs)))
