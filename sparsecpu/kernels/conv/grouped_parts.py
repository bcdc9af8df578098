"""What the kernels of dx and of dW have in common where filters stand in groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.lazy import is_large
from sparsecpu.kernels.conv.prefetch import Ahead, prefetch_operand, rows_of_tiles
from sparsecpu.kernels.conv.rows import Lines, RowOfOutputs, stage_row
from sparsecpu.kernels.conv.sizes import Job
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import count
from sparsecpu.kernels.vectors.memory import prefetch_like, prefetch_to_write


class Steps(NamedTuple):
    """How a worker goes through a band: rows of dy at a time, and rows that a filter is tall."""

    rows: int
    high: int


class Place(NamedTuple):
    """Where the memory of a worker begins."""

    number: int
    ring: int
    bases: int
    scratch: int


class Group(NamedTuple):
    """A group: its first filter, how many filters it has, and where its taps and values are.

    Its taps that are wanted are from ``first`` on and before ``end``. Values lie ``apart`` from the
    places of nonzeros, ``each`` of a filter behind those of the one before it; see
    ``kernels.linear.grouped``.
    """

    filter: int
    filters: int
    first: int
    end: int
    each: int
    apart: int


@kernel(inlined=True)
def row_size(sizes, lanes):
    """Return how many numbers a row of the ring holds."""
    return np.int64(sizes.channels) * sizes.step * sizes.room * sizes.tiles_per_job * lanes


@kernel(inlined=True)
def group_of(taps, filters, g, group, seen):
    """Return group number ``g`` of groups of ``group``, with its taps in the rows ``seen``."""
    high, i = taps.starts.shape[1] - 1, np.int64(g) * group
    first, end = taps.starts[g, 0], taps.starts[g, high]
    return Group(
        i, min(np.int64(group), filters - i), taps.starts[g, seen[0]], taps.starts[g, seen[1]],
        end - first, (group - 1) * first,
    )  # fmt: skip


@kernel(inlined=True)
def all_rows(taps):
    """Return the rows of filters, from the first to the one after the last."""
    return np.int64(0), np.int64(taps.starts.shape[1] - 1)


@kernel(inlined=True)
def rows_seen(taps, sizes, row):
    """Return the rows of filters that see the planes and no padding, in a row of outputs.

    Padding adds nothing, so that its taps are passed over.
    """
    high, above = np.int64(taps.starts.shape[1] - 1), sizes.top - np.int64(row) * sizes.down
    first = min(max(above, np.int64(0)), high)
    return first, max(first, min(high, sizes.height + above))


@kernel(inlined=True)
def moved(job, row):
    """Return the job at another row."""
    return Job(job.number, job.first_tile, job.first_column, job.strips, row)


@kernel(part=True)
def write_row_bases(pixel, strip, sizes, steps, job, rows, bases, place):
    """Note where each strip of some rows of dy, from a job's on, finds each row of the ring."""
    size = row_size(sizes, count(pixel))
    for row in range(rows):
        for d in range(steps.high):
            there = ((job.row + row) * sizes.down + d) % sizes.depth * size
            for s in range(job.strips):
                here = (row * job.strips + s) * steps.high + d
                bases[place.number, here] = place.ring + there + s * count(strip)


@kernel(part=True)
def stage_group(pixel, strip, dy, mask, sizes, job, rows, own, size, line, scratch, place):
    """Lay out a group's lines of some rows of dy, from a job's on; one row is ``size`` numbers."""
    for row in range(rows):
        start = place.scratch + row * size
        lines = Lines(own.filter, own.filter + own.filters, start, line, np.int64(1))
        outputs = RowOfOutputs(job.row + row, job.first_column, sizes.out_width)
        stage_row(pixel, strip, dy, mask, sizes, job, outputs, scratch, lines)


@kernel(inlined=True)
def next_rows(pixel, strip, planes, sizes, job, turns, rows=1):
    """Return as many ``rows`` of planes below those of a job, to be prefetched over some turns."""
    return rows_of_tiles(pixel, strip, planes.values, job.first_tile, sizes.tiles_per_job,
                         np.int64(job.row + rows), np.int64(rows), turns)  # fmt: skip


@kernel(inlined=True)
def next_group(pixel, strip, planes, sizes, job, rows, own, group, turns):
    """Return the lines of planes that the group after ``own`` lays out, to be prefetched.

    After the last group that is the first one of the rows below, or of the next tile: planes are
    those of one tile.
    """
    tiles, height, channels, width, _ = planes.values.shape
    row, tile, first = np.int64(job.row), np.int64(job.first_tile), own.filter + group
    if first >= channels:
        row, first = row + rows, np.int64(0)
        if row >= height:
            row, tile = np.int64(0), tile + 1
    there = min(rows, height - row) if tile < tiles else 0
    size = min(np.int64(group), channels - first) * width
    line = -(-size * count(pixel) // count(strip))
    begin = ((tile * height + row) * channels + first) * width
    return Ahead(line * there, np.int64(max(1, turns)), np.int64(0), np.int64(0), begin, line,
                 np.int64(channels) * width)  # fmt: skip


@kernel(inlined=True)
def outputs_ahead(pixel, strip, out, gate, sizes, job, turns):
    """Return the rows of dx that are complete after a job's row of dy, to be prefetched.

    None where they are written past the caches and nothing is read along with them.
    """
    first = max(0, job.row * sizes.down - sizes.top)
    lines = max(0, min(sizes.height, (job.row + 1) * sizes.down - sizes.top) - first)
    if is_large(out.y) and out.plus.values.shape[0] == 0 and gate.values.shape[0] == 0:
        lines = 0
    return rows_of_tiles(pixel, strip, out.y, job.first_tile, sizes.tiles_per_job, np.int64(first),
                         np.int64(lines), turns)  # fmt: skip


@kernel(inlined=True)
def prefetch_outputs(pixel, strip, out, gate, ahead):
    """Prefetch what is overdue of rows of dx, of what is added, and of what lets dx pass."""
    reads, turns, overdue, next_strip, row, line, apart = ahead
    overdue += reads
    while overdue >= turns:
        overdue -= turns
        there = row * count(pixel) + next_strip * count(strip)
        if out.plus.values.shape[0] > 0:
            prefetch_operand(out.plus, there, strip)
        if gate.values.shape[0] > 0:
            prefetch_like(gate.values, there, strip)
        if not is_large(out.y):
            prefetch_to_write(out.y, there, strip)
        next_strip += 1
        if next_strip == line:
            next_strip, row = np.int64(0), row + apart
    return Ahead(reads, turns, overdue, next_strip, row, line, apart)
