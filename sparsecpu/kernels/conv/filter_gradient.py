"""dW of a sparse convolution by itself: sums over pixels, at the nonzeros.

Where the CPU has registers enough, ``kernels.conv`` computes it along with dx. See there for the
ring, the jobs and the plan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.pixels import in_order, numbers
from sparsecpu.kernels.conv.ring import ask_ahead, fill, lay_bases, next_rows
from sparsecpu.kernels.conv.rows import stage
from sparsecpu.kernels.conv.sizes import Job
from sparsecpu.kernels.conv.tap_sums import dot
from sparsecpu.kernels.machine.compile import AddressBook, kernel
from sparsecpu.kernels.vectors.operations import (
    call_address,
    count,
    load_like,
    prefetch_like,
    splat,
)


@kernel(part=True)
def _gradient_row(blank, wide, plan, job, last, taps, source, dy, mask, dw, base_dw, space):
    """Add to dW what a row of outputs gives."""
    codes, starts, ends = taps
    ring, bases, scratch, worker = space
    desk, slots = worker * scratch.shape[1], worker * bases.shape[1]
    inside = min(plan.span, plan.columns - job.first_column)
    stage(blank, wide, dy, mask, plan, job, job.row, job.first_column, inside, scratch, desk)
    lay_bases(blank, wide, plan, job, False, bases, worker, worker * numbers(ring))
    due, coming = next_rows(plan, job, job.row * plan.down - plan.top + plan.depth)
    turns = job.strips * starts.shape[0] * plan.filters
    wanted = (np.int64(0), np.int64(0), coming)
    origin = (
        job.first_tile * plan.rows + job.row + 1
    ) * plan.filters * plan.columns + job.first_column
    follows = job.row + 1 < last and plan.tiles_per_job == 1
    for s in range(job.strips):
        for segment in range(starts.shape[0]):
            for i in range(plan.filters):
                wanted = ask_ahead(blank, wide, source, plan, job, turns, due, wanted)
                if follows and segment == 0:
                    place = (origin + np.int64(i) * plan.columns) * count(blank) + s * count(wide)
                    prefetch_like(dy[0], place, wide)
                    if dy[3].shape[0] > 0:
                        prefetch_like(dy[1], place, wide)
                waits = np.int64(i) * plan.span * plan.tiles_per_job * count(blank) + s * count(
                    wide
                )
                g = in_order(ring, load_like(scratch, desk + waits, wide), blank)
                dot(ring, codes, bases, slots + s * plan.depth, starts[segment, i],
                    ends[segment, i], g, dw, base_dw, blank)  # fmt: skip


@kernel(parallel=True)
def _spread_gradient(
    address, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask, dw,
    ring, bases, scratch,
):  # fmt: skip
    """Run a filter gradient's work on as many threads as there are rings."""
    for worker in prange(ring.shape[0]):
        arguments = (
            np.int64(worker), codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb,
            gc, mask, dw, ring, bases, scratch,
        )  # fmt: skip
        call_address(address, arguments)


@functools.cache
def filter_gradient_kernel(lanes: int, strip: int) -> Callable:
    """Return the kernel of dW at the nonzeros.

    Parameters
    ----------
    lanes : int
        Samples per tile.
    strip : int
        Pixels that are looked at at once.

    Returns
    -------
    callable
        ``gradient(codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask,
        dw, ring, bases, scratch)``: ``codes, starts, ends`` are the padded ones; dy is
        ``ga * g + gb * y + gc``; ``dw`` is ``(groups, padded nnz)``, with one sum for each group of
        jobs.
    """
    width, four_lanes = lanes * strip, 4 * lanes

    @kernel(part=True)
    def work(
        worker, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask,
        dw, ring, bases, scratch,
    ):  # fmt: skip
        sizes = named(plan)
        source, dy = (values, other, a, b, c, relu), (g, y, ga, gb, gc, False)
        taps, space = (codes, starts, ends), (ring, bases, scratch, np.int64(worker))
        zero = g.dtype.type(0)
        blank, four, wide = splat(zero, lanes), splat(zero, four_lanes), splat(zero, width)
        mine = np.int64(worker) * numbers(ring)
        jobs = count_jobs(sizes, values.shape[0])
        groups, workers = dw.shape[0], ring.shape[0]
        for group in range(worker * groups // workers, (worker + 1) * groups // workers):
            dw[group] = 0
            base_dw = np.int64(group) * dw.shape[1]
            for number in range(group * jobs // groups, (group + 1) * jobs // groups):
                job, last = begin_job(number, sizes, strip)
                ready = -(1 << 30)
                while job.row < last:
                    oldest = job.row * sizes.down - sizes.top
                    begin, ready = max(ready, oldest), oldest + sizes.depth
                    fill(blank, four, source, sizes, job, begin, ready, ring, mine)
                    _gradient_row(blank, wide, sizes, job, last, taps, source, dy, mask, dw,
                                  base_dw, space)  # fmt: skip
                    job = Job(job.first_tile, job.first_column, job.strips, job.row + 1)

    book = AddressBook(work)

    def gradient(*arguments):
        _spread_gradient(
            book.address((arguments[4].dtype, arguments[-3].dtype), *arguments), *arguments
        )

    return gradient
