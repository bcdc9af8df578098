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
    """Strips of rows to prefetch, evenly, over some turns: line after line."""

    #: Strips to prefetch in so many turns.
    reads: int
    turns: int
    #: The part of a strip that is overdue, times ``turns``.
    overdue: int
    #: The next strip of the line whose first pixel is ``pixel``.
    strip: int
    pixel: int
    #: Strips of a line, and pixels from line to line.
    line: int
    apart: int


@kernel(inlined=True)
def rows_of_tiles(pixel, strip, planes, first_tile, tiles_per_job, row, rows, turns):
    """Return whole rows of a job's tiles, from ``row`` on, none of them prefetched yet.

    A row lies in memory as one line. Of rows behind the last, those of the next job count.
    """
    tiles, height, channels, width, _ = planes.shape
    if row >= height:
        row, first_tile = row - height, first_tile + tiles_per_job
    rows = max(0, min(rows, height - row))
    there = max(0, min(tiles_per_job, tiles - first_tile))
    size = np.int64(channels) * width
    line = -(-rows * size * count(pixel) // count(strip))
    begin = (np.int64(first_tile) * height + row) * size
    return Ahead(line * there, np.int64(turns), np.int64(0), np.int64(0), begin, line,
                 height * size)  # fmt: skip


@kernel(part=True)
def rows_ahead(pixel, strip, planes, sizes, job, turns, taken=1):
    """Return the input rows that the next row of outputs will pack, none of them prefetched yet.

    That is where so many rows are ``taken`` at a time, of which the ring has room for all.
    """
    ready = job.row * sizes.down - sizes.top + sizes.depth
    rows = taken * sizes.down
    if sizes.columns <= sizes.span:
        return rows_of_tiles(pixel, strip, planes, job.first_tile, sizes.tiles_per_job,
                             np.int64(ready), np.int64(rows), turns)  # fmt: skip
    first = (job.first_tile * sizes.height + ready) * sizes.channels * sizes.width
    first += job.first_column * sizes.across
    rows = max(0, min(rows, sizes.height - ready))
    line = np.int64(job.strips) * sizes.across  # a stride passes over pixels of the same lines
    return Ahead(rows * sizes.channels * line, np.int64(turns), np.int64(0), np.int64(0),
                 np.int64(first), line, np.int64(sizes.width))  # fmt: skip


@kernel(inlined=True)
def nothing_ahead(ahead):
    """Return ``ahead`` without anything to prefetch."""
    return Ahead(np.int64(0), ahead.turns, np.int64(0), np.int64(0), ahead.pixel, ahead.line,
                 ahead.apart)  # fmt: skip


@kernel(inlined=True)
def prefetch_operand(operand, place, like):
    """Prefetch as many pixels of lazy planes as ``like`` is wide, from ``place`` on."""
    prefetch_like(operand.values, place, like)
    if operand.other.shape[0] > 0:
        prefetch_like(operand.other, place, like)


@kernel(inlined=True)
def prefetch_some(pixel, strip, operand, ahead):
    """Prefetch what is overdue after one more turn; return what is left."""
    reads, turns, overdue, next_strip, first, line, apart = ahead
    overdue += reads
    while overdue >= turns:
        overdue -= turns
        prefetch_operand(operand, first * count(pixel) + next_strip * count(strip), strip)
        next_strip += 1
        if next_strip == line:
            next_strip, first = np.int64(0), first + apart
    return Ahead(reads, turns, overdue, next_strip, first, line, apart)
