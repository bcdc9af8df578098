"""The kernel of dx of a convolution whose filters stand in groups: dx by scattering.

A worker goes down the rows of dy. A strip of all filters of a group stays in registers; for each of
their taps one strip of a *ring of sums* is read, added to, and written back. The ring has the rows
and places of that in ``kernels.conv.ring``, but rows count from the first row of padding. A row
that no later row of dy reaches is complete: it is written to dx, and its place begins anew.

A job has a band of rows of dy, and the rows of dx that are complete by its end and were not before.
For these, rows of dy above the band are scattered once more; but a worker that comes from the band
above has done so already. The sums of dx have the same order either way: row of dy by row, group by
group, tap by tap. Weights in pairs, from ``kernels.linear.grouped_pairs.pair_values_kernel``, are
multiplied with pairs of filters, which are rounded to bf16 once for all of their taps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.grouped_parts import (
    Place,
    Steps,
    group_of,
    moved,
    next_rows,
    outputs_ahead,
    prefetch_outputs,
    row_size,
    rows_seen,
    stage_group,
    write_row_bases,
)
from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.operands import Gate, GroupIndex, Operand, Output, Space
from sparsecpu.kernels.conv.over_taps import ends_of, over_all_taps, over_taps
from sparsecpu.kernels.conv.prefetch import prefetch_some
from sparsecpu.kernels.conv.rows import Lines, RowOfOutputs, write_row
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.strip_cut import StripCut
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.conv.tap_sums import place_of_tap
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, load_rows
from sparsecpu.kernels.vectors.memory import at, fence, store
from sparsecpu.kernels.vectors.pairs import load_row_pairs
from sparsecpu.kernels.vectors.scattered import scatter_row_pairs, scatter_rows

#: Channels of a row that leave the ring at a time.
_CHANNELS = 8


class Scattering(NamedTuple):
    """What is read and written, the same for all jobs; ``sizes`` are those of the forward pass.

    The ring in ``space`` is that of sums.
    """

    sizes: Sizes
    steps: Steps
    taps: GroupIndex
    weights: np.ndarray
    dy: Operand
    out: Output
    gate: Gate
    mask: np.ndarray
    space: Space


@functools.cache
def _scattering(begin: int, end: int) -> Any:
    """Return the part that adds lanes of a strip to what taps reach, each times its values.

    Lanes are those from ``begin`` on and before ``end``.
    """

    @kernel(inlined=True)
    def scatter(rows, pixel, problem, bases, k, last, apart, n):
        space = problem.space
        while k < last:
            place = place_of_tap(problem.taps.codes, k, space.bases, bases, pixel)
            value = apart + at(problem.taps.order, k)
            scatter_rows(space.ring, place, problem.weights, value, n, rows, begin, end)
            k += 1
        return rows

    return scatter


@functools.cache
def _scattering_pairs(begin: int, end: int) -> Any:
    """Do as ``_scattering`` for two filters at a time."""

    @kernel(inlined=True)
    def scatter(words, pixel, problem, bases, k, last, apart, n):
        space = problem.space
        while k < last:
            place = place_of_tap(problem.taps.codes, k, space.bases, bases, pixel)
            value = np.int64(at(problem.taps.order, k)) * len(words)
            scatter_row_pairs(space.ring, place, problem.weights, value, words, begin, end)
            k += 1
        return words

    return scatter


@kernel(part=True)
def let_go(pixel, strip, problem, job, row, first, until, place):
    """Let rows of the ring go, from ``row`` on and before ``until``; return ``until``.

    Those from ``first`` on that exist are rows of dx, which are written. A few channels at a time
    are written and become 0 again, while they are near.
    """
    sizes, lanes, ring = problem.sizes, count(pixel), problem.space.ring
    size = np.int64(sizes.room) * sizes.tiles_per_job * lanes
    whole, each = row_size(sizes, lanes), sizes.step * size
    while row < until:
        start, padding = place.ring + row % sizes.depth * whole, row < sizes.top
        padding = padding or row >= sizes.height + sizes.top  # nothing is added to it
        for channel in range(0, 0 if padding else sizes.channels, _CHANNELS):
            after = min(sizes.channels, channel + _CHANNELS)
            if first <= row:
                for column in range(min(sizes.across, sizes.width)):
                    shifted = column + sizes.left
                    within = shifted // sizes.across * np.int64(sizes.tiles_per_job * lanes)
                    lines = Lines(
                        np.int64(channel), np.int64(after),
                        start + channel * each + shifted % sizes.across * size + within, each,
                        np.int64(sizes.across),
                    )  # fmt: skip
                    columns = (sizes.width - column + sizes.across - 1) // sizes.across
                    outputs = RowOfOutputs(row - sizes.top, np.int64(column), columns)
                    write_row(pixel, strip, problem.out, problem.gate, problem.mask, sizes, job,
                              outputs, ring, lines)  # fmt: skip
            for here in range(start + channel * each, start + after * each, lanes):
                store(ring, here, pixel)
        row += 1
    return until


@functools.cache
def grouped_scatter_kernel(group: int, lanes: int, cut: StripCut, paired: bool = False) -> Callable:
    """Return the kernel of dx for rows that are cut so, with weights in pairs if it is ``paired``.

    ``scatter(sizes, steps, taps, weights, dy, out, gate, mask, space)`` takes what
    ``kernels.conv.operands`` describes.
    """
    strip_pixels, strip_lanes, half = cut.strip, cut.strip * lanes, max(1, group // 2)
    scatter_group = over_taps(cut, lanes, _scattering_pairs if paired else _scattering)
    scatter_filter = over_all_taps(strip_lanes, _scattering)

    @kernel(part=True)
    def scatter_row(pixel, all_rows, one, pairs, problem, job, place):
        """Add a row of dy to the ring of sums."""
        sizes, steps, taps, strip = problem.sizes, problem.steps, problem.taps, one[0]
        line, groups = np.int64(job.strips) * count(strip), taps.starts.shape[0]
        seen = rows_seen(taps, sizes, job.row, False)
        write_row_bases(pixel, strip, sizes, steps, job, 1, problem.space.bases, place)
        ahead = next_rows(pixel, strip, problem.dy, sizes, job, job.strips * groups)
        of_dx = outputs_ahead(
            pixel, strip, problem.out, problem.gate, sizes, job, job.strips * groups
        )
        scratch = problem.space.scratch
        for g in range(groups):
            own = group_of(taps, sizes.filters, g, len(all_rows))
            stage_group(pixel, strip, problem.dy, problem.mask, sizes, job, 1, own, line, line,
                        scratch, place)  # fmt: skip
            for s in range(job.strips):
                ahead = prefetch_some(pixel, strip, problem.dy, ahead)
                of_dx = prefetch_outputs(pixel, strip, problem.out, problem.gate, of_dx)
                bases, here = place.bases + s * steps.high, place.scratch + s * count(strip)
                ends = ends_of(sizes, job, s)
                if paired:
                    words = load_row_pairs(scratch, here, line, own.filters, all_rows, pairs)
                    scatter_group(words, pixel, problem, bases, own, seen, ends)
                elif own.filters == len(all_rows):
                    rows = load_rows(scratch, here, line, all_rows)
                    scatter_group(rows, pixel, problem, bases, own, seen, ends)
                else:
                    for r in range(own.filters):
                        row = load_rows(scratch, here + r * line, line, one)
                        scatter_filter(row, pixel, problem, bases, own, seen, r)

    @kernel(addressed=True)
    def work(number, sizes, steps, taps, weights, dy, out, gate, mask, space):
        problem = Scattering(named(sizes), steps, taps, weights, dy, out, gate, mask, space)
        zero, s = mask.dtype.type(0), problem.sizes
        pixel, strip = splat(zero, lanes), splat(zero, strip_lanes)
        all_rows, one = bundle_of(strip, group), bundle_of(strip, 1)
        pairs = bundle_of(strip, half)
        place = Place(
            number, number * space.ring.shape[1], number * space.bases.shape[1],
            number * space.scratch.shape[1],
        )  # fmt: skip
        jobs, workers = count_jobs(s, dy.values.shape[0]), len(space.scratch)
        reach = (steps.high - 1) // s.down  # rows of dy above a band that reach into its dx
        row, before = np.int64(0), np.int64(-1)
        space.ring[number] = 0  # as all rows of it that are not in use
        for job_number in range(number * jobs // workers, (number + 1) * jobs // workers):
            if out.kind != NO_SUMS:
                out.sums[job_number] = 0
            job, last = begin_job(job_number, s, strip_pixels)
            own = max(job.row * s.down, s.top)
            if before != job_number - 1 or job.row == 0:
                job = moved(job, max(0, job.row - reach))
                row = np.int64(job.row) * s.down
            before = job_number
            while job.row < last:
                scatter_row(pixel, all_rows, one, pairs, problem, job, place)
                job = moved(job, job.row + 1)
                row = let_go(pixel, strip, problem, job, row, own, job.row * s.down, place)
            if last == s.rows:
                end = max(row, s.height + s.top, (last - 1) * s.down + steps.high)
                row = let_go(pixel, strip, problem, job, row, own, end, place)
        fence()

    run = spread(work)

    def scatter(*arguments: Any) -> None:
        dy, space = arguments[4], arguments[-1]
        run(len(space.scratch), dy.values.dtype, *arguments)

    return scatter
