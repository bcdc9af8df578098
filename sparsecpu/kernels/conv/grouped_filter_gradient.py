"""The kernel of dW of a convolution whose filters stand in groups that share their taps.

A worker goes down the rows of dy, several at a time, beside the ring of x that these see. dW is
made in tiles of all filters of a group and a few taps: dot products of their lines, each vector of
which is read once for a row, or a column, of the tile. The more rows at a time, the more seldom the
lanes of a tile are summed. A ring of bf16 may ask for products in pairs: lines of dy are rounded to
bf16 then, in the order that the ring has (``kernels.vectors.tap_pairs``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.grouped_parts import (
    Place,
    Seen,
    Steps,
    group_of,
    moved,
    next_group,
    next_rows,
    next_taps,
    stage_group,
    write_row_bases,
)
from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.operands import SIDES, GroupIndex, Operand, Space
from sparsecpu.kernels.conv.pixels import numbers
from sparsecpu.kernels.conv.prefetch import prefetch_some, rows_ahead
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.linear.grouped import sums_bytes
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, store_dot_tile
from sparsecpu.kernels.vectors.memory import at, load_like
from sparsecpu.kernels.vectors.pairs import RUN
from sparsecpu.kernels.vectors.tap_pairs import add_word_products, store_words
from sparsecpu.kernels.vectors.tap_tiles import add_products, places_of_taps


class GroupedFilterGradient(NamedTuple):
    """What dW is made of, the same for all jobs."""

    sizes: Sizes
    steps: Steps
    taps: GroupIndex
    x: Operand
    dy: Operand
    mask: np.ndarray
    space: Space


class Reading(NamedTuple):
    """Lines of dy and of the ring that tiles are made of.

    A row of dy is ``size`` numbers of scratch memory, each line of it ``line``; ``length`` of these
    are there, and count, ``edge`` of them for each column. There are so many ``rows``, of so many
    strips. Among the ``bases``, from
    ``limits`` on, is noted which of these rows see the planes with a row of the filter: the first,
    and the one after the last.
    """

    start: int
    line: int
    size: int
    length: int
    edge: int
    rows: int
    strips: int
    bases: int
    limits: int


class Part(NamedTuple):
    """A partial sum of dW, which begins at ``start``; ``onto`` if something is there already."""

    dw: np.ndarray
    start: int
    onto: bool


def dot_tile(group: int, lanes: int, itemsize: int, *, narrow: bool) -> tuple[int, int]:
    """Return how many taps wide a tile of dW is, and how many numbers its vectors have.

    Pixels of 16-bit numbers are read whole.
    """
    register = sums_bytes() // 16  # 64 bytes, or 16: NEON's, and half of AVX2's
    width = lanes if narrow else min(lanes, register // itemsize)
    return max(sums_bytes() // (group * width * itemsize), 1), width


@kernel(part=True)
def _write_limits(sizes, high, row, rows, bases, here):
    """Note which of some rows of dy, from ``row`` on, see the planes with each row of a filter.

    From place ``here`` of a worker's ``bases`` on.
    """
    down = np.int64(sizes.down)
    for d in range(high):
        first = (sizes.top - d + down - 1) // down - row
        end = (sizes.height + sizes.top - d + down - 1) // down - row
        bases[here + 2 * d] = max(0, first)
        bases[here + 2 * d + 1] = min(rows, end)


class Reach(NamedTuple):
    """Rows of dy, and numbers of each, from first to last, that matter to the taps of a tile."""

    first: int
    end: int
    begin: int
    until: int


@kernel(inlined=True)
def _reach(across, problem, k, own, reading):
    """Return what matters to as many taps as ``across`` is long, from number k on."""
    codes, bases, high = problem.taps.codes, problem.space.bases, problem.steps.high
    starts, last = problem.taps.starts, k + len(across) - 1
    top, low = np.int64(at(codes, k)) >> 24, np.int64(at(codes, last)) >> 24
    middle, right = starts[own.number, high], starts[own.number, 2 * high]
    begin = reading.edge if last < middle else np.int64(0)
    until = reading.length - reading.edge if k >= right else reading.length
    if (k < middle <= last) or (k < right <= last):  # taps of two sides, each row by row
        top, low = np.int64(0), np.int64(high - 1)
    first, end = at(bases, reading.limits + 2 * low), at(bases, reading.limits + 2 * top + 1)
    return Reach(first, end, begin, until)


@kernel(inlined=True)
def _dot_tile(tile, across, pixel, problem, k, filter_, own, reading):
    """Return a tile with the dot products of lines of dy and of taps, from number k on, added.

    There are as many taps as ``across`` is long.
    """
    space, high = problem.space, problem.steps.high
    reach = _reach(across, problem, k, own, reading)
    for row in range(reach.first, reach.end):
        bases = reading.bases + row * reading.strips * high
        places = places_of_taps(problem.taps.codes, space.bases, k, bases, across, pixel)
        dy = reading.start + row * reading.size + filter_ * reading.line
        for here in range(reach.begin, reach.until, count(tile[0])):
            tile = add_products(tile, space.ring, places, here, space.scratch, dy + here,
                                reading.line)  # fmt: skip
    return tile


@kernel(part=True)
def _round_lines(pixel, scratch, reading, filters):
    """Round a group's lines of dy to bf16 where they lie: of so many words, half of the numbers."""
    for row in range(reading.rows):
        for r in range(filters):
            start = reading.start + row * reading.size + r * reading.line
            for here in range(0, reading.length, count(pixel)):
                store_words(scratch, start + here // 2, load_like(scratch, start + here, pixel))


@kernel(inlined=True)
def _pair_tile(tile, across, pixel, problem, k, filter_, own, reading):
    """Do as ``_dot_tile`` in pairs; what does not fill a register is taken pixel by pixel."""
    space, high, reach = problem.space, problem.steps.high, _reach(across, problem, k, own, reading)
    run, begin = splat(problem.mask.dtype.type(0), RUN), reach.begin // RUN * RUN
    whole = reach.until // RUN * RUN
    for row in range(reach.first, reach.end):
        bases = reading.bases + row * reading.strips * high
        places = places_of_taps(problem.taps.codes, space.bases, k, bases, across, pixel)
        dy = reading.start + row * reading.size + filter_ * reading.line
        for here in range(begin, whole, RUN):
            tile = add_word_products(tile, space.ring, places, here, space.scratch, dy + here // 2,
                                     reading.line, run)  # fmt: skip
        for here in range(whole, reach.until, count(pixel)):
            tile = add_word_products(tile, space.ring, places, here, space.scratch, dy + here // 2,
                                     reading.line, pixel)  # fmt: skip
    return tile


@functools.cache
def grouped_gradient_kernel(
    group: int, lanes: int, strip_pixels: int, tile: tuple, paired: bool = False
) -> Callable:  # fmt: skip
    """Return the kernel of dW, which multiplies in pairs if it is ``paired``.

    ``gradient(sizes, steps, taps, x, dy, mask, dw, space)`` takes what ``kernels.conv.operands``
    describes; ``dw`` is ``(parts, nnz)``, a partial sum for each group of jobs. A ``tile`` of dW is
    so many taps wide, and its vectors are so many numbers.
    """
    four_lanes, strip_lanes, (columns, width) = 4 * lanes, strip_pixels * lanes, tile
    few = max(1, columns // 2)
    pairs, few_pairs = group * columns, group * few
    product = _pair_tile if paired else _dot_tile

    @kernel(part=True)
    def dots(zeros, pixel, strip, problem, job, own, reading, ahead, part):
        """Multiply a group's lines, and prefetch what the next rows of dy need."""
        of_dy, of_x = ahead
        n, place = own.each, part.start + own.apart
        high = np.int64(problem.steps.high)
        all_rows = Seen(np.int64(0), high, high, problem.sizes.left_out > 0)
        if own.filters == group:
            side = 0
            while side < SIDES:
                k, last, side = next_taps(problem.taps, own, all_rows, side, SIDES)
                while k + columns <= last:
                    of_dy = prefetch_some(pixel, strip, problem.dy, of_dy)
                    of_x = prefetch_some(pixel, strip, problem.x, of_x)
                    sums, across = bundle_of(zeros, pairs), bundle_of(zeros, columns)
                    sums = product(sums, across, pixel, problem, k, 0, own, reading)
                    store_dot_tile(part.dw, place + k, n, columns, sums, part.onto)
                    k += columns
                while k + few <= last:
                    sums, several = bundle_of(zeros, few_pairs), bundle_of(zeros, few)
                    sums = product(sums, several, pixel, problem, k, 0, own, reading)
                    store_dot_tile(part.dw, place + k, n, few, sums, part.onto)
                    k += few
                while k < last:
                    sums, one = bundle_of(zeros, group), bundle_of(zeros, 1)
                    sums = product(sums, one, pixel, problem, k, 0, own, reading)
                    store_dot_tile(part.dw, place + k, n, 1, sums, part.onto)
                    k += 1
        else:
            for r in range(own.filters):
                for k in range(own.first, own.end):
                    sums = bundle_of(zeros, 1)
                    sums = product(sums, sums, pixel, problem, k, r, own, reading)
                    store_dot_tile(part.dw, place + k + r * n, n, 1, sums, part.onto)
        return of_dy, of_x

    @kernel(part=True)
    def go_down(pixel, strip, zeros, problem, job, rows, part, place):
        sizes, steps, space = problem.sizes, problem.steps, problem.space
        line, groups = np.int64(job.strips) * strip_lanes, problem.taps.starts.shape[0]
        length = np.int64(sizes.out_width) * sizes.tiles_per_job * lanes
        limits = rows * np.int64(job.strips) * steps.high
        reading = Reading(
            place.scratch, line, group * line, length, np.int64(sizes.tiles_per_job) * lanes, rows,
            job.strips, place.bases, place.bases + limits,
        )  # fmt: skip
        write_row_bases(pixel, strip, sizes, steps, job, rows, space.bases, place)
        _write_limits(sizes, steps.high, job.row, rows, space.bases[place.number], limits)
        turns = max(1, problem.taps.codes.shape[0] // columns)
        ahead = (
            next_rows(pixel, strip, problem.dy, sizes, job, turns, rows),
            rows_ahead(pixel, strip, problem.x.values, sizes, job, turns, steps.rows),
        )
        for g in range(groups):
            own = group_of(problem.taps, sizes.filters, g, group)
            stage_group(pixel, strip, problem.dy, problem.mask, sizes, job, rows, own, group * line,
                        line, space.scratch, place)  # fmt: skip
            if paired:
                _round_lines(pixel, space.scratch, reading, own.filters)
            if sizes.tiles_per_job == 1:  # whole rows would not wait in level 2 beside the ring
                turns = (own.end - own.first) // columns
                ahead = (next_group(pixel, strip, problem.dy, sizes, job, rows, own, group, turns),
                         ahead[1])  # fmt: skip
            ahead = dots(zeros, pixel, strip, problem, job, own, reading, ahead, part)

    @kernel(addressed=True)
    def work(number, sizes, steps, taps, x, dy, mask, dw, space):
        problem = GroupedFilterGradient(named(sizes), steps, taps, x, dy, mask, space)
        zero, s = dy.values.dtype.type(0), problem.sizes
        pixel, four = splat(zero, lanes), splat(zero, four_lanes)
        strip, zeros = splat(zero, strip_lanes), splat(zero, width)
        place = Place(
            number, number * numbers(space.ring), number * space.bases.shape[1],
            number * space.scratch.shape[1],
        )  # fmt: skip
        jobs, workers, parts = count_jobs(s, dy.values.shape[0]), len(space.scratch), dw.shape[0]
        for part in range(number * parts // workers, (number + 1) * parts // workers):
            summed = Part(dw, np.int64(part) * dw.shape[1], False)
            for job_number in range(part * jobs // parts, (part + 1) * jobs // parts):
                job, last = begin_job(job_number, s, strip_pixels)
                ready = NO_ROW
                while job.row < last:
                    rows = min(steps.rows, last - job.row)
                    ready = fill_ring(pixel, four, x, s, job, ready, space.ring, place.ring)
                    go_down(pixel, strip, zeros, problem, job, rows, summed, place)
                    summed = Part(dw, summed.start, True)
                    job = moved(job, job.row + rows)

    run = spread(work)

    def gradient(*arguments: Any) -> None:
        dy, space = arguments[4], arguments[-1]
        run(len(space.scratch), (dy.values.dtype, space.ring.dtype), *arguments)

    return gradient
