"""dW of a sparse convolution by itself: sums over pixels, at the nonzeros.

Where the CPU has registers enough, ``kernels.conv.convolution`` computes it along with dx. See
there for the ring and the jobs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named, next_row, places_of
from sparsecpu.kernels.conv.operands import Operand, Space, TapIndex
from sparsecpu.kernels.conv.pixels import to_ring_order
from sparsecpu.kernels.conv.prefetch import prefetch_operand, prefetch_some, rows_ahead
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring, write_bases
from sparsecpu.kernels.conv.rows import RowOfOutputs, all_lines, stage_row
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.tap_sums import dot
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.memory import load_like


class FilterGradient(NamedTuple):
    """What dW is made of, the same for all jobs."""

    sizes: Sizes
    taps: TapIndex
    inputs: Operand
    dy: Operand
    mask: np.ndarray
    space: Space


@kernel(inlined=True)
def _prefetch_next_dy(pixel, strip, problem, job, i, s):
    """Prefetch the pixels of dy below those in use."""
    sizes = problem.sizes
    row = (job.first_tile * sizes.rows + job.row + 1) * sizes.filters + np.int64(i)
    first_pixel = row * sizes.columns + job.first_column
    prefetch_operand(problem.dy, first_pixel * count(pixel) + s * count(strip), strip)


@kernel(part=True)
def _gradient_row(pixel, strip, problem, dw, dw_start, job, last, worker):
    """Add to dW what a row of outputs gives."""
    sizes, taps, space = problem.sizes, problem.taps, problem.space
    row = RowOfOutputs(job.row, job.first_column, min(sizes.span, sizes.columns - job.first_column))
    lines = all_lines(sizes, sizes.filters, worker.outputs, count(pixel))
    stage_row(pixel, strip, problem.dy, problem.mask, sizes, job, row, space.scratch, lines)
    write_bases(pixel, strip, sizes, job, False, space.bases, worker)
    segments = taps.starts.shape[0]
    turns = job.strips * segments * sizes.filters
    ahead = rows_ahead(pixel, strip, problem.inputs.values, sizes, job, turns)
    another_row = job.row + 1 < last and sizes.tiles_per_job == 1
    line = sizes.span * sizes.tiles_per_job * count(pixel)
    for s in range(job.strips):
        bases = worker.bases + s * sizes.depth
        for segment in range(segments):
            for i in range(sizes.filters):
                ahead = prefetch_some(pixel, strip, problem.inputs, ahead)
                if another_row and segment == 0:
                    _prefetch_next_dy(pixel, strip, problem, job, i, s)
                here = worker.outputs + np.int64(i) * line + s * count(strip)
                dy = to_ring_order(space.ring, load_like(space.scratch, here, strip), pixel)
                dot(space, taps.codes, bases, taps.starts[segment, i], taps.ends[segment, i], dy,
                    dw, dw_start, pixel)  # fmt: skip


@functools.cache
def filter_gradient_kernel(lanes: int, strip_pixels: int) -> Callable:
    """Return the kernel of dW at the nonzeros.

    ``gradient(sizes, taps, inputs, dy, mask, dw, space)`` takes what ``kernels.conv.operands``
    describes; rows of taps come in multiples of four. ``dw`` is ``(parts, codes)``, a partial sum
    for each group of jobs.
    """
    four_lanes, strip_lanes = 4 * lanes, strip_pixels * lanes

    @kernel(addressed=True)
    def work(number, sizes, taps, inputs, dy, mask, dw, space):
        problem = FilterGradient(named(sizes), taps, inputs, dy, mask, space)
        zero, worker = dy.values.dtype.type(0), places_of(number, space)
        pixel, four = splat(zero, lanes), splat(zero, four_lanes)
        strip = splat(zero, strip_lanes)
        jobs, workers = count_jobs(problem.sizes, inputs.values.shape[0]), space.scratch.shape[0]
        parts = dw.shape[0]
        for part in range(number * parts // workers, (number + 1) * parts // workers):
            dw_start = np.int64(part) * dw.shape[1]
            dw[part] = 0
            for job_number in range(part * jobs // parts, (part + 1) * jobs // parts):
                job, last = begin_job(job_number, problem.sizes, strip_pixels)
                ready = NO_ROW
                while job.row < last:
                    ready = fill_ring(pixel, four, inputs, problem.sizes, job, ready, space.ring,
                                      worker.ring)  # fmt: skip
                    _gradient_row(pixel, strip, problem, dw, dw_start, job, last, worker)
                    job = next_row(job)

    run = spread(work)

    def gradient(*arguments: Any) -> None:
        inputs, space = arguments[2], arguments[-1]
        run(len(space.scratch), (inputs.values.dtype, space.ring.dtype), *arguments)

    return gradient
