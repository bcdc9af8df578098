"""What the kernels of dx and of dW have in common where filters stand in groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.lazy import is_large
from sparsecpu.kernels.conv.operands import SIDES
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
    """A group: its number, its first filter, how many it has, and where its taps and values are.

    Its taps are from ``first`` on and before ``end``. Values lie ``apart`` from the places of
    nonzeros, ``each`` of a filter behind those of the one before it; see
    ``kernels.linear.grouped``.
    """

    number: int
    filter: int
    filters: int
    first: int
    end: int
    each: int
    apart: int


class Seen(NamedTuple):
    """Rows of filters from ``first`` on and before ``end``, of ``high``; whether sides stay apart.

    Rows that see nothing but padding add nothing, so that their taps are passed over.
    """

    first: int
    end: int
    high: int
    apart: bool


@kernel(inlined=True)
def row_size(sizes, lanes):
    """Return how many numbers a row of the ring holds."""
    return np.int64(sizes.channels) * sizes.step * sizes.room * sizes.tiles_per_job * lanes


@kernel(inlined=True)
def group_of(taps, filters, g, group):
    """Return group number ``g`` of groups of ``group``."""
    i, first, end = np.int64(g) * group, taps.starts[g, 0], taps.starts[g, taps.starts.shape[1] - 1]
    size = min(np.int64(group), filters - i)
    return Group(np.int64(g), i, size, first, end, end - first, (group - 1) * first)


@kernel(inlined=True)
def rows_seen(taps, sizes, row, apart):
    """Return the rows of filters that see the planes and no padding, in a row of outputs."""
    high, above = np.int64(taps.starts.shape[1] // SIDES), sizes.top - np.int64(row) * sizes.down
    first = min(max(above, np.int64(0)), high)
    end = max(first, min(high, sizes.height + above))
    return Seen(first, end, high, apart or first > 0 or end < high)


@kernel(inlined=True)
def next_taps(taps, own, seen, side, sides):
    """Return the first of a group's taps from ``side`` on, the one after the last, the next side.

    Those of all sides before ``sides`` lie one behind the other, if all rows are seen.
    """
    until = side + 1 if seen.apart else sides
    begin = np.int64(side) * seen.high + seen.first
    after = (np.int64(until) - 1) * seen.high + seen.end
    return taps.starts[own.number, begin], taps.starts[own.number, after], until


@kernel(inlined=True)
def moved(job, row):
    """Return the job at another row."""
    return Job(job.number, job.first_tile, job.first_column, job.strips, row)


@kernel(part=True)
def write_row_bases(pixel, strip, sizes, steps, job, rows, bases, place):
    """Note where each strip of some rows of dy, from a job's on, finds each row of the ring."""
    size, left_out = row_size(sizes, count(pixel)), sizes.left_out * count(pixel)
    for row in range(rows):
        for d in range(steps.high):
            there = ((job.row + row) * sizes.down + d) % sizes.depth * size - left_out
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
