"""Passes of a convolution whose filters stand in groups, prepared: see ``prepared_pass.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.operands import Gate, Operand, Space
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.machine.cpu import PAIRED_GROUPS, bf16_products
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.grouped_taps import (
    GroupedTaps,
    grouped_forward_taps,
    grouped_gradient_taps,
    grouped_scatter_taps,
)
from sparsecpu.layers.images.planes import (
    Planes,
    lane_mask,
    output,
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
    in_16_bits: np.ndarray | None

    def weights_in_order(self, data: np.ndarray) -> np.ndarray:
        """Return the weights as ``run`` takes them, in the order of the pattern."""
        return data

    def run(
        self, inputs: Planes, weights: np.ndarray, bias: np.ndarray, out: np.ndarray, relu: bool,
        gradient_of: Operand, gate: Gate, plus: Planes | None = None,
    ) -> np.ndarray | None:  # fmt: skip
        """Write ``out``, with ``plus`` added, and return its sums."""
        if self.in_16_bits is not None:
            from sparsecpu.kernels.conv.tap_order import round_in_order

            sizes, group = self.taps.sizes, self.pattern.group
            round_in_order(self.taps.index, group, sizes.filters, weights, self.in_16_bits)
            weights = self.in_16_bits
        ring = inputs.values.reshape(1, -1) if self.ring is None else self.ring
        self.kernel(
            self.taps.sizes_array, self.taps.index, weights, bias, inputs.operand(),
            output(out, self.sums, self.kind, relu=relu, plus=plus), gate, self.mask,
            self.taps.direct, Space(ring, self.bases, self.scratch),
        )  # fmt: skip
        return None if self.kind == NO_SUMS else total(self.sums)


@dataclass(frozen=True)
class GroupedScatter:
    """dx. ``words`` is memory for the weights in pairs of filters, None for float32."""

    pattern: Pattern
    plan: object
    kernel: Callable
    taps: GroupedTaps
    steps: Any
    mask: np.ndarray
    sums: np.ndarray
    kind: int
    space: Space
    words: np.ndarray | None

    def run(
        self, dy: Planes, weights: np.ndarray, dx: np.ndarray, gate: Gate, plus: Planes | None
    ) -> np.ndarray | None:
        """Write dx, with ``plus`` added, and return its sums."""
        if self.words is not None:
            from sparsecpu.kernels.linear.grouped_pairs import pair_values_kernel

            groups, filters = self.pattern.groups, self.pattern.shape[0]
            pair = pair_values_kernel(self.pattern.group)
            pair(groups.indptr, weights, filters, self.words, groups.chunks)
            weights = self.words
        self.kernel(
            self.taps.sizes_array, self.steps, self.taps.index, weights, dy.operand(),
            output(dx, self.sums, self.kind, plus=plus), gate, self.mask, self.space,
        )  # fmt: skip
        return None if self.kind == NO_SUMS else total(self.sums)


@dataclass(frozen=True)
class GroupedGradient:
    """dW."""

    pattern: Pattern
    plan: object
    kernel: Callable
    taps: GroupedTaps
    steps: Any
    mask: np.ndarray
    dw: np.ndarray
    space: Space

    def write_dw(self, x: Planes, dy: Planes, out: np.ndarray) -> None:
        """Write dW to ``out``, (nnz,), in the order of the pattern, and nothing else."""
        from sparsecpu.kernels.conv.tap_order import sum_parts

        self.kernel(
            self.taps.sizes_array, self.steps, self.taps.index, x.operand(), dy.operand(),
            self.mask, self.dw, self.space,
        )  # fmt: skip
        sum_parts(self.taps.index, self.pattern.group, self.taps.sizes.filters, self.dw, out)


@dataclass(frozen=True)
class GroupedBackward:
    """dx and dW at once."""

    pattern: Pattern
    plan: object
    kernel: Callable
    taps: GroupedTaps
    steps: Any
    mask: np.ndarray
    sums: np.ndarray
    kind: int
    dw: np.ndarray
    space: Space

    def run(
        self, x: Planes, dy: Planes, weights: np.ndarray, dx: np.ndarray, gate: Gate,
        plus: Planes | None, out: np.ndarray,
    ) -> np.ndarray | None:  # fmt: skip
        """Write dx, with ``plus`` added, and, to ``out``, (nnz,), dW; return the sums of dx."""
        from sparsecpu.kernels.conv.tap_order import sum_parts

        self.kernel(
            self.taps.sizes_array, self.steps, self.taps.index, weights, x.operand(), dy.operand(),
            output(dx, self.sums, self.kind, plus=plus), gate, self.mask, self.dw, self.space,
        )  # fmt: skip
        sum_parts(self.taps.index, self.pattern.group, self.taps.sizes.filters, self.dw, out)
        return None if self.kind == NO_SUMS else total(self.sums)


def prepare_forward(
    layer: Any, pattern: Pattern, plan: object, geometry: Geometry, x: Planes, precision: str,
    kind: int, ctx: Context,
) -> GroupedForward:  # fmt: skip
    """Prepare y, with the sums of ``kind``."""
    from sparsecpu.kernels.conv.grouped_forward import grouped_convolution_kernel

    values = x.values
    lanes, tiles = values.shape[-1], _tiles(values, precision, ctx)
    direct = not x.pending and precision == "fp32"
    taps = grouped_forward_taps(pattern, geometry, tiles, direct=direct)
    jobs = 0 if kind == NO_SUMS else taps.sizes.jobs(len(values))
    return GroupedForward(
        pattern, plan, grouped_convolution_kernel(pattern.group, lanes, taps.cut), taps,
        lane_mask(values, ctx), sum_memory(jobs, geometry.filters, values, layer, "y", ctx), kind,
        None if taps.direct else _ring(taps, values, precision, ctx),
        *_bases_and_scratch(taps, values, ctx),
        _memory_of_pairs(pattern, taps, lanes, precision, ctx),
    )  # fmt: skip


def prepare_scatter(
    layer: Any, pattern: Pattern, plan: object, geometry: Geometry, x: Planes, precision: str,
    kind: int, ctx: Context,
) -> GroupedScatter:  # fmt: skip
    """Prepare dx, with the sums of ``kind``."""
    from sparsecpu.kernels.conv.grouped_parts import Steps
    from sparsecpu.kernels.conv.grouped_scatter import grouped_scatter_kernel

    values = x.values
    taps = grouped_scatter_taps(pattern, geometry, _tiles(values, "fp32", ctx), padded=False)
    jobs = 0 if kind == NO_SUMS else taps.sizes.jobs(len(values))
    group, lanes, words = pattern.group, values.shape[-1], None
    if _multiplies_pairs(pattern, taps, lanes, precision):
        shape = (pattern.groups.nnz * group // 2,)
        words = ctx.workspace.array("pairs", "words", shape, np.uint32)
    kernel = grouped_scatter_kernel(group, lanes, taps.cut, words is not None)
    return GroupedScatter(
        pattern, plan, kernel, taps, Steps(taps.rows, taps.high), lane_mask(values, ctx),
        sum_memory(jobs, geometry.channels, values, layer, "dx", ctx), kind,
        Space(_ring(taps, values, "fp32", ctx), *_bases_and_scratch(taps, values, ctx)), words,
    )  # fmt: skip


def prepare_backward(
    layer: Any, pattern: Pattern, plan: object, geometry: Geometry, x: Planes, kind: int,
    ctx: Context,
) -> GroupedBackward:  # fmt: skip
    """Prepare dx, with the sums of ``kind``, and dW."""
    from sparsecpu.kernels.conv.grouped_backward import backward_tile, grouped_backward_kernel
    from sparsecpu.kernels.conv.grouped_parts import Steps

    values = x.values
    lanes, group = values.shape[-1], pattern.group
    taps = grouped_scatter_taps(pattern, geometry, _tiles(values, "fp32", ctx), padded=True)
    tile = backward_tile(group, lanes, values.itemsize)
    jobs = taps.sizes.jobs(len(values))
    ring, parts = _ring(taps, values, "fp32", ctx, rings=2), min(_PARTS, jobs)
    return GroupedBackward(
        pattern, plan, grouped_backward_kernel(group, lanes, taps.strip, tile), taps,
        Steps(taps.rows, taps.high), lane_mask(values, ctx),
        sum_memory(0 if kind == NO_SUMS else jobs, geometry.channels, values, layer, "dx", ctx),
        kind,
        ctx.workspace.array("conv2d", "dw", (parts, pattern.nnz), values.dtype),
        Space(ring, *_bases_and_scratch(taps, values, ctx)),
    )  # fmt: skip


def prepare_gradient(
    plan: object, pattern: Pattern, geometry: Geometry, x: Planes, precision: str, ctx: Context
) -> GroupedGradient:
    """Prepare dW at the positions of a pattern."""
    from sparsecpu.kernels.conv.grouped_filter_gradient import dot_tile, grouped_gradient_kernel
    from sparsecpu.kernels.conv.grouped_parts import Steps
    from sparsecpu.kernels.vectors.pairs import WORDS

    values, lanes, group = x.values, x.values.shape[-1], pattern.group
    taps = grouped_gradient_taps(pattern, geometry, _tiles(values, precision, ctx))
    tile = dot_tile(group, lanes, values.itemsize, narrow=precision != "fp32")
    parts = min(_PARTS, taps.sizes.jobs(len(values)))
    ring, paired = _ring(taps, values, precision, ctx), False
    if _multiplies_pairs(pattern, taps, lanes, precision):
        tile, paired = dot_tile(group, WORDS, values.itemsize, narrow=True), True
    kernel = grouped_gradient_kernel(group, lanes, taps.strip, tile, paired)
    return GroupedGradient(
        pattern, plan, kernel, taps,
        Steps(taps.rows, taps.high), lane_mask(values, ctx),
        ctx.workspace.array("conv2d", "dw", (parts, pattern.nnz), values.dtype),
        Space(ring, *_bases_and_scratch(taps, values, ctx)),
    )  # fmt: skip


def _multiplies_pairs(pattern: Pattern, taps: GroupedTaps, lanes: int, precision: str) -> bool:
    """Return True if a pass is to multiply in pairs: its strips fill the registers."""
    suits = pattern.group in PAIRED_GROUPS and taps.strip * lanes % 32 == 0
    return precision == "bf16" and suits and bf16_products() == "pairs"


def _memory_of_pairs(
    pattern: Pattern, taps: GroupedTaps, lanes: int, precision: str, ctx: Context
) -> np.ndarray | None:
    """Return memory for a copy of the weights in bf16, which all layers share; None for float32."""
    if not _multiplies_pairs(pattern, taps, lanes, precision):
        return None
    return ctx.workspace.array("pairs", "values", (pattern.nnz,), np.uint16)


def _tiles(values: np.ndarray, precision: str, ctx: Context) -> Tiles:
    ring_bytes = values.itemsize if precision == "fp32" else 2
    count, lanes = values.shape[0], values.shape[-1]
    return Tiles(count, lanes, values.itemsize, ring_bytes, most=-(-ctx.full // lanes))


def _ring(
    taps: GroupedTaps, values: np.ndarray, precision: str, ctx: Context, rings: int = 1
) -> np.ndarray:
    from sparsecpu.kernels.machine.threads import current_threads
    from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

    size = rings * (-(-taps.ring_pixels * values.shape[-1] // 1024) * 1024 + 32)
    kind: Any = values.dtype
    if precision != "fp32":
        (size,), kind = narrow_shape((size,), precision)
    shape = current_threads(), size
    return ctx.workspace.array("conv2d", f"ring of {precision}", shape, kind)


def _bases_and_scratch(
    taps: GroupedTaps, values: np.ndarray, ctx: Context
) -> tuple[np.ndarray, np.ndarray]:
    from sparsecpu.kernels.machine.threads import current_threads

    workers, array = current_threads(), ctx.workspace.array
    size = 2 * taps.line_pixels * values.shape[-1]
    bases = array("conv2d", "bases", (workers, taps.bases), np.int64)
    return bases, array("conv2d", "scratch", (workers, size), values.dtype)
