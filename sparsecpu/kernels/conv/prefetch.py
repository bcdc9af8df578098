"""Rows of planes that a convolution will need next, prefetched while it computes.

The CPU does not foresee where a ring's next rows come from. While a row of outputs is computed, a
few of their cache lines are prefetched after each strip, so that they have arrived when the ring is
filled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import count
from sparsecpu.kernels.vectors.memory import prefetch_like


class Ahead(NamedTuple):
    """Strips of input rows to prefetch, evenly, over the strips of outputs of a row."""

    #: Strips of input rows to read for so many strips of outputs.
    reads: int
    outputs: int
    #: The part of a strip that is overdue, times ``outputs``.
    overdue: int
    #: The next strip of the row whose first pixel is ``row``.
    strip: int
    row: int


@kernel(part=True)
def rows_ahead(sizes, job, outputs, taken=1):
    """Return the input rows that the next row of outputs will pack, none of them prefetched yet.

    That is where so many rows are ``taken`` at a time, of which the ring has room for all.
    """
    ready = job.row * sizes.down - sizes.top + sizes.depth
    row = (job.first_tile * sizes.height + ready) * sizes.channels * sizes.width
    row += job.first_column * sizes.across
    rows = max(0, min(taken * sizes.down, sizes.height - ready))
    if sizes.tiles_per_job > 1:  # small planes, which are in the caches
        rows = 0
    strips = np.int64(job.strips) * sizes.across  # a stride passes over pixels of the same lines
    return Ahead(rows * sizes.channels * strips, outputs, np.int64(0), np.int64(0), row)


@kernel(inlined=True)
def nothing_ahead(ahead):
    """Return ``ahead`` without anything to prefetch."""
    return Ahead(np.int64(0), ahead.outputs, np.int64(0), np.int64(0), ahead.row)


@kernel(inlined=True)
def prefetch_operand(operand, place, like):
    """Prefetch as many pixels of lazy planes as ``like`` is wide, from ``place`` on."""
    prefetch_like(operand.values, place, like)
    if operand.other.shape[0] > 0:
        prefetch_like(operand.other, place, like)


@kernel(inlined=True)
def prefetch_lines(pixel, strip, planes, strips, ahead):
    """Prefetch what is overdue, of lines of so many strips; return what is left."""
    reads, outputs, overdue, next_strip, row = ahead
    width = planes.values.shape[3]
    overdue += reads
    while overdue >= outputs:
        overdue -= outputs
        prefetch_operand(planes, row * count(pixel) + next_strip * count(strip), strip)
        next_strip += 1
        if next_strip == strips:
            next_strip, row = np.int64(0), row + width
    return Ahead(reads, outputs, overdue, next_strip, row)


@kernel(inlined=True)
def prefetch_some(pixel, strip, inputs, sizes, job, ahead):
    """Prefetch what is overdue after one more strip of outputs; return what is left."""
    reads, outputs, overdue, next_strip, row = ahead
    overdue += reads
    while overdue >= outputs:
        overdue -= outputs
        prefetch_operand(inputs, row * count(pixel) + next_strip * count(strip), strip)
        next_strip += 1
        if next_strip == job.strips * sizes.across:
            next_strip, row = np.int64(0), row + sizes.width
    return Ahead(reads, outputs, overdue, next_strip, row)
