"""A convolution at its nonzeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.csr import Pattern
from sparsecpu.planes import Planes, lane_mask, no_gate, sum_space, total
from sparsecpu.taps import Taps, backward_taps, forward_taps
from sparsecpu.workspace import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d

#: dW is summed in so many parts, whatever the number of threads, and then added in order.
_GROUPS = 8
#: A ring is in 16 bits where each of its numbers is read at least so often.
_NARROW_READS = 8
#: Taps are kept for so many sizes of batches.
_KNOWN = 2


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
        taps = self.taps(x, precision)[0]
        height, width = layer.geometry().out_size
        shape = (x.shape[0], height, layer.out_channels, width, x.shape[-1])
        y = ctx.workspace.array(layer, "y", shape, x.dtype)
        kind = 1 if layer._moments and ctx.train else 0
        bias = layer.weight.data[:0] if layer.bias is None else layer.bias.data
        gate, data = no_gate(x.dtype), self._weights(taps, ctx)
        sums = self._convolve(taps, data, x, bias, y, layer._relu, gate, kind, precision, ctx)
        return Planes(y, sums=sums)

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Write dW and db.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.
        """
        layer, precision = self.layer, self._precision(ctx)
        bias = None if layer.bias is None else layer.bias.grad
        self._gradient(self.taps(x, precision)[0], x, dy, layer.weight.grad, bias, precision, ctx)

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
        lanes = x.shape[-1]
        if self._watched[0] is not pattern or self._watched[1] != lanes:
            taps = forward_taps(pattern, self.layer.geometry(), lanes, x.dtype.itemsize)
            self._watched = (pattern, lanes, taps)
        out = ctx.workspace.array(self.layer, "watched", (pattern.nnz,), x.dtype)
        self._gradient(self._watched[2], x, dy, out, None, "fp32", ctx)
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
        layer, precision = self.layer, self._precision(ctx)
        turned = self.taps(x, precision)[1]
        precision = precision if precision == "fp32" else "bf16"  # the range of gradients is wide
        dx = ctx.workspace.lend(x.shape, x.dtype)
        kind = 2 if layer._gated and x.a is not None else 0
        gate = x.gate() if layer._gated else no_gate(x.dtype)
        values, nothing = self._weights(turned, ctx), layer.weight.data[:0]
        sums = self._convolve(turned, values, dy, nothing, dx, False, gate, kind, precision, ctx)
        return Planes(dx, sums=sums, about=x.values)

    def taps(self, x: Planes, precision: str) -> tuple[Taps, Taps | None]:
        """Return where the nonzeros read, forward and backward; made anew for a new pattern.

        Parameters
        ----------
        x : Planes
            The input.
        precision : str
            Of the ring.

        Returns
        -------
        forward : Taps
            Of y and dW.
        backward : Taps or None
            Of dx, where the layer needs it.
        """
        layer, pattern = self.layer, self.layer.weight.pattern
        if self._index[0] is not pattern:
            self._index = (pattern, {})
        known, bytes_ = self._index[1], layer.weight.data.itemsize
        lanes, tiles = x.shape[-1], x.shape[0]
        key = (lanes, tiles, precision)
        if key not in known:
            while len(known) >= _KNOWN:  # the last batch of an epoch may be a small one
                known.pop(next(iter(known)))
            sizes = (lanes, bytes_, bytes_ if precision == "fp32" else 2, tiles)
            forward, backward = forward_taps(pattern, layer.geometry(), *sizes), None
            if layer._needs_dx:
                backward = backward_taps(pattern, layer.geometry(), *sizes)
            known[key] = forward, backward
        return known[key]

    def _precision(self, ctx: Context) -> str:
        """Return how rings hold their numbers: in 16 bits where that is asked for and pays."""
        layer = self.layer
        often = layer.weight.nnz >= _NARROW_READS * max(layer.in_channels, layer.out_channels)
        return ctx.precision if often else "fp32"

    def _space(self, taps: Taps, x: Planes, precision: str, ctx: Context) -> tuple:
        """Return the work space of as many workers as there are threads."""
        from sparsecpu.kernels.narrow import narrow_shape
        from sparsecpu.kernels.threads import current_threads

        lanes, workers = x.shape[-1], current_threads()
        size = -(-(taps.ring_pixels + taps.strip) * lanes // 1024) * 1024 + 32
        kind: Any = x.dtype
        if precision != "fp32":
            (size,), kind = narrow_shape((size,), precision)
        array = ctx.workspace.array
        return (
            array("conv2d", f"ring of {precision}", (workers, size), kind),
            array("conv2d", "bases", (workers, 128), np.int64),
            array("conv2d", "scratch", (workers, taps.row_pixels * lanes), x.dtype),
        )

    def _weights(self, taps: Taps, ctx: Context) -> np.ndarray:
        """Return the weights in the order of the taps."""
        from sparsecpu.kernels.update import refresh

        data = self.layer.weight.data
        if taps.order is None:
            return data
        ordered = ctx.workspace.array("conv2d", "weights in order", data.shape, data.dtype)
        refresh(data, taps.order, ordered)
        return ordered

    def _convolve(self, taps, data, x, bias, y, relu, gate, kind, precision, ctx):
        from sparsecpu.kernels.conv import convolution_kernel

        layer, jobs = self.layer, taps.jobs(x.shape[0])
        parts = sum_space(y, layer, "y" if kind == 1 else "dx", kind, ctx, jobs)
        convolution_kernel(x.shape[-1], taps.strip)(
            taps.codes, taps.starts, taps.ends, taps.phases, taps.plan, data, *x.operand(), bias,
            y, relu, *gate, parts, kind, lane_mask(x, layer, ctx),
            *self._space(taps, x, precision, ctx),
        )  # fmt: skip
        return total(parts) if kind else None

    def _gradient(self, taps: Taps, x: Planes, dy: Planes, out, bias, precision, ctx) -> None:
        from sparsecpu.kernels.conv import add_groups, filter_gradient_kernel

        layer = self.layer
        codes, starts, ends, places = taps.padded
        groups = min(_GROUPS, taps.jobs(x.shape[0]))
        dw = ctx.workspace.array("conv2d", "dw", (groups, len(codes)), x.dtype)
        shape = (0 if bias is None else groups, layer.out_channels, x.shape[-1])
        dbias = ctx.workspace.array("conv2d", "dbias", shape, x.dtype)
        g, y, ga, gb, gc, _ = dy.operand()
        filter_gradient_kernel(x.shape[-1], taps.strip)(
            codes, starts, ends, taps.plan, *x.operand(), g, y, ga, gb, gc,
            lane_mask(x, layer, ctx), dw, dbias, *self._space(taps, x, precision, ctx),
        )  # fmt: skip
        add_groups(dw, places, out)
        if bias is not None:
            np.sum(dbias, axis=(0, 2), out=bias)
