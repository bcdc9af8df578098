"""Gradients of a convolution whose filters stand in groups that share their taps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.images.grouped_pass import prepare_gradient, prepare_scatter
from sparsecpu.layers.images.planes import Planes, no_gate
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.images.sparse_convolution import SparseConvolution


class GroupedGradients:
    """dx and dW, each in a pass of its own."""

    def __init__(self, products: SparseConvolution) -> None:
        self.products, self.layer = products, products.layer

    def input_gradient(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Return dx, gated and summed with x where the layers before it need that."""
        layer, products, values = self.layer, self.products, x.values
        kind = PRODUCTS if layer.gates_dx and x.a is not None else NO_SUMS
        key = products.key("dx", x, dy, kind, ctx)
        found = products.prepared(key, layer.weight.pattern, ctx)
        if found is None:
            made = prepare_scatter(layer, products.plan_made, layer.geometry(), x, kind, ctx)
            found = ctx.workspace.keep(key, made)
        dx = ctx.workspace.lend(values.shape, values.dtype)
        gate = x.gate() if layer.gates_dx else no_gate(values.dtype)
        return Planes(dx, sums=found.run(dy, layer.weight.data, dx, gate), summed_with=x)

    def write_dw(
        self, name: str, pattern: Pattern, x: Planes, dy: Planes, out: np.ndarray, ctx: Context
    ) -> None:
        """Write dW at the positions of a pattern to ``out``."""
        products = self.products
        key = products.key(name, x, dy, NO_SUMS, ctx)
        found = products.prepared(key, pattern, ctx)
        if found is None:
            made = prepare_gradient(products.plan_made, pattern, self.layer.geometry(), x,
                                    products.precision(ctx.precision), ctx)  # fmt: skip
            found = ctx.workspace.keep(key, made)
        found.write_dw(x, dy, out)
