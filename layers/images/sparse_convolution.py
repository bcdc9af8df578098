"""A convolution at its nonzeros."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.kernels.conv.operands import Direct, Operand, Output, Space, TapIndex
from sparsecpu.kernels.conv.sums import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.machine.cpu import widest_lanes
from sparsecpu.layers.images.planes import Planes, blend, lane_mask, no_gate, sum_space, total
from sparsecpu.layers.images.taps import Taps, backward_taps, forward_taps
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d

#: dW is summed in so many parts, whatever the number of threads, and then added in order.
_PARTS = 8
#: A ring is in 16 bits where each of its numbers is read at least so often.
_NARROW_READS = 8
#: Taps are kept for so many sizes of batches, times two directions.
_KNOWN = 4


class SparseConvolution:
    """The three products of a convolution, each nonzero reading its pixels where they are.

    Parameters
    ----------
    layer : SparseConv2d
        Whose.
    """

    def __init__(self, layer: SparseConv2d) -> None:
        self.layer = layer
        self.forget()

    def forget(self) -> None:
        """Forget where nonzeros read: images have another size from now on."""
        self._index: tuple[Any, ...] = (None, {})
        self._watched: tuple[Any, ...] = (None, 0)

    def forward(self, x: Planes, ctx: Context) -> Planes:
        """Compute y, with the bias and a ReLU that the layer took over.

        Parameters
        ----------
        x : Planes
            The input.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            The output, with the sums that a normalisation behind asks for.
        """
        layer, precision = self.layer, self._precision(ctx)
        taps = self.taps(x, precision, solid=not x.pending)
        height, width = layer.geometry().out_size
        shape = (x.shape[0], height, layer.out_channels, width, x.shape[-1])
        y = ctx.workspace.array(layer, "y", shape, x.dtype)
        kind = MOMENTS if layer._moments and ctx.train else NO_SUMS
        bias = layer.weight.data[:0] if layer.bias is None else layer.bias.data
        gate = no_gate(x.dtype)
        sums = self._convolve(
            (taps.codes, taps.starts, taps.ends), taps, self._weights(taps.order, ctx), x, bias,
            self._output(y, layer._relu, kind, taps, x, ctx), gate, Planes(gate.x).operand(),
            np.empty((0, 0), x.dtype), precision, ctx,
        )  # fmt: skip
        return Planes(y, sums=sums)

    def backward(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Write dW and db and return dx, if the layer needs it: in one pass where that pays.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            ``dx``, with the gate and the sums that the layers before it ask for.
        """
        layer = self.layer
        if not layer._needs_dx or not _at_once(ctx):
            self.filter_gradient(x, dy, ctx)
            return self.input_gradient(x, dy, ctx) if layer._needs_dx else dy
        turned = self.taps(x, self._precision(ctx), backward=True, solid=not dy.pending)
        values = self._weights(turned.padded_order, ctx)
        values[turned.fillers] = 0
        dx = ctx.workspace.lend(x.shape, x.dtype)
        self._bias_gradient(dy, ctx)
        sums = self._turned(turned, x, dy, values, dx, layer.weight.grad, ctx)
        return Planes(dx, sums=sums, about=x.values)

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Write dW and db.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.
        """
        once = _at_once(ctx)
        taps = self.taps(x, self._precision(ctx), backward=once, solid=once and not dy.pending)
        self._bias_gradient(dy, ctx)
        self._gradient(taps, x, dy, self.layer.weight.grad, ctx)

    def gradient_at(self, pattern: Pattern, x: Planes, dy: Planes, ctx: Context) -> np.ndarray:
        """Return what dW would be at the positions of another pattern.

        Parameters
        ----------
        pattern : Pattern
            Shaped like the layer's.
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.

        Returns
        -------
        ndarray, shape (nnz of the pattern,)
            The gradient.
        """
        lanes, ctx = x.shape[-1], replace(ctx, precision="fp32")
        if self._watched[0] is not pattern or self._watched[1] != lanes:
            make = backward_taps if _at_once(ctx) else forward_taps
            taps = make(pattern, self.layer.geometry(), lanes, x.dtype.itemsize)
            self._watched = (pattern, lanes, taps)
        out = ctx.workspace.array(self.layer, "watched", (pattern.nnz,), x.dtype)
        self._gradient(self._watched[2], x, dy, out, ctx)
        return out

    def input_gradient(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Return dx, with the gate and the sums that the layers before it ask for.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            ``dx``.
        """
        turned = self.taps(x, self._precision(ctx), backward=True, solid=not dy.pending)
        dx, values = ctx.workspace.lend(x.shape, x.dtype), self._weights(turned.order, ctx)
        sums = self._turned(turned, x, dy, values, dx, None, ctx)
        return Planes(dx, sums=sums, about=x.values)

    def taps(
        self, x: Planes, precision: str, *, backward: bool = False, solid: bool = False
    ) -> Taps:
        """Return where the nonzeros read; made anew for a new pattern.

        Parameters
        ----------
        x : Planes
            The input.
        precision : str
            Of the ring.
        backward : bool
            For dx instead of y.
        solid : bool
            Whether planes that are read hold what is meant.

        Returns
        -------
        Taps
            Of y or dx.
        """
        pattern, geometry = self.layer.weight.pattern, self.layer.geometry()
        if self._index[0] is not pattern:
            self._index = (pattern, {})
        known, bytes_ = self._index[1], self.layer.weight.data.itemsize
        lanes, tiles = x.shape[-1], x.shape[0]
        solid = solid and geometry.pointwise and precision == "fp32"
        key = (backward, lanes, tiles, precision, solid)
        if key not in known:
            while len(known) >= _KNOWN:  # the last batch of an epoch may be a small one
                known.pop(next(iter(known)))
            make = backward_taps if backward else forward_taps
            ring_bytes = bytes_ if precision == "fp32" else 2
            known[key] = make(pattern, geometry, lanes, bytes_, ring_bytes, tiles, solid)
        return known[key]

    def _precision(self, ctx: Context) -> str:
        """Return how rings hold their numbers: in 16 bits where that is asked for and pays."""
        layer = self.layer
        often = layer.weight.nnz >= _NARROW_READS * max(layer.in_channels, layer.out_channels)
        return ctx.precision if often else "fp32"

    def _space(self, taps: Taps, x: Planes, precision: str, ctx: Context) -> Space:
        """Return the work space of as many workers as there are threads."""
        from sparsecpu.kernels.machine.threads import current_threads
        from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

        lanes, workers, array = x.shape[-1], current_threads(), ctx.workspace.array
        scratch = array("conv2d", "scratch", (workers, 2 * taps.row_pixels * lanes), x.dtype)
        bases = array("conv2d", "bases", (workers, taps.bases), np.int64)
        if taps.straight:
            return Space(x.values.reshape(1, -1), bases, scratch)
        size = -(-(taps.ring_pixels + taps.strip) * lanes // 1024) * 1024 + 32
        kind: Any = x.dtype
        if precision != "fp32":
            (size,), kind = narrow_shape((size,), precision)
        ring = array("conv2d", f"ring of {precision}", (workers, size), kind)
        return Space(ring, bases, scratch)

    def _weights(self, order: np.ndarray | None, ctx: Context) -> np.ndarray:
        """Return the weights in the order of taps."""
        from sparsecpu.kernels.update import refresh

        data = self.layer.weight.data
        if order is None:
            return data
        ordered = ctx.workspace.array("conv2d", "weights in order", order.shape, data.dtype)
        refresh(data, order, ordered)
        return ordered

    def _convolve(self, index, taps, weights, x, bias, out, gate, factor, dw, precision, ctx):
        """Run the kernel over codes, starts and ends; return the sums of what it writes."""
        from sparsecpu.kernels.conv.convolution import convolution_kernel

        gradient = len(dw) > 0
        convolution_kernel(x.shape[-1], taps.strip, gradient)(
            taps.sizes_array, TapIndex(*index), weights, bias, taps.phases, x.operand(), factor,
            out, gate, lane_mask(x, self.layer, ctx), dw, _shortcuts(taps, out.y, factor, gradient),
            self._space(taps, x, precision, ctx),
        )  # fmt: skip
        return total(out.sums) if out.kind != NO_SUMS else None

    def _output(self, y, relu: bool, kind: int, taps: Taps, x: Planes, ctx: Context) -> Output:
        """Return what to write, with memory for its sums."""
        name, jobs = "y" if kind == MOMENTS else "dx", taps.sizes.jobs(x.shape[0])
        return Output(y, relu, sum_space(y, self.layer, name, kind, ctx, jobs), kind)

    def _turned(self, turned, x, dy, values, dx, out, ctx) -> np.ndarray | None:
        """Write dx, unless it is empty, and dW, unless ``out`` is None; return sums of dx."""
        from sparsecpu.kernels.conv.convolution import add_parts

        layer, precision = self.layer, self._precision(ctx)
        precision = precision if precision == "fp32" else "bf16"  # the range of gradients is wide
        index, parts = (turned.codes, turned.starts, turned.ends), 0
        if out is not None:
            *index, places = turned.padded
            parts = min(_PARTS, turned.sizes.jobs(x.shape[0]))
        dw = ctx.workspace.array("conv2d", "dw", (parts, len(index[0])), x.dtype)
        kind = PRODUCTS if layer._gated and x.a is not None and dx.size else NO_SUMS
        sums = self._convolve(
            index, turned, values, dy, values[:0], self._output(dx, False, kind, turned, x, ctx),
            x.gate() if layer._gated else no_gate(x.dtype), x.operand(), dw, precision, ctx,
        )  # fmt: skip
        if out is not None:
            add_parts(dw, places, out)
        return sums

    def _gradient(self, taps: Taps, x: Planes, dy: Planes, out: np.ndarray, ctx: Context) -> None:
        """Write dW at the nonzeros of these taps."""
        if _at_once(ctx):
            nothing = ctx.workspace.array("conv2d", "no weights", taps.padded[0].shape, x.dtype)
            nothing[:] = 0
            self._turned(taps, x, dy, nothing, no_gate(x.dtype).x, out, ctx)
            return
        from sparsecpu.kernels.conv.convolution import add_parts
        from sparsecpu.kernels.conv.filter_gradient import filter_gradient_kernel

        codes, starts, ends, places = taps.padded
        parts = min(_PARTS, taps.sizes.jobs(x.shape[0]))
        dw = ctx.workspace.array("conv2d", "dw", (parts, len(codes)), x.dtype)
        filter_gradient_kernel(x.shape[-1], taps.strip)(
            taps.sizes_array, TapIndex(codes, starts, ends), x.operand(), dy.operand(),
            lane_mask(x, self.layer, ctx), dw, self._space(taps, x, self._precision(ctx), ctx),
        )  # fmt: skip
        add_parts(dw, places, out)

    def _bias_gradient(self, dy: Planes, ctx: Context) -> None:
        layer = self.layer
        if layer.bias is not None:
            found = blend(dy, None, layer, "db", ctx, sums=MOMENTS, keep=False).sums
            assert found is not None
            layer.bias.grad[:] = found[0]


def _shortcuts(taps: Taps, y: np.ndarray, factor: Operand, gradient: bool) -> Direct:
    """Return what takes no detour."""
    return Direct(
        reads=taps.straight,
        writes=taps.in_strips and y.size > 0,
        factors=taps.in_strips and gradient and not len(factor.b),
    )


def _at_once(ctx: Context) -> bool:
    """Return whether dx and dW are made at once: x, dx and a pixel of dy then fill the registers.

    A gradient by itself is made in the same way, with weights of 0 or without writing dx: another
    kernel would have to be compiled for it. Not with fp16, where dW reads x in that form, more
    exactly than dy, which is bf16 for its range.
    """
    return widest_lanes() >= 128 and ctx.precision != "fp16"
