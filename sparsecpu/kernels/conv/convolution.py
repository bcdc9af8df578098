"""The kernel of a sparse convolution and of its gradients; ``kernels.conv.plain`` defines it.

A worker takes a job, a span of columns of a tile, and goes down its rows. Before a row of outputs
it packs the input rows that are new into its ring. Then each output channel is a sum over its taps,
``strip`` pixels of all lanes at once, in registers, strip by strip; or, where taps are cut into
blocks of channels, those of one block for all outputs of a strip and then those of the next, while
sums wait in ``scratch``. A strip that is done is gated, summed and written at once; outputs a
stride apart, and those of interleaved tiles, wait in ``scratch`` until their row is whole.

Rows that would not fill a strip are computed for several tiles, interleaved pixel by pixel in the
ring as in the sums. Bands of rows then make as many jobs as there were tiles.

See ``sparsecpu.layers.images.taps`` for what a tap is, and ``kernels.conv.sizes`` for the sizes.

Sums over pixels (dW, a normalisation's statistics) are made per job, or per group of jobs that the
sizes alone determine, and added in their order: any number of threads gives the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named, next_row, places_of
from sparsecpu.kernels.conv.lazy import coefficients, read
from sparsecpu.kernels.conv.operands import Direct, Gate, Operand, Output, Space, TapIndex
from sparsecpu.kernels.conv.pixels import to_memory_order, to_ring_order
from sparsecpu.kernels.conv.prefetch import (
    nothing_ahead,
    prefetch_some,
    rows_ahead,
)
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring, write_bases
from sparsecpu.kernels.conv.rows import (
    RowOfOutputs,
    all_lines,
    stage_row,
    write_row,
    write_strip,
)
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.conv.tap_sums import add_taps, dot_and_add
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, multiply, repeated, splat, splat_like
from sparsecpu.kernels.vectors.memory import at, fence, load_like, prefetch_like, store


class Convolution(NamedTuple):
    """What a convolution reads and writes, the same for all jobs."""

    sizes: Sizes
    taps: TapIndex
    weights: np.ndarray
    bias: np.ndarray
    inputs: Operand
    factor: Operand
    out: Output
    gate: Gate
    mask: np.ndarray
    direct: Direct
    space: Space


class Phase(NamedTuple):
    """The outputs that use the same taps: the first one's row and column, and the segments."""

    row: int
    column: int
    begin: int
    end: int


@kernel(inlined=True)
def _outputs_of(sizes, job, phase):
    """Return a job's row of outputs of a phase: where it lies, and the columns that exist."""
    column = job.first_column * sizes.skip_columns + phase.column
    columns = (sizes.out_width - column + sizes.skip_columns - 1) // sizes.skip_columns
    return RowOfOutputs(job.row * sizes.skip_rows + phase.row, column, min(sizes.span, columns))


@kernel(inlined=True)
def _begin_sum(strip, bias, scratch, waiting, i, first):
    """Return what a strip's sum begins with: the bias, or what waits from the last block."""
    if not first:
        return load_like(scratch, waiting, strip)
    y = strip
    if bias.shape[0] > 0:
        y = splat_like(at(bias, i), strip)
    return y


@kernel(inlined=True)
def _factor(pixel, strip, mask, conv, i, there, staged):
    """Return a strip of the x that dW needs, from planes or from scratch memory."""
    if not conv.direct.factors:
        return load_like(conv.space.scratch, staged, strip)
    x = read(conv.factor, coefficients(conv.factor, i), there, strip)
    after = there + conv.sizes.filters * conv.sizes.out_width * count(pixel)
    prefetch_like(conv.factor.values, after, strip)
    return multiply(x, repeated(mask, strip))


@kernel(part=True)
def _convolve_row(pixel, strip, conv, dw, dw_start, job, phase, worker):
    """Compute a row of outputs of a phase, and dW along with it unless ``dw`` is None."""
    sizes, taps, space, lanes = conv.sizes, conv.taps, conv.space, count(pixel)
    row = _outputs_of(sizes, job, phase)
    write_bases(pixel, strip, sizes, job, conv.direct.reads, space.bases, worker)
    if dw is not None and not conv.direct.factors:
        lines = all_lines(sizes, sizes.filters, worker.factors, lanes)
        stage_row(pixel, strip, conv.factor, conv.mask, sizes, job, row, space.scratch, lines)
    mask = load_like(conv.mask, np.int64(job.first_tile) * lanes, pixel)
    first_pixel = (job.first_tile * sizes.out_height + row.row) * sizes.filters * sizes.out_width
    first_pixel += row.column
    line = sizes.span * sizes.tiles_per_job * lanes
    turns = job.strips * (phase.end - phase.begin) * sizes.filters
    ahead = rows_ahead(pixel, strip, conv.inputs.values, sizes, job, turns)
    if phase.begin > 0:  # the first phase has prefetched them
        ahead = nothing_ahead(ahead)
    # One block: strip after strip of an output, in the order of memory. Several: output after
    # output of a strip, while a block is near.
    together = job.strips if phase.end - phase.begin == 1 else 1
    for first_strip in range(0, job.strips, together):
        for segment in range(phase.begin, phase.end):
            for i in range(sizes.filters):
                begin = at(taps.starts, segment * sizes.filters + i)
                end = at(taps.ends, segment * sizes.filters + i)
                for s in range(first_strip, first_strip + together):
                    ahead = prefetch_some(pixel, strip, conv.inputs, ahead)
                    there = (first_pixel + np.int64(i) * sizes.out_width) * lanes + s * count(strip)
                    waits = np.int64(i) * line + s * count(strip)
                    here, bases = worker.outputs + waits, worker.bases + s * sizes.depth
                    y = _begin_sum(strip, conv.bias, space.scratch, here, i, segment == phase.begin)
                    if dw is None:
                        y = add_taps(space, taps.codes, conv.weights, bases, begin, end, y, pixel)
                    else:
                        x = _factor(pixel, strip, mask, conv, i, there,
                                    worker.factors + waits)  # fmt: skip
                        x = to_ring_order(space.ring, x, pixel)
                        y = dot_and_add(space, taps.codes, conv.weights, bases, begin, end, x, y,
                                        dw, dw_start, pixel)  # fmt: skip
                    if segment < phase.end - 1:
                        store(space.scratch, here, y)
                        continue
                    y = to_memory_order(space.ring, y, pixel)
                    if conv.direct.writes:
                        write_strip(y, mask, conv.out, conv.gate, job, i, there)
                    else:
                        store(space.scratch, here, y)
    if conv.out.y.shape[0] > 0 and not conv.direct.writes:
        lines = all_lines(sizes, sizes.filters, worker.outputs, lanes)
        write_row(pixel, strip, conv.out, conv.gate, conv.mask, sizes, job, row, space.scratch,
                  lines)  # fmt: skip


@functools.cache
def convolution_kernel(lanes: int, strip_pixels: int, gradient: bool = False) -> Callable:
    """Return the kernel of ``y = W * x + bias``, or that of dx, which may give dW along with it.

    ``convolve(sizes, taps, weights, bias, phases, inputs, factor, out, gate, mask, dw, direct,
    space)`` takes what ``kernels.conv.operands`` describes. With ``gradient``, dW is made from the
    taps of dx: a pixel of dy that is in registers is multiplied by its weight for dx and by x, the
    ``factor``, for dW. ``dw`` is ``(parts, codes)``, a partial sum for each group of jobs; rows of
    codes then come in multiples of four, and an empty y is not written. ``mask`` is ``(tiles,
    lanes)``, 0 for padding lanes. ``space`` has a row for each worker.
    """
    four_lanes, strip_lanes = 4 * lanes, strip_pixels * lanes

    @kernel(addressed=True)
    def work(
        number, sizes, taps, weights, bias, phases, inputs, factor, out, gate, mask, dw, direct,
        space,
    ):  # fmt: skip
        conv = Convolution(named(sizes), taps, weights, bias, inputs, factor, out, gate, mask,
                           direct, space)  # fmt: skip
        zero, worker = weights.dtype.type(0), places_of(number, space)
        pixel, four = splat(zero, lanes), splat(zero, four_lanes)
        strip = splat(zero, strip_lanes)
        jobs, workers = count_jobs(conv.sizes, inputs.values.shape[0]), space.scratch.shape[0]
        parts = dw.shape[0] if gradient else jobs
        for part in range(number * parts // workers, (number + 1) * parts // workers):
            dw_start = np.int64(part) * dw.shape[1]
            if gradient:
                dw[part] = 0
            for job_number in range(part * jobs // parts, (part + 1) * jobs // parts):
                if out.kind != NO_SUMS:
                    out.sums[job_number] = 0
                job, last = begin_job(job_number, conv.sizes, strip_pixels)
                ready = NO_ROW
                while job.row < last:
                    if not direct.reads:
                        ready = fill_ring(pixel, four, inputs, conv.sizes, job, ready, space.ring,
                                          worker.ring)  # fmt: skip
                    for n in range(phases.shape[0]):
                        phase = Phase(phases[n, 0], phases[n, 1], phases[n, 2], phases[n, 3])
                        if job.row * conv.sizes.skip_rows + phase.row >= conv.sizes.out_height:
                            continue
                        if gradient:
                            _convolve_row(pixel, strip, conv, dw, dw_start, job, phase, worker)
                        else:
                            _convolve_row(pixel, strip, conv, None, dw_start, job, phase, worker)
                    job = next_row(job)
        fence()

    run = spread(work)

    def convolve(sizes: np.ndarray, taps: TapIndex, weights: np.ndarray, *others: Any) -> None:
        space = others[-1]
        run(len(space.scratch), (weights.dtype, space.ring.dtype), sizes, taps, weights, *others)

    return convolve
