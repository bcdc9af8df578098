"""Gradients of a convolution whose filters stand in groups that share their taps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.images.grouped_pass import (
    prepare_backward,
    prepare_gradient,
    prepare_scatter,
)
from sparsecpu.layers.images.grouped_taps import suits_one_pass
from sparsecpu.layers.images.planes import Planes, no_gate
from sparsecpu.layers.images.strips import Tiles
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.images.sparse_convolution import SparseConvolution


class GroupedGradients:
    """dx and dW, each in a pass of its own or both at once."""

    def __init__(self, products: SparseConvolution) -> None:
        self.products, self.layer = products, products.layer
        self._plan: object = None
        self._at_once = False

    def at_once(self, x: Planes) -> bool:
        """Return True if one pass for dx and dW pays; the plan decides that."""
        if self._plan is not self.products.plan_made:
            tiles = Tiles(x.shape[0], x.shape[-1], x.dtype.itemsize)
            self._at_once = suits_one_pass(self.layer.geometry(), tiles)
            self._plan = self.products.plan_made
        return self._at_once

    def input_gradient(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None
    ) -> Planes:
        """Return dx with ``plus``, gated and summed with x where the layers before need that."""
        layer, products, values = self.layer, self.products, x.values
        kind = PRODUCTS if layer.gates_dx and x.a is not None else NO_SUMS
        key = products.key("dx", x, dy, kind, ctx)
        found = products.prepared(key, products.pattern, ctx)
        if found is None:
            made = prepare_scatter(layer, products.pattern, products.plan_made, layer.geometry(), x,
                                   products.precision(ctx.precision), kind, ctx)  # fmt: skip
            found = ctx.workspace.keep(key, made)
        dx = ctx.workspace.lend(values.shape, values.dtype)
        gate = x.gate() if layer.gates_dx else no_gate(values.dtype)
        sums = found.run(dy, layer.weight.data, dx, gate, plus)
        return Planes(dx, sums=sums, summed_with=x)

    def backward(self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None) -> Planes:
        """Write dW and return dx, to which ``plus`` is added, both in one pass."""
        layer, products, values = self.layer, self.products, x.values
        kind = PRODUCTS if layer.gates_dx and x.a is not None else NO_SUMS
        key = products.key("dx and dw", x, dy, kind, ctx)
        found = products.prepared(key, products.pattern, ctx)
        if found is None:
            made = prepare_backward(
                layer, products.pattern, products.plan_made, layer.geometry(), x, kind, ctx
            )
            found = ctx.workspace.keep(key, made)
        dx = ctx.workspace.lend(values.shape, values.dtype)
        gate = x.gate() if layer.gates_dx else no_gate(values.dtype)
        sums = found.run(x, dy, layer.weight.data, dx, gate, plus, layer.weight.grad)
        return Planes(dx, sums=sums, summed_with=x)

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
