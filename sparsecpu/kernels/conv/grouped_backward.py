"""The kernel of dx and dW at once of a convolution whose filters stand in groups.

It goes as ``kernels.conv.grouped_scatter``, but a worker has two rings of the same form: rows of x
and, ``beyond`` these, rows of dx that are being summed. A pixel of dy meets both at the same place.
For a few taps of a group, a row of dy is read once, a vector of each filter at a time, and serves
both products: dW, whose lanes are summed at the end of the row only, and what is added to dx.

Rows of dy above a band that are scattered once more are taken in the same way, so that the sums of
dx have the same order; what they give of dW belongs to the band above.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.grouped_filter_gradient import dot_tile
from sparsecpu.kernels.conv.grouped_parts import (
    Place,
    Steps,
    group_of,
    moved,
    next_rows,
    next_taps,
    outputs_ahead,
    prefetch_outputs,
    rows_seen,
    stage_group,
    write_row_bases,
)
from sparsecpu.kernels.conv.grouped_scatter import let_go
from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.operands import SIDES, Gate, GroupIndex, Operand, Output, Space
from sparsecpu.kernels.conv.prefetch import (
    prefetch_some,
    rows_ahead,
)
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, store_dot_tile
from sparsecpu.kernels.vectors.memory import fence
from sparsecpu.kernels.vectors.tap_tiles import add_and_scatter, places_of_taps, splat_tile


class Backward(NamedTuple):
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
    space: Space


class Row(NamedTuple):
    """A group's lines of a row of dy in scratch memory, and where they find the rings.

    ``line`` numbers lie from filter to filter; ``length`` of these count. The rings hold x, and the
    sums of dx ``beyond`` it. With ``keep``, dW is kept.
    """

    start: int
    line: int
    length: int
    bases: int
    beyond: int
    keep: bool


def backward_tile(group: int, lanes: int, itemsize: int) -> tuple[int, int]:
    """Return how many taps wide a tile of dW is, and how many numbers its vectors have.

    The tile and as many weights fill the registers that a tile of dW alone would fill.
    """
    columns, width = dot_tile(group, lanes, itemsize, narrow=False)
    return max(columns // 2, 1), width


@kernel(inlined=True)
def _tile(tile, across, pixel, problem, k, apart, n, r, row):
    """Return dW of a few taps and filters, from filter r on, by lanes; add their part to dx."""
    space, dy = problem.space, row.start + r * row.line
    weights = splat_tile(problem.weights, problem.taps.order, k, apart, n, across, tile)
    places = places_of_taps(problem.taps.codes, space.bases, k, row.bases, across, pixel)
    for here in range(0, row.length, count(tile[0])):
        tile = add_and_scatter(tile, weights, space.ring, places, here, row.beyond, space.scratch,
                               dy + here, row.line)  # fmt: skip
    return tile


@functools.cache
def grouped_backward_kernel(group: int, lanes: int, strip_pixels: int, tile: tuple) -> Callable:
    """Return the kernel of dx and dW.

    ``backward(sizes, steps, taps, weights, x, dy, out, gate, mask, dw, space)`` takes what
    ``kernels.conv.operands`` describes. ``dw`` is ``(parts, nnz)``, a partial sum for each group of
    jobs. A ``tile`` of dW is so many taps wide, and its vectors are so many numbers.
    """
    strip_lanes, four_lanes, (columns, width) = strip_pixels * lanes, 4 * lanes, tile
    pairs = group * columns

    @kernel(part=True)
    def multiply(pixel, strip, zeros, problem, job, own, taps, row, ahead, dw, dw_start):
        """Multiply a group's lines of a row, and prefetch what the next row of dy needs."""
        (of_dy, of_x, of_dx), (k, end) = ahead, taps
        n, onto, apart = own.each, dw_start + own.apart, own.apart
        if own.filters < group:
            for r in range(own.filters):
                for q in range(k, end):
                    sums = bundle_of(zeros, 1)
                    sums = _tile(sums, sums, pixel, problem, q, apart + r * n, n, r, row)
                    if row.keep:
                        store_dot_tile(dw, onto + q + r * n, n, 1, sums, True)
            return of_dy, of_x, of_dx
        while k + columns <= end:
            of_dy = prefetch_some(pixel, strip, problem.dy, of_dy)
            of_x = prefetch_some(pixel, strip, problem.x, of_x)
            of_dx = prefetch_outputs(pixel, strip, problem.out, problem.gate, of_dx)
            sums, across = bundle_of(zeros, pairs), bundle_of(zeros, columns)
            sums = _tile(sums, across, pixel, problem, k, apart, n, 0, row)
            if row.keep:
                store_dot_tile(dw, onto + k, n, columns, sums, True)
            k += columns
        while k < end:
            sums, one = bundle_of(zeros, group), bundle_of(zeros, 1)
            sums = _tile(sums, one, pixel, problem, k, apart, n, 0, row)
            if row.keep:
                store_dot_tile(dw, onto + k, n, 1, sums, True)
            k += 1
        return of_dy, of_x, of_dx

    @kernel(part=True)
    def multiply_row(pixel, strip, zeros, problem, job, keep, dw, dw_start, place):
        sizes, steps, taps, space = problem.sizes, problem.steps, problem.taps, problem.space
        line, groups = np.int64(job.strips) * strip_lanes, taps.starts.shape[0]
        seen = rows_seen(taps, sizes, job.row, False)
        length = np.int64(sizes.out_width) * sizes.tiles_per_job * lanes
        row = Row(place.scratch, line, length, place.bases, space.ring.shape[1] // 2, keep)
        write_row_bases(pixel, strip, sizes, steps, job, 1, space.bases, place)
        turns = max(1, taps.codes.shape[0] // columns)
        ahead = (
            next_rows(pixel, strip, problem.dy, sizes, job, turns),
            rows_ahead(pixel, strip, problem.x.values, sizes, job, turns),
            outputs_ahead(pixel, strip, problem.out, problem.gate, sizes, job, turns),
        )  # fmt: skip
        for g in range(groups):
            own, side = group_of(taps, sizes.filters, g, group), 0
            stage_group(pixel, strip, problem.dy, problem.mask, sizes, job, 1, own, line, line,
                        space.scratch, place)  # fmt: skip
            while side < SIDES:
                k, end, side = next_taps(taps, own, seen, side, SIDES)
                ahead = multiply(pixel, strip, zeros, problem, job, own, (k, end), row, ahead, dw,
                                 dw_start)  # fmt: skip

    @kernel(addressed=True)
    def work(number, sizes, steps, taps, weights, x, dy, out, gate, mask, dw, space):
        problem = Backward(named(sizes), steps, taps, weights, x, dy, out, gate, mask, space)
        zero, s, beyond = weights.dtype.type(0), problem.sizes, space.ring.shape[1] // 2
        pixel, strip, zeros = splat(zero, lanes), splat(zero, strip_lanes), splat(zero, width)
        four = splat(zero, four_lanes)
        place = Place(
            number, number * space.ring.shape[1], number * space.bases.shape[1],
            number * space.scratch.shape[1],
        )  # fmt: skip
        of_sums = Place(number, place.ring + beyond, place.bases, place.scratch)
        jobs, workers, parts = count_jobs(s, dy.values.shape[0]), len(space.scratch), dw.shape[0]
        reach = (steps.high - 1) // s.down  # rows of dy above a band that reach into its dx
        row, before = np.int64(0), np.int64(-1)
        space.ring[number, beyond:] = 0  # as all rows of sums that are not in use
        for part in range(number * parts // workers, (number + 1) * parts // workers):
            dw_start = np.int64(part) * dw.shape[1]
            dw[part] = 0
            for job_number in range(part * jobs // parts, (part + 1) * jobs // parts):
                if out.kind != NO_SUMS:
                    out.sums[job_number] = 0
                job, last = begin_job(job_number, s, strip_pixels)
                begin, own, ready = job.row, max(job.row * s.down, s.top), NO_ROW
                if before != job_number - 1 or begin == 0:
                    job = moved(job, max(0, begin - reach))
                    row = np.int64(job.row) * s.down
                before = job_number
                while job.row < last:
                    keep = job.row >= begin
                    if keep:
                        ready = fill_ring(pixel, four, x, s, job, ready, space.ring, place.ring)
                    multiply_row(pixel, strip, zeros, problem, job, keep, dw, dw_start, place)
                    job = moved(job, job.row + 1)
                    row = let_go(pixel, strip, problem, job, row, own, job.row * s.down, of_sums)
                if last == s.rows:
                    end = max(row, s.height + s.top, (last - 1) * s.down + steps.high)
                    row = let_go(pixel, strip, problem, job, row, own, end, of_sums)
        fence()

    run = spread(work)

    def backward(*arguments: Any) -> None:
        dy, space = arguments[5], arguments[-1]
        run(len(space.scratch), dy.values.dtype, *arguments)

    return backward
