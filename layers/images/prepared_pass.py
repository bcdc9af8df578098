"""A convolution's passes over batches of one size, prepared: what stays until the pattern changes.

A pass is out of date when its layer has another pattern by now, or was planned anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.operands import Direct, Gate, Operand, Space, TapIndex
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.layers.images.planes import (
    Planes,
    lane_mask,
    no_gate,
    no_planes,
    nothing,
    output,
    sum_memory,
    total,
)
from sparsecpu.layers.images.taps import Taps
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

#: dW is summed in so many parts, whatever the number of threads, and then added in order.
_PARTS = 8
_NO_PLACES = np.empty(0, np.int32)


@dataclass(frozen=True)
class Prepared:
    """A kernel, and of its arguments those that stay the same.

    ``dw`` (parts, codes) has the parts of dW, and ``places`` which of its codes each nonzero is.
    Without a ``ring``, the kernel reads rows of planes where they lie.
    """

    pattern: Pattern
    plan: object
    kernel: Callable
    index: TapIndex
    sizes: np.ndarray
    mask: np.ndarray
    dw: np.ndarray
    places: np.ndarray
    ring: np.ndarray | None
    bases: np.ndarray
    scratch: np.ndarray

    def write_dw(self, x: Planes, dy: Planes, out: np.ndarray) -> None:
        """Write dW to ``out``, (nnz,), in the order of the pattern, and nothing else."""
        raise NotImplementedError

    def add_parts(self, out: np.ndarray) -> None:
        """Write the sum of the parts of dW, in the order of the pattern."""
        from sparsecpu.kernels.conv.partial_sums import add_parts

        add_parts(self.dw, self.places, out)


@dataclass(frozen=True)
class ConvolutionPass(Prepared):
    """y; or dx, dW, or both of them.

    ``weights`` is memory for the weights in the ``order`` of taps, where ``fillers`` are 0.
    """

    phases: np.ndarray
    order: np.ndarray | None
    fillers: np.ndarray
    weights: np.ndarray
    sums: np.ndarray
    kind: int
    direct: Direct

    def weights_in_order(self, data: np.ndarray) -> np.ndarray:
        """Return the weights in the order of taps."""
        from sparsecpu.kernels.update import refresh

        if self.order is None:
            return data
        refresh(data, self.order, self.weights)
        self.weights[self.fillers] = 0
        return self.weights

    def run(
        self, inputs: Planes, weights: np.ndarray, bias: np.ndarray, out: np.ndarray, relu: bool,
        gradient_of: Operand, gate: Gate, plus: Planes | None = None,
    ) -> np.ndarray | None:  # fmt: skip
        """Write ``out``, unless it is empty, and the parts of dW; return the sums of ``out``.

        ``gradient_of`` is what ``out`` is the gradient of, where it is one; ``plus`` is added.
        """
        ring = inputs.values.reshape(1, -1) if self.ring is None else self.ring
        self.kernel(
            self.sizes, self.index, weights, bias, self.phases, inputs.operand(), gradient_of,
            output(out, self.sums, self.kind, relu=relu, plus=plus), gate, self.mask, self.dw,
            self.direct, Space(ring, self.bases, self.scratch),
        )  # fmt: skip
        return None if self.kind == NO_SUMS else total(self.sums)

    def write_dw(self, x: Planes, dy: Planes, out: np.ndarray) -> None:
        dtype = x.values.dtype
        self.run(dy, self.weights, nothing(dtype), no_planes(dtype), False, x.operand(),
                 no_gate(dtype))  # fmt: skip
        self.add_parts(out)


@dataclass(frozen=True)
class FilterGradientPass(Prepared):
    """dW by itself, where registers do not hold what dx and dW together need."""

    def write_dw(self, x: Planes, dy: Planes, out: np.ndarray) -> None:
        assert self.ring is not None
        self.kernel(
            self.sizes, self.index, x.operand(), dy.operand(), self.mask, self.dw,
            Space(self.ring, self.bases, self.scratch),
        )  # fmt: skip
        self.add_parts(out)


def prepare_convolution(
    layer: Any, plan: object, pattern: Pattern, taps: Taps, inputs: Planes, precision: str,
    ctx: Context, *, kind: int = NO_SUMS, y: bool = False,
    gradient_of: Planes | None = None, dx: bool = False, dw: bool = False,
) -> ConvolutionPass:  # fmt: skip
    """Prepare a convolution of ``inputs`` that makes the sums of ``kind`` of its output.

    It makes ``y``; or, where the inputs are dy, ``dx``, ``dw`` or both; x is ``gradient_of`` then.
    """
    from sparsecpu.kernels.conv.convolution import convolution_kernel

    values, array = inputs.values, ctx.workspace.array
    lanes, dtype, jobs = values.shape[-1], values.dtype, taps.sizes.jobs(values.shape[0])
    codes, starts, ends, order = taps.codes, taps.starts, taps.ends, taps.order
    places, fillers, parts = _NO_PLACES, _NO_PLACES, 0
    if dw:
        codes, starts, ends, places, order, fillers = taps.padded
        parts = min(_PARTS, jobs)
    writes = dx or y
    name = "weights in order" if writes else "no weights"
    weights = array("conv2d", name, codes.shape, dtype)
    if not writes:
        weights[:] = 0
    sums = sum_memory(0 if kind == NO_SUMS else jobs, taps.sizes.filters, values, layer,
                      "y" if y else "dx", ctx)  # fmt: skip
    plain_x = gradient_of is not None and gradient_of.b is None
    ring, bases, scratch = _space(taps, inputs, precision, ctx)
    return ConvolutionPass(
        pattern, plan, convolution_kernel(lanes, taps.strip, dw),
        TapIndex(codes, starts, ends), taps.sizes_array, lane_mask(values, ctx),
        array("conv2d", "dw", (parts, len(codes)), dtype), places,
        ring, bases, scratch, taps.phases, order, fillers, weights, sums, kind,
        _direct(taps, writes, dw and plain_x),
    )  # fmt: skip


def prepare_filter_gradient(
    plan: object, pattern: Pattern, taps: Taps, x: Planes, precision: str, ctx: Context
) -> FilterGradientPass:
    """Prepare dW by itself, from the taps of y."""
    from sparsecpu.kernels.conv.filter_gradient import filter_gradient_kernel

    values, padded = x.values, taps.padded
    parts = min(_PARTS, taps.sizes.jobs(values.shape[0]))
    dw = ctx.workspace.array("conv2d", "dw", (parts, len(padded.codes)), values.dtype)
    return FilterGradientPass(
        pattern, plan, filter_gradient_kernel(values.shape[-1], taps.strip),
        TapIndex(padded.codes, padded.starts, padded.ends), taps.sizes_array,
        lane_mask(values, ctx), dw, padded.places, *_space(taps, x, precision, ctx),
    )  # fmt: skip


def _space(taps: Taps, inputs: Planes, precision: str, ctx: Context) -> tuple:
    """Return ring, bases and scratch of as many workers as there are threads."""
    from sparsecpu.kernels.machine.threads import current_threads
    from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

    lanes, workers, array = inputs.shape[-1], current_threads(), ctx.workspace.array
    scratch = array("conv2d", "scratch", (workers, 2 * taps.row_pixels * lanes), inputs.dtype)
    bases = array("conv2d", "bases", (workers, taps.bases), np.int64)
    if taps.direct:
        return None, bases, scratch
    size = -(-(taps.ring_pixels + taps.strip) * lanes // 1024) * 1024 + 32
    kind: Any = inputs.dtype
    if precision != "fp32":
        (size,), kind = narrow_shape((size,), precision)
    ring = array("conv2d", f"ring of {precision}", (workers, size), kind)
    return ring, bases, scratch


def _direct(taps: Taps, writes: bool, loads_x: bool) -> Direct:
    """Return what takes no detour; ``loads_x`` if dW is made, of an x without a second term."""
    return Direct(taps.direct, taps.in_strips and writes, taps.in_strips and loads_x)
