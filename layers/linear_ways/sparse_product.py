"""A linear layer at its nonzeros: each reads or writes a row of lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import row_bytes
from sparsecpu.layers.linear_ways.base import Way, check_tiles
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import LANES_ALIKE
from sparsecpu.step.precision import sixteen_bit_memory

#: Reading in 16 bits pays from so many lanes on, and from so many reads of each row on: writing the
#: copy costs about as much as 8 reads save.
_NARROW_LANES, _NARROW_READS = 64, 12


class SparseProduct(Way):
    """CSR times tiles, and its transpose by a column-by-column index of the same nonzeros."""

    def __init__(self, layer: Any, x: np.ndarray, ctx: Context) -> None:
        from sparsecpu.kernels.linear import gradient_kernel, matmul_kernel

        super().__init__(layer, x, ctx)
        self.precision = ctx.precision
        self.read = self._memory_to_read(x, "x", ctx.precision, ctx)
        self._multiply, self._gradient = matmul_kernel(x.shape[2]), gradient_kernel(x.shape[2])
        size = row_bytes(self.read)
        if ctx.predicts:  # blocks are cut as for the widest of the tiles that add up alike
            size = max(size, LANES_ALIKE * x.itemsize)
        self._size = size
        self._bind_output(None)
        self._dy: Any = None  # the gradients that backward is bound to
        self._dw: Any = None
        self._gate: Any = None
        self._finish: int | None = None

    def _memory_to_read(self, x: np.ndarray, name: str, precision: str, ctx: Context) -> np.ndarray:
        """Return what the kernels read: x, or memory for its copy in 16 bits where that pays."""
        often = self.weight.nnz >= _NARROW_READS * x.shape[1]
        if ctx.precision == "fp32" or x.shape[2] < _NARROW_LANES or not often:
            return x
        return sixteen_bit_memory(ctx.workspace, (self.layer, name), x.shape, precision)

    def _bind_output(self, other: np.ndarray | None) -> None:
        """Prepare the arguments of the kernel that writes y."""
        self._other, pattern, size = other, self.pattern, self._size
        self._forward = (
            *pattern.blocks(size), pattern.indices, self.weight.data, self.read, self.bias,
            *self.finish_of_y(other), pattern.chunks_of(size),
        )  # fmt: skip

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        if other is not self._other:
            self._bind_output(other)
        if self.read is not self.x:
            _narrow(self.x, self.read, self.precision)
        self._multiply(*self._forward)
        return self.y

    def backward(self, dy, ctx, finish=None, gate=None) -> np.ndarray | None:
        bound = dy is self._dy and self.weight.grad is self._dw and gate is self._gate
        if not bound or finish != self._finish:
            self._bind_backward(dy, ctx, finish, gate)
        self._gradient(*self._weight_gradient)
        if not self.layer.needs_dx:
            return None
        if self._read_dy is not dy:
            _narrow(dy, self._read_dy, "bf16")  # small gradients would be lost in fp16
        self._multiply(*self._columns, self.weight.transposed_data, *self._input_gradient)
        return self._dx

    def _bind_backward(self, dy: np.ndarray, ctx: Context, finish: int | None, gate: Any) -> None:
        """Prepare the arguments of the kernels that write dW and dx."""
        if dy.shape != self.y.shape:
            raise ParameterError("shape of dy", dy.shape, str(self.y.shape))
        check_tiles(dy, self.layer.out_features, self.y.dtype, "dy")
        self._dy, self._dw, self._gate, self._finish = dy, self.weight.grad, gate, finish
        pattern, size = self.pattern, row_bytes(self.read)
        self._weight_gradient = (
            *pattern.blocks(size), pattern.indices, self.read, dy, self.weight.grad,
            self.bias_gradient(), pattern.chunks_of(size),
        )  # fmt: skip
        if not self.layer.needs_dx:
            return
        self._dx = self.memory_of_dx(dy, ctx)
        self._read_dy = self._memory_to_read(dy, "dy", "bf16", ctx)
        columns, size = pattern.transposed, row_bytes(self._read_dy)
        self._columns = *columns.blocks(size), columns.indices
        finish, gate = self.finish_of_dx(finish, gate)
        self._input_gradient = (
            self._read_dy, self.no_bias, gate, self._dx, finish, columns.chunks_of(size),
        )  # fmt: skip


def _narrow(x: np.ndarray, out: np.ndarray, precision: str) -> None:
    from sparsecpu.kernels.vectors.sixteen_bits import narrowed

    narrowed(x, out, precision)
