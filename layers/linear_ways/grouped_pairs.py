"""A linear layer whose rows stand in groups, with factors in bf16, two products at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.cpu import PAIRED_GROUPS, bf16_products
from sparsecpu.layers.base import row_bytes
from sparsecpu.layers.linear_ways.grouped_product import GroupedProduct
from sparsecpu.step.context import Context

#: Lanes that are woven together; tiles have a multiple of them.
_RUN = 32
#: Rounding pays from so many products of each number on.
_PRODUCTS = 12


def pairs_pay(layer: Any, x: np.ndarray, ctx: Context) -> bool:
    """Return True if a layer in groups is to compute this pass by pairs."""
    pattern = layer.weight.pattern
    return (
        ctx.precision == "bf16" and pattern.group in PAIRED_GROUPS and x.shape[2] % _RUN == 0
        and pattern.nnz >= _PRODUCTS * x.shape[1] and bf16_products() == "pairs"
    )  # fmt: skip


class GroupedPairs(GroupedProduct):
    """y, dW and dx from copies in bf16; they are float32, and so are the weights.

    ``kernels.vectors.pairs`` says what is rounded. Each pass makes its copies anew: x before y (a
    layer keeps it until dW), dy before dW, and the weights before y and, in another order, before
    dx. All layers share the memory of the last two, 2 bytes for each weight of the largest layer.
    """

    def __init__(self, layer: Any, x: np.ndarray, ctx: Context) -> None:
        from sparsecpu.kernels.linear.grouped_pairs import matmul_kernel

        super().__init__(layer, x, ctx)
        workspace, shared, self.sizes = ctx.workspace, self.shared, self.kind[:2]
        self.read = workspace.array("pairs" if ctx.predicts else layer, "x", x.shape, np.uint16)
        self.values = workspace.array("pairs", "values", self.weight.data.shape, np.uint16)
        self._multiply, size = matmul_kernel(*self.sizes), row_bytes(self.read)
        self._cut, self._chunks = shared.blocks(size, True), shared.chunks_of(size, True)
        self._bind_pairs(None)

    def _bind_pairs(self, other: np.ndarray | None) -> None:
        self._other, shared = other, self.shared
        self._forward = (
            shared.indptr, *self._cut, shared.indices, self.values, self.read, self.bias,
            *self.finish_of_y(other), self._chunks,
        )  # fmt: skip

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        from sparsecpu.kernels.linear.grouped_pairs import round_values

        if other is not self._other:
            self._bind_pairs(other)
        _weave(self.x, self.read)
        round_values(self.weight.data, self.values)
        self._multiply(*self._forward)
        return self.y

    def weight_gradient(self) -> None:
        _weave(self._dy, self._read_dy)
        super().weight_gradient()

    def input_gradient(self) -> None:
        self._pair_values(*self._copying)
        super().input_gradient()

    def _bind_backward(self, dy: np.ndarray, ctx: Context, finish: int | None, gate: Any) -> None:
        from sparsecpu.kernels.linear.grouped_pairs import (
            gradient_kernel,
            pair_values_kernel,
            scatter_kernel,
        )

        super()._bind_backward(dy, ctx, finish, gate)
        self._gradient = gradient_kernel(*self.sizes)
        if not self.layer.needs_dx:
            return
        group, shared = self.pattern.group, self.shared
        words = ctx.workspace.array("pairs", "words", (shared.nnz * group // 2,), np.uint32)
        self._pair_values, self._scatter = pair_values_kernel(group), scatter_kernel(*self.sizes)
        n_out = self.pattern.shape[0]
        self._copying = shared.indptr, self.weight.data, n_out, words, shared.chunks
        self._input_gradient = (
            *self._columns(), shared.indices, words, dy, *self._input_gradient[-3:],
        )  # fmt: skip

    def _bind_gradient(self, dy: np.ndarray, ctx: Context) -> None:
        from sparsecpu.kernels.linear.grouped import tiles_at_once

        self._dw, shared = self.weight.grad, self.shared
        self._read_dy = ctx.workspace.array("pairs", "dy", dy.shape, np.uint16)
        self._weight_gradient = (
            shared.indptr, *self._cut, shared.indices, self.read, self._read_dy, dy, self._dw,
            self.bias_gradient(), self._chunks, tiles_at_once(self.read),
        )  # fmt: skip


def _weave(x: np.ndarray, out: np.ndarray) -> None:
    from sparsecpu.kernels.linear.grouped_pairs import weave

    lanes = x.shape[2]
    weave(x.reshape(-1, lanes), out.reshape(-1, lanes))
