"""Passes of a convolution whose filters stand in groups, prepared: see ``prepared_pass.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.operands import Gate, Operand, Output, Space
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.machine.cpu import PAIRED_GROUPS, bf16_products
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.grouped_taps import (
    GroupedTaps,
    grouped_backward_taps,
    grouped_forward_taps,
)
from sparsecpu.layers.images.planes import (
    Planes,
    lane_mask,
    no_gate,
    no_planes,
    nothing,
    sum_memory,
    total,
)
from sparsecpu.layers.images.strips import Tiles
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

#: dW is summed in so many parts, whatever the number of threads, and then added in order.
_PARTS = 8


@dataclass(frozen=True)
class GroupedForward:
    """y. ``ring`` is None where the kernel reads planes where they lie."""

    pattern: Pattern
    plan: object
    kernel: Callable
    taps: GroupedTaps
    mask: np.ndarray
    sums: np.ndarray
    kind: int
    ring: np.ndarray | None
    bases: np.ndarray
    scratch: np.ndarray
    y: np.ndarray
    in_16_bits: np.ndarray | None

    def weights_in_order(self, data: np.ndarray) -> np.ndarray:
        """Return the weights in the order of taps, which is their own."""
        return data

    def run(
        self, inputs: Planes, weights: np.ndarray, bias: np.ndarray, out: np.ndarray, relu: bool,
        gradient_of: Operand, gate: Gate,
    ) -> np.ndarray | None:  # fmt: skip
        """Write ``out`` and return its sums."""
        if self.in_16_bits is not None:
            from sparsecpu.kernels.linear.grouped_pairs import round_values

            round_values(weights, self.in_16_bits)
            weights = self.in_16_bits
        ring = inputs.values.reshape(1, -1) if self.ring is None else self.ring
        self.kernel(
            self.taps.sizes_array, self.taps.index, weights, bias, inputs.operand(),
            Output(out, relu, self.sums, self.kind), gate, self.mask, self.taps.direct,
            Space(ring, self.bases, self.scratch),
        )  # fmt: skip
        return None if self.kind == NO_SUMS else total(self.sums)


@dataclass(frozen=True)
class GroupedBackward:
    """dx, dW, or both of them, from one reading of dy."""

    pattern: Pattern
    plan: object
    kernel: Callable
    taps: GroupedTaps
    steps: Any
    makes: Any
    space: Any
    mask: np.ndarray
    sums: np.ndarray
    kind: int
    dw: np.ndarray

    def run(
        self, x: Planes, dy: Planes, weights: np.ndarray, dx: np.ndarray, gate: Gate,
        out: np.ndarray,
    ) -> np.ndarray | None:  # fmt: skip
        """Write dx and, to ``out``, dW, as far as they are made; return the sums of dx."""
        from sparsecpu.kernels.conv.grouped_backward import sum_parts

        self.kernel(
            self.taps.sizes_array, self.steps, self.taps.index, weights, x.operand(), dy.operand(),
            Output(dx, False, self.sums, self.kind), gate, self.mask, self.dw, self.makes,
            self.space,
        )  # fmt: skip
        if self.makes.dw:
            sum_parts(self.dw, out)
        return None if self.kind == NO_SUMS else total(self.sums)

    def write_dw(self, x: Planes, dy: Planes, out: np.ndarray) -> None:
        """Write dW to ``out``, (nnz,), in the order of the pattern, and nothing else."""
        dtype = x.values.dtype
        self.run(x, dy, nothing(dtype), no_planes(dtype), no_gate(dtype), out)


def prepare_forward(
    layer: Any, plan: object, geometry: Geometry, x: Planes, precision: str, kind: int,
    y: np.ndarray, ctx: Context,
) -> GroupedForward:  # fmt: skip
    """Prepare y, with the sums of ``kind``."""
    from sparsecpu.kernels.conv.grouped_forward import grouped_convolution_kernel

    pattern, values = layer.weight.pattern, x.values
    lanes, tiles = values.shape[-1], _tiles(values, precision)
    direct = not x.pending and precision == "fp32"
    taps = grouped_forward_taps(pattern, geometry, tiles, direct=direct)
    jobs = 0 if kind == NO_SUMS else taps.sizes.jobs(len(values))
    return GroupedForward(
        pattern, plan, grouped_convolution_kernel(pattern.group, lanes, taps.strip), taps,
        lane_mask(values, ctx), sum_memory(jobs, geometry.filters, values, layer, "y", ctx), kind,
        None if taps.direct else _ring(taps, values, precision, ctx),
        *_bases_and_scratch(taps, pattern.group, values, ctx), y,
        _memory_of_pairs(pattern, taps, lanes, precision, ctx),
    )  # fmt: skip


def prepare_backward(
    layer: Any, plan: object, pattern: Pattern, geometry: Geometry, x: Planes, dy: Planes,
    precision: str, kind: int, ctx: Context, *, dx: bool, dw: bool,
) -> GroupedBackward:  # fmt: skip
    """Prepare ``dx``, with the sums of ``kind``, ``dw``, or both."""
    from sparsecpu.kernels.conv.grouped_backward import (
        BackwardSpace,
        Makes,
        Steps,
        dot_tile,
        grouped_gradient_kernel,
    )

    values, dtype, array = x.values, x.values.dtype, ctx.workspace.array
    lanes, group = values.shape[-1], pattern.group
    taps = grouped_backward_taps(pattern, geometry, _tiles(values, precision), rings=dx + dw, dw=dw)
    narrow = precision != "fp32"
    tile = dot_tile(group, lanes, dtype.itemsize, narrow=narrow)
    jobs = taps.sizes.jobs(len(values))
    bases, scratch = _bases_and_scratch(taps, group, values, ctx)
    ring = _ring(taps, values, precision, ctx)
    sums = array("conv2d", "ring of sums", (len(scratch), ring_size(taps, lanes)), dtype)
    return GroupedBackward(
        pattern, plan, grouped_gradient_kernel(group, lanes, taps.strip, tile), taps,
        Steps(taps.rows, taps.high), Makes(dx, dw), BackwardSpace(ring, sums, bases, scratch),
        lane_mask(values, ctx),
        sum_memory(0 if kind == NO_SUMS else jobs, geometry.channels, values, layer, "dx", ctx),
        kind, array("conv2d", "dw", (min(_PARTS, jobs), pattern.nnz if dw else 0), dtype),
    )  # fmt: skip


def _memory_of_pairs(
    pattern: Pattern, taps: GroupedTaps, lanes: int, precision: str, ctx: Context
) -> np.ndarray | None:
    """Return memory for a copy of the weights in bf16, which all layers share; None for float32."""
    suits = pattern.group in PAIRED_GROUPS and taps.strip * lanes % 32 == 0
    if precision != "bf16" or not suits or bf16_products() != "pairs":
        return None
    return ctx.workspace.array("pairs", "values", (pattern.nnz,), np.uint16)


def ring_size(taps: GroupedTaps, lanes: int) -> int:
    """Return how many numbers a worker's ring holds."""
    return -(-(taps.ring_pixels + taps.strip) * lanes // 1024) * 1024 + 32


def _tiles(values: np.ndarray, precision: str) -> Tiles:
    ring_bytes = values.itemsize if precision == "fp32" else 2
    return Tiles(values.shape[0], values.shape[-1], values.itemsize, ring_bytes)


def _ring(taps: GroupedTaps, values: np.ndarray, precision: str, ctx: Context) -> np.ndarray:
    from sparsecpu.kernels.machine.threads import current_threads
    from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

    size, kind = ring_size(taps, values.shape[-1]), values.dtype
    if precision != "fp32":
        (size,), kind = narrow_shape((size,), precision)
    shape = current_threads(), size
    return ctx.workspace.array("conv2d", f"ring of {precision}", shape, kind)


def _bases_and_scratch(
    taps: GroupedTaps, group: int, values: np.ndarray, ctx: Context
) -> tuple[np.ndarray, np.ndarray]:
    from sparsecpu.kernels.machine.threads import current_threads

    workers, array = current_threads(), ctx.workspace.array
    size = 2 * taps.line_pixels(group) * values.shape[-1]
    bases = array("conv2d", "bases", (workers, taps.bases), np.int64)
    return bases, array("conv2d", "scratch", (workers, size), values.dtype)
