"""Gradients of a convolution whose filters stand in groups that share their taps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.images.grouped_pass import GroupedBackward, prepare_backward
from sparsecpu.layers.images.planes import Planes, no_gate
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.images.sparse_convolution import SparseConvolution


class GroupedGradients:
    """dx and dW, in one pass over dy where both rings fit the cache, or in two."""

    def __init__(self, products: SparseConvolution) -> None:
        self.products, self.layer = products, products.layer

    def backward(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Write dW and return dx."""
        layer, values = self.layer, x.values
        kind = PRODUCTS if layer.gates_dx and x.a is not None else NO_SUMS
        both = self._prepared("dx and dw", layer.weight.pattern, x, dy, kind, ctx, dx=True, dw=True)
        dx = ctx.workspace.lend(values.shape, values.dtype)
        gate = x.gate() if layer.gates_dx else no_gate(values.dtype)
        sums = both.run(x, dy, layer.weight.data, dx, gate, layer.weight.grad)
        return Planes(dx, sums=sums, summed_with=x)

    def write_dw(
        self, name: str, pattern: Pattern, x: Planes, dy: Planes, out: np.ndarray, ctx: Context
    ) -> None:
        """Write dW at the positions of a pattern to ``out``."""
        found = self._prepared(name, pattern, x, dy, NO_SUMS, ctx, dx=False, dw=True)
        found.write_dw(x, dy, out)

    def _prepared(
        self, name: str, pattern: Pattern, x: Planes, dy: Planes, kind: int, ctx: Context,
        **made: Any,
    ) -> GroupedBackward:  # fmt: skip
        products, layer = self.products, self.layer
        key = products.key(name, x, dy, kind, ctx)
        found = products.prepared(key, pattern, ctx)
        if found is None:
            found = prepare_backward(
                layer, products.plan_made, pattern, layer.geometry(), x, dy,
                products.precision(ctx.precision), kind, ctx, **made,
            )  # fmt: skip
            ctx.workspace.keep(key, found)
        return found
