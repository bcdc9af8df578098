"""A convolution at its nonzeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.kernels.conv.sums import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.machine.cpu import PAIRED_GROUPS, bf16_products, widest_lanes
from sparsecpu.layers.images.grouped_convolution import GroupedGradients
from sparsecpu.layers.images.grouped_pass import GroupedForward, prepare_forward
from sparsecpu.layers.images.grouped_taps import shared_by_all, suits_groups
from sparsecpu.layers.images.passes import sum_channels
from sparsecpu.layers.images.planes import Planes, check_planes, no_gate, no_operand, nothing
from sparsecpu.layers.images.prepared_pass import (
    ConvolutionPass,
    Prepared,
    prepare_convolution,
    prepare_filter_gradient,
)
from sparsecpu.layers.images.strips import LEAST_JOBS, Tiles
from sparsecpu.layers.images.taps import Taps, backward_taps, forward_taps
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d

#: A ring is in 16 bits where each of its numbers is read at least so often.
_NARROW_READS = 8
#: Where groups have no more taps than that, and no pass of their own makes dx and dW at once, the
#: pass of filters that stand alone does: with so little arithmetic, reading takes most of the time.
_FEW_TAPS = 48
#: The same where products are made in pairs, which that pass does not.
_FEW_PAIRED_TAPS = 20
#: The same for filters of one pixel in any case: that pass reads planes where they lie.
_FEW_POINTS = 14
#: Columns of planes so large that reading them once, for dx and dW at once, is worth more than
#: products in 16 bits.
_WIDE = 32
#: Taps are kept for so many sizes of batches and directions.
_KNOWN = 4


class SparseConvolution:
    """The three products of a convolution, each nonzero reading its pixels where they are."""

    def __init__(self, layer: SparseConv2d) -> None:
        self.layer = layer
        self._shared: tuple[Any, ...] = (None, 1, None)
        self.plan()
        self.grouped = GroupedGradients(self)

    def plan(self) -> None:
        """Forget where nonzeros read: images have another size from now on."""
        self.plan_made = object()  # what was prepared under another plan is out of date
        self._known: tuple[Any, dict[tuple, Taps]] = (None, {})

    @property
    def pattern(self) -> Pattern:
        """The pattern that passes go by: among groups of filters, a full layer's is in groups, too.

        The kernels that take these are compiled already; without groups that would not pay.
        """
        layer = self.layer
        own, group = layer.weight.pattern, layer.planned.filter_group if layer.planned else 1
        if self._shared[0] is not own or self._shared[1] != group:
            self._shared = own, group, shared_by_all(own, layer.geometry(), group)
        return self._shared[2]

    def forward(self, x: Planes, ctx: Context, plus: Planes | None = None) -> Planes:
        """Return y, with the bias, what is added, and a ReLU that the layer took over."""
        layer, dtype = self.layer, x.values.dtype
        kind = MOMENTS if layer.sums_output and ctx.train else NO_SUMS
        key = self.key("y", x, x, kind, ctx)
        found = self.prepared(key, self.pattern, ctx)
        if found is None:
            found = ctx.workspace.keep(key, self._prepare_forward(x, kind, ctx))
        bias = nothing(dtype) if layer.bias is None else layer.bias.data
        weights = found.weights_in_order(layer.weight.data)
        (height, width), (tiles, *_, lanes) = layer.geometry().out_size, x.shape
        shape = (tiles, height, layer.out_channels, width, lanes)
        y = ctx.output(layer, "y", shape, dtype, lend=layer.lends_output)
        sums = found.run(x, weights, bias, y, layer.applies_relu, no_operand(dtype),
                         no_gate(dtype), plus)  # fmt: skip
        return Planes(y, sums=sums)

    def backward(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None
    ) -> Planes | None:
        """Write dW and db and return dx, if the layer needs it: in one pass where that pays.

        ``plus`` is added to dx.
        """
        if not self.layer.needs_dx:
            self.filter_gradient(x, dy, ctx)
            return None
        way = self._way_back(x, ctx.precision)
        if way == "at once":
            self._bias_gradient(dy, ctx)
            return self.grouped.backward(x, dy, ctx, plus)
        if way == "apart":
            self.filter_gradient(x, dy, ctx)
            return self.grouped.input_gradient(x, dy, ctx, plus)
        if _in_one_pass(ctx.precision):
            self._bias_gradient(dy, ctx)
            return self._input_gradient(x, dy, ctx, plus, with_dw=True)
        self.filter_gradient(x, dy, ctx)
        return self._input_gradient(x, dy, ctx, plus, with_dw=False)

    def _way_back(self, x: Planes, precision: str) -> str:
        """Return how groups make dx and dW: "at once", "apart", or "alone", as without groups."""
        pattern, geometry = self.pattern, self.layer.geometry()
        if not suits_groups(pattern, geometry):
            return "alone"
        if not _in_one_pass(precision):
            return "apart"
        taps = pattern.groups.nnz / pattern.groups.shape[0]
        if geometry.pointwise and taps <= _FEW_POINTS:
            return "alone"
        plain = precision == "fp32" or geometry.out_size[1] >= _WIDE  # planes take the time
        if plain and self.grouped.at_once(x):
            return "at once"
        paired = precision == "bf16" and pattern.group in PAIRED_GROUPS
        few = _FEW_PAIRED_TAPS if paired and bf16_products() == "pairs" else _FEW_TAPS
        return "alone" if taps <= few else "apart"

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Write dW and db."""
        self._bias_gradient(dy, ctx)
        dw = self.layer.weight.grad
        if suits_groups(self.pattern, self.layer.geometry()):
            self.grouped.write_dw("dw", self.pattern, x, dy, dw, ctx)
            return
        key = self.key("dw", x, dy, NO_SUMS, ctx)
        found = self.prepared(key, self.layer.weight.pattern, ctx)
        if found is None:
            found = ctx.workspace.keep(key, self._prepare_dw(x, dy, ctx))
        found.write_dw(x, dy, dw)

    def gradient_at(self, pattern: Pattern, x: Planes, dy: Planes, ctx: Context) -> np.ndarray:
        """Return what dW would be at the positions of another pattern, (nnz of that,)."""
        out = ctx.workspace.array(self.layer, "dw elsewhere", (pattern.nnz,), x.dtype)
        if suits_groups(pattern, self.layer.geometry()):
            self.grouped.write_dw("dw elsewhere", pattern, x, dy, out, ctx)
            return out
        key = self.key("dw elsewhere", x, dy, NO_SUMS, ctx)
        found = self.prepared(key, pattern, ctx)
        if found is None:
            found = ctx.workspace.keep(key, self._prepare_dw_elsewhere(pattern, x, dy, ctx))
        found.write_dw(x, dy, out)
        return out

    def _input_gradient(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None, *, with_dw: bool
    ) -> Planes:
        """Return dx with ``plus``, gated and summed with x where the layers before need that."""
        layer, values = self.layer, x.values
        kind = PRODUCTS if layer.gates_dx and x.a is not None else NO_SUMS
        key = self.key("dx and dw" if with_dw else "dx", x, dy, kind, ctx)
        found = self.prepared(key, layer.weight.pattern, ctx)
        if found is None:
            found = ctx.workspace.keep(key, self._prepare_dx(x, dy, with_dw, kind, ctx))
        dx = ctx.workspace.lend(values.shape, values.dtype)
        weights = found.weights_in_order(layer.weight.data)
        gate = x.gate() if layer.gates_dx else no_gate(values.dtype)
        sums = found.run(dy, weights, nothing(values.dtype), dx, False, x.operand(), gate, plus)
        if with_dw:
            found.add_parts(layer.weight.grad)
        return Planes(dx, sums=sums, summed_with=x)

    def _bias_gradient(self, dy: Planes, ctx: Context) -> None:
        if self.layer.bias is not None:
            self.layer.bias.grad[:] = sum_channels(dy, self.layer, "db", ctx)[0]

    def taps(
        self, x: Planes, precision: str, *, backward: bool = False, direct: bool = False,
        alike: bool = False, full: int = 0,
    ) -> Taps:  # fmt: skip
        """Return where the nonzeros read for y, or for dx; made anew for a new pattern.

        ``direct`` if nothing is pending in the planes that are read; ``alike`` as in ``Tiles``;
        ``full`` are the samples of a full batch, where that is known.
        """
        layer = self.layer
        pattern, geometry = layer.weight.pattern, layer.geometry()
        if self._known[0] is not pattern:
            self._known = (pattern, {})
        known, bytes_ = self._known[1], layer.weight.data.itemsize
        direct = direct and geometry.pointwise and precision == "fp32"
        ring_bytes = bytes_ if precision == "fp32" else 2
        most = -(-full // x.shape[-1])
        tiles = Tiles(x.shape[0], x.shape[-1], bytes_, ring_bytes, alike, most)
        key = (backward, tiles, direct)
        if key not in known:
            while len(known) >= _KNOWN:  # the last batch of an epoch may be a small one
                known.pop(next(iter(known)))
            make = backward_taps if backward else forward_taps
            known[key] = make(pattern, geometry, tiles, direct=direct)
        return known[key]

    def precision(self, wanted: str) -> str:
        """Return how rings hold their numbers: in 16 bits where that is wanted and pays."""
        layer = self.layer
        often = layer.weight.nnz >= _NARROW_READS * max(layer.in_channels, layer.out_channels)
        return wanted if often else "fp32"

    def key(self, name: str, x: Planes, inputs: Planes, kind: int, ctx: Context) -> tuple:
        """Return all that tells a pass over x, which reads ``inputs``, from others."""
        from sparsecpu.kernels.machine.threads import current_threads

        return (self, name, x.values.shape, x.b is None, inputs.a is None, kind, ctx.n_valid,
                ctx.full, ctx.precision, current_threads())  # fmt: skip

    def prepared(self, key: tuple, pattern: Pattern, ctx: Context) -> Any:
        """Return the pass that was prepared under a key; None if there is none of this pattern."""
        known = ctx.workspace.prepared
        found: Prepared | None = known.get(key)
        if found is None or (found.pattern is pattern and found.plan is self.plan_made):
            return found
        for other in [k for k in known if k[0] is self and known[k].pattern is found.pattern]:
            del known[other]  # before new taps are made beside the old ones
        return None

    def _prepare_forward(
        self, x: Planes, kind: int, ctx: Context
    ) -> ConvolutionPass | GroupedForward:
        layer, precision = self.layer, self.precision(ctx.precision)
        pattern, geometry = self.pattern, layer.geometry()
        check_planes(x, layer.tile_shapes[0], layer.weight.data.dtype)
        if suits_groups(pattern, geometry):
            return prepare_forward(layer, pattern, self.plan_made, geometry, x, precision, kind,
                                   ctx)  # fmt: skip
        taps = self.taps(x, precision, direct=not x.pending, alike=ctx.predicts, full=ctx.full)
        return prepare_convolution(
            layer, self.plan_made, pattern, taps, x, precision, ctx, kind=kind, y=True
        )

    def _prepare_dx(
        self, x: Planes, dy: Planes, with_dw: bool, kind: int, ctx: Context
    ) -> ConvolutionPass:
        precision = self.precision(ctx.precision)
        taps = self.taps(x, precision, backward=True, direct=not dy.pending, full=ctx.full)
        return prepare_convolution(
            self.layer, self.plan_made, self.layer.weight.pattern, taps, dy,
            _of_gradients(precision), ctx, kind=kind, gradient_of=x, dx=True, dw=with_dw,
        )  # fmt: skip

    def _prepare_dw(self, x: Planes, dy: Planes, ctx: Context) -> Prepared:
        pattern, precision = self.layer.weight.pattern, self.precision(ctx.precision)
        if not _in_one_pass(ctx.precision):
            taps = self.taps(x, precision, full=ctx.full)
            return prepare_filter_gradient(self.plan_made, pattern, taps, x, precision, ctx)
        taps = self.taps(x, precision, backward=True, direct=not dy.pending, full=ctx.full)
        return prepare_convolution(
            self.layer, self.plan_made, pattern, taps, dy, _of_gradients(precision), ctx,
            gradient_of=x, dw=True,
        )  # fmt: skip

    def _prepare_dw_elsewhere(
        self, pattern: Pattern, x: Planes, dy: Planes, ctx: Context
    ) -> Prepared:
        geometry, tiles = self.layer.geometry(), Tiles(LEAST_JOBS, x.shape[-1], x.dtype.itemsize)
        if not _in_one_pass("fp32"):
            taps = forward_taps(pattern, geometry, tiles)
            return prepare_filter_gradient(self.plan_made, pattern, taps, x, "fp32", ctx)
        taps = backward_taps(pattern, geometry, tiles)
        return prepare_convolution(
            self.layer, self.plan_made, pattern, taps, dy, "fp32", ctx, gradient_of=x, dw=True
        )


def _of_gradients(precision: str) -> str:
    """Return how rings hold gradients: the range of these is too wide for fp16."""
    return precision if precision == "fp32" else "bf16"


def _in_one_pass(precision: str) -> bool:
    """Return True if dx and dW are made at once: x, dx and a pixel of dy then fill the registers.

    A gradient by itself is made in the same way, with weights of 0 or without writing dx: another
    kernel would have to be compiled for it. Not with fp16, where dW reads x in that form, more
    exactly than dy, which is bf16 for its range.
    """
    return widest_lanes() >= 128 and precision != "fp16"
