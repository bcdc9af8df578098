"""Filters of one pixel that pass over pixels, as shortcuts of ResNets have them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.planes import (
    Planes,
    check_planes,
    lane_mask,
    no_gate,
    output,
    sum_memory,
    total,
)
from sparsecpu.layers.images.sparse_convolution import SparseConvolution
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d


class _Thinned:
    """A layer as it is on the pixels that it sees: its stride is 1, and it gates no gradient."""

    gates_dx = False

    def __init__(self, layer: SparseConv2d) -> None:
        self._layer = layer
        self._known: tuple[Any, Any] = (None, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copies and pickles ask for
            raise AttributeError(name)
        return getattr(self._layer, name)

    def geometry(self) -> Geometry:
        """Return the sizes for the pixels that are seen."""
        whole = self._layer.geometry()
        if self._known[0] is not whole:
            self._known = whole, replace(whole, stride=(1, 1), size=whole.out_size)
        return self._known[1]

    @property
    def tile_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a tile of these pixels and of one of outputs, without the lanes."""
        given, out = self._layer.tile_shapes
        return (out[0], given[1], out[2]), out


class _Widening(NamedTuple):
    """What stays the same from batch to batch."""

    sums: np.ndarray
    mask: np.ndarray


class StridedPoints(SparseConvolution):
    """The three products of such filters, with the pixels that they see laid out side by side.

    The gradient of the others is 0, and what is added to it.
    """

    def __init__(self, layer: SparseConv2d) -> None:
        self.whole = layer
        self._step = np.array(layer.stride, dtype=np.int64)
        super().__init__(_Thinned(layer))  # type: ignore[arg-type]

    def forward(self, x: Planes, ctx: Context, plus: Planes | None = None) -> Planes:
        return super().forward(self._thinned(x, ctx), ctx, plus)

    def backward(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None
    ) -> Planes | None:
        dx = super().backward(self._thinned(x, ctx), dy, ctx)
        return None if dx is None else self._widened(dx.values, x, ctx, plus)

    def gradient_at(self, pattern: Pattern, x: Planes, dy: Planes, ctx: Context) -> np.ndarray:
        return super().gradient_at(pattern, self._thinned(x, ctx), dy, ctx)

    def _thinned(self, x: Planes, ctx: Context) -> Planes:
        """Return the pixels that are seen, with what is pending, in memory that is lent."""
        from sparsecpu.kernels.conv.thinning import thin_kernel

        check_planes(x, self.whole.tile_shapes[0], self.whole.weight.data.dtype)
        (tiles, _, channels, _, lanes), (height, width) = x.shape, self.whole.geometry().out_size
        out = ctx.workspace.lend((tiles, height, channels, width, lanes), x.dtype)
        thin_kernel(lanes)(x.values, self._step, out)
        return replace(x, values=out, sums=None, summed_with=None)

    def _widened(self, g: np.ndarray, x: Planes, ctx: Context, plus: Planes | None) -> Planes:
        """Return dx of all pixels, gated and summed with x where the layers before need that."""
        from sparsecpu.kernels.conv.thinning import widen_kernel

        values, gates = x.values, self.whole.gates_dx
        kind = PRODUCTS if gates and x.a is not None else NO_SUMS
        key = (self.whole, "widened", values.shape, kind, ctx.n_valid)  # it outlives patterns
        found = ctx.workspace.prepared.get(key)
        if found is None:
            jobs = 0 if kind == NO_SUMS else len(values)
            sums = sum_memory(jobs, values.shape[2], values, self.whole, "wide dx", ctx)
            found = ctx.workspace.keep(key, _Widening(sums, lane_mask(values, ctx)))
        dx = ctx.workspace.lend(values.shape, values.dtype)
        written = output(dx, found.sums, kind, plus=plus)
        gate = x.gate() if gates else no_gate(values.dtype)
        widen_kernel(values.shape[-1])(g, self._step, written, gate, found.mask)
        return Planes(dx, sums=None if kind == NO_SUMS else total(found.sums), summed_with=x)


def sparse_products(layer: SparseConv2d) -> SparseConvolution:
    """Return what makes the three products of a layer at its nonzeros."""
    strided = layer.kernel == (1, 1) and layer.padding == (0, 0) and layer.stride != (1, 1)
    return StridedPoints(layer) if strided else SparseConvolution(layer)
