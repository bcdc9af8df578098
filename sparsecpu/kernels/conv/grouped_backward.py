"""The kernel of dx and of dW of a convolution whose filters stand in groups that share their taps.

A worker goes down the rows of dy, ``Steps.rows`` of them at a time. It lays out a group's lines of
dy once, with all that is pending, and uses them twice:

* dx is made by scattering. A strip of all of the group's filters stays in registers; for each of
  their taps one strip of a *ring of sums* is read, added to, and written back. A row of the ring
  that no later row of dy reaches is complete: it is written to dx, and its place begins anew.
* dW is made in tiles of filters and taps, dot products of lines of dy and of the ring of x. The
  more rows at a time, the more seldom sums over the lanes are made.

Both rings are those of ``kernels.conv.ring``, with the same places; here rows count from the first
row of padding. A job has a band of rows of dy, and the rows of dx that are complete by its end and
were not before. For these, rows of dy above the band are scattered once more; but a worker that
comes from the band above has done so already. The sums of dx have the same order either way: row of
dy by row, group by group.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.operands import Gate, GroupIndex, Operand, Output
from sparsecpu.kernels.conv.pixels import numbers
from sparsecpu.kernels.conv.prefetch import prefetch_operand
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring
from sparsecpu.kernels.conv.rows import Lines, RowOfOutputs, stage_row, write_row
from sparsecpu.kernels.conv.sizes import Job, Sizes
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.conv.tap_sums import place_of_tap
from sparsecpu.kernels.linear.grouped import sums_bytes
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, load_rows, store_dot_tile, sum_of_rows
from sparsecpu.kernels.vectors.memory import at, fence, load_like, store
from sparsecpu.kernels.vectors.tap_tiles import add_products, places_of_taps


class Steps(NamedTuple):
    """How a worker goes through a band: rows of dy at a time, and rows that a filter is tall."""

    rows: int
    high: int


class Makes(NamedTuple):
    """What is made."""

    dx: bool
    dw: bool


class BackwardSpace(NamedTuple):
    """Memory of the workers, a row each: the rings of x and of sums, and as in ``Space``."""

    ring: np.ndarray
    sums: np.ndarray
    bases: np.ndarray
    scratch: np.ndarray


class Problem(NamedTuple):
    """What is read and written, the same for all jobs; ``sizes`` are those of the forward pass."""

    sizes: Sizes
    steps: Steps
    taps: GroupIndex
    weights: np.ndarray
    x: Operand
    dy: Operand
    out: Output
    gate: Gate
    mask: np.ndarray
    makes: Makes
    space: BackwardSpace


class Place(NamedTuple):
    """Where the memory of a worker begins."""

    number: int
    ring: int
    bases: int
    scratch: int


class Group(NamedTuple):
    """A group: its first filter, how many filters it has, and where its taps and values are."""

    filter: int
    filters: int
    first: int
    end: int
    apart: int


def dot_tile(group: int, lanes: int, itemsize: int, *, narrow: bool) -> tuple[int, int]:
    """Return how many taps wide a tile of dW is, and how many numbers its vectors have.

    Pixels of 16-bit numbers are read whole.
    """
    register = sums_bytes() // 16  # 64 bytes, or 16: NEON's, and half of AVX2's
    width = lanes if narrow else min(lanes, register // itemsize)
    return max(sums_bytes() // (group * width * itemsize), 1), width


@kernel(parallel=True)
def sum_parts(parts, out):
    """``out = parts.sum(axis=0)``, the partial sums in their order."""
    for k in prange(out.shape[0]):
        total = parts[0, k]
        for part in range(1, parts.shape[0]):
            total += parts[part, k]
        out[k] = total


@kernel(inlined=True)
def _row_size(sizes, lanes):
    """Return how many numbers a row of the rings holds."""
    return np.int64(sizes.channels) * sizes.step * sizes.room * sizes.tiles_per_job * lanes


@kernel(inlined=True)
def _group(problem, g, group):
    """Return group number ``g``."""
    first, i = at(problem.taps.indptr, np.int64(g)), np.int64(g) * group
    end, filters = at(problem.taps.indptr, np.int64(g) + 1), problem.sizes.filters
    return Group(i, min(np.int64(group), filters - i), first, end, (group - 1) * first)


@kernel(part=True)
def _write_bases(pixel, strip, problem, job, rows, place):
    """Note where each strip of some rows of dy, from a job's on, finds each row of the rings."""
    sizes, high = problem.sizes, problem.steps.high
    row_size = _row_size(sizes, count(pixel))
    for row in range(rows):
        for d in range(high):
            there = ((job.row + row) * sizes.down + d) % sizes.depth * row_size
            for s in range(job.strips):
                here = (row * job.strips + s) * high + d
                problem.space.bases[place.number, here] = place.ring + there + s * count(strip)


@kernel(part=True)
def _stage(pixel, strip, problem, job, rows, group, size, line, place):
    """Lay out a group's lines of some rows of dy, from a job's on; one row is ``size`` numbers."""
    sizes = problem.sizes
    for row in range(rows):
        start = place.scratch + row * size
        lines = Lines(group.filter, group.filter + group.filters, start, line, np.int64(1))
        outputs = RowOfOutputs(job.row + row, job.first_column, sizes.out_width)
        stage_row(pixel, strip, problem.dy, problem.mask, sizes, job, outputs,
                  problem.space.scratch, lines)  # fmt: skip


@kernel(inlined=True)
def _scatter_strip(like, pixel, problem, bases, k, end, apart, n, here, line):
    """Add a strip of some filters, each times its values, to what their taps reach."""
    space, strip = problem.space, like[0]
    rows = load_rows(space.scratch, here, line, like)
    while k < end:
        place = place_of_tap(problem.taps.codes, k, space.bases, bases, pixel)
        v = sum_of_rows(load_like(space.sums, place, strip), problem.weights, k + apart, n, rows)
        store(space.sums, place, v)
        k += 1


@kernel(inlined=True)
def _scatter(all_rows, one, pixel, problem, strips, group, line, size, rows, place):
    """Add a group's lines of some rows of dy to the ring of sums."""
    n, high = group.end - group.first, problem.steps.high
    for row in range(rows):
        for s in range(strips):
            bases = place.bases + (row * strips + s) * high
            here = place.scratch + row * size + s * count(one[0])
            if group.filters == len(all_rows):
                _scatter_strip(all_rows, pixel, problem, bases, group.first, group.end,
                               group.apart, n, here, line)  # fmt: skip
            else:
                for r in range(group.filters):
                    _scatter_strip(one, pixel, problem, bases, group.first, group.end,
                                   group.apart + r * n, n, here + r * line, line)  # fmt: skip


@kernel(inlined=True)
def _dot_tile(tile, across, pixel, problem, strips, k, here, line, size, rows, place):
    """Return a tile with the dot products of some lines of dy and of taps from number k on.

    There are as many taps as ``across`` is long.
    """
    sizes, space = problem.sizes, problem.space
    length = np.int64(sizes.out_width) * sizes.tiles_per_job * count(pixel)
    for row in range(rows):
        bases = place.bases + row * strips * problem.steps.high
        places = places_of_taps(problem.taps.codes, space.bases, k, bases, across, pixel)
        dy = here + row * size
        for offset in range(0, length, count(tile[0])):
            tile = add_products(tile, space.ring, places, offset, space.scratch, dy + offset, line)
    return tile


@kernel(part=True)
def _written(pixel, strip, problem, job, row, first, until, place):
    """Let rows of the ring of sums go, from ``row`` on and before ``until``; return ``until``.

    Those from ``first`` on that exist are rows of dx, which are written.
    """
    sizes, lanes = problem.sizes, count(pixel)
    size, row_size = np.int64(sizes.room) * sizes.tiles_per_job * lanes, _row_size(sizes, lanes)
    while row < until:
        start = place.ring + row % sizes.depth * row_size
        if first <= row < sizes.height + sizes.top:
            for column in range(min(sizes.across, sizes.width)):
                shifted = column + sizes.left
                columns = (sizes.width - column + sizes.across - 1) // sizes.across
                here = (shifted % sizes.across) * size + shifted // sizes.across * (
                    sizes.tiles_per_job * lanes
                )
                lines = Lines(np.int64(0), np.int64(sizes.channels), start + here,
                              sizes.step * size, np.int64(sizes.across))  # fmt: skip
                outputs = RowOfOutputs(row - sizes.top, np.int64(column), columns)
                write_row(pixel, strip, problem.out, problem.gate, problem.mask, sizes, job,
                          outputs, problem.space.sums, lines)  # fmt: skip
        for here in range(start, start + row_size, lanes):
            store(problem.space.sums, here, pixel)
        row += 1
    return until


@kernel(inlined=True)
def _prefetch_next(pixel, strip, problem, job, rows, group):
    """Prefetch a group's lines of dy below those in use."""
    sizes = problem.sizes
    if sizes.tiles_per_job == 1:
        width = np.int64(sizes.out_width) * count(pixel)
        for row in range(job.row + rows, min(job.row + 2 * rows, sizes.out_height)):
            begin = (np.int64(job.first_tile) * sizes.out_height + row) * sizes.filters
            begin = (begin + group.filter) * width
            for here in range(begin, begin + group.filters * width, count(strip)):
                prefetch_operand(problem.dy, here, strip)


@functools.cache
def grouped_gradient_kernel(group: int, lanes: int, strip_pixels: int, tile: tuple) -> Callable:
    """Return the kernel of dx and dW.

    ``gradient(sizes, steps, taps, weights, x, dy, out, gate, mask, dw, makes, space)`` takes what
    ``kernels.conv.operands`` describes; ``dw`` is ``(parts, nnz)``, a partial sum for each group of
    jobs. A ``tile`` of dW is so many taps wide, and its vectors are so many numbers.
    """
    four_lanes, strip_lanes, (columns, width) = 4 * lanes, strip_pixels * lanes, tile
    few = max(1, columns // 2)
    pairs, few_pairs = group * columns, group * few

    @kernel(part=True)
    def dots(zeros, pixel, problem, strips, own, line, size, begin, rows, place, dw, dw_start):
        k, end, n = own.first, own.end, own.end - own.first
        here, onto = place.scratch + begin * size, dw_start + own.apart
        below = Place(
            place.number, place.ring,
            place.bases + begin * strips * problem.steps.high, place.scratch,
        )  # fmt: skip
        if own.filters == group:
            while k + columns <= end:
                sums, across = bundle_of(zeros, pairs), bundle_of(zeros, columns)
                sums = _dot_tile(sums, across, pixel, problem, strips, k, here, line, size,
                                 rows - begin, below)  # fmt: skip
                store_dot_tile(dw, onto + k, n, columns, sums, True)
                k += columns
            while k + few <= end:
                sums, several = bundle_of(zeros, few_pairs), bundle_of(zeros, few)
                sums = _dot_tile(sums, several, pixel, problem, strips, k, here, line, size,
                                 rows - begin, below)  # fmt: skip
                store_dot_tile(dw, onto + k, n, few, sums, True)
                k += few
            while k < end:
                sums, one = bundle_of(zeros, group), bundle_of(zeros, 1)
                sums = _dot_tile(sums, one, pixel, problem, strips, k, here, line, size,
                                 rows - begin, below)  # fmt: skip
                store_dot_tile(dw, onto + k, n, 1, sums, True)
                k += 1
        else:
            for r in range(own.filters):
                for k in range(own.first, end):
                    sums = bundle_of(zeros, 1)
                    sums = _dot_tile(sums, sums, pixel, problem, strips, k, here + r * line, line,
                                     size, rows - begin, below)  # fmt: skip
                    store_dot_tile(dw, onto + k + r * n, n, 1, sums, True)

    @kernel(part=True)
    def go_down(pixel, strip, zeros, problem, job, rows, first, dw, dw_start, place):
        """Do what some rows of dy, from a job's on, give: dx all of them, dW those from first."""
        all_rows, one, line = bundle_of(strip, group), bundle_of(strip, 1), job.strips * strip_lanes
        size = group * line
        _write_bases(pixel, strip, problem, job, rows, place)
        for g in range(problem.taps.indptr.shape[0] - 1):
            own = _group(problem, g, group)
            if own.first == own.end:
                continue
            _stage(pixel, strip, problem, job, rows, own, size, line, place)
            _prefetch_next(pixel, strip, problem, job, rows, own)
            if problem.makes.dx:
                _scatter(all_rows, one, pixel, problem, job.strips, own, line, size, rows, place)
            if problem.makes.dw and first < rows:
                dots(zeros, pixel, problem, job.strips, own, line, size, first, rows, place, dw,
                     dw_start)  # fmt: skip

    @kernel(part=True)
    def work(number, sizes, steps, taps, weights, x, dy, out, gate, mask, dw, makes, space):
        problem = Problem(named(sizes), steps, taps, weights, x, dy, out, gate, mask, makes, space)
        zero, s = dy.values.dtype.type(0), problem.sizes
        pixel, four = splat(zero, lanes), splat(zero, four_lanes)
        strip, zeros = splat(zero, strip_lanes), splat(zero, width)
        place = Place(
            number, number * numbers(space.ring), number * space.bases.shape[1],
            number * space.scratch.shape[1],
        )  # fmt: skip
        jobs, workers, parts = count_jobs(s, dy.values.shape[0]), len(space.scratch), dw.shape[0]
        below = (steps.high - 1) // s.down  # rows of dy above a band that reach into its dx
        row, ready, before = np.int64(0), np.int64(NO_ROW), np.int64(-1)
        if makes.dx:
            space.sums[number] = 0
        # All rows of the ring of sums that are not in use are 0.
        for part in range(number * parts // workers, (number + 1) * parts // workers):
            dw_start = np.int64(part) * dw.shape[1]
            dw[part] = 0
            for job_number in range(part * jobs // parts, (part + 1) * jobs // parts):
                if out.kind != NO_SUMS:
                    out.sums[job_number] = 0
                job, last = begin_job(job_number, s, strip_pixels)
                first, above = job.row, job.row
                if before != job_number - 1 or job.row == 0:
                    ready = np.int64(NO_ROW)
                    if makes.dx:
                        above = max(0, job.row - below)
                        row = np.int64(above) * s.down
                job = Job(job.number, job.first_tile, job.first_column, job.strips, above)
                before, own = job_number, max(first * s.down, s.top)
                while job.row < last:
                    rows = min(steps.rows, last - job.row)
                    if job.row < first:
                        rows = 1
                    elif makes.dw:
                        ready = fill_ring(pixel, four, x, s, job, ready, space.ring, place.ring)
                    skipped = rows if job.row < first else 0
                    go_down(pixel, strip, zeros, problem, job, rows, skipped, dw, dw_start, place)
                    job = Job(job.number, job.first_tile, job.first_column, job.strips,
                              job.row + rows)  # fmt: skip
                    if makes.dx:
                        row = _written(pixel, strip, problem, job, row, own, job.row * s.down,
                                       place)  # fmt: skip
                if makes.dx and last == s.rows:
                    end = max(row, s.height + s.top, (last - 1) * s.down + steps.high)
                    row = _written(pixel, strip, problem, job, row, own, end, place)
        fence()

    run = spread(work)

    def gradient(*arguments: Any) -> None:
        dy, space = arguments[5], arguments[-1]
        run(len(space.scratch), (dy.values.dtype, space.ring.dtype), *arguments)

    return gradient
