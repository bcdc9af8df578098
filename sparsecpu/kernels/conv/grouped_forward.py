"""The kernel of a convolution whose filters stand in groups that share their taps.

A strip of the ring that is read once then serves all filters of a group: arithmetic is the limit,
not loads. Otherwise it is as ``kernels.conv.convolution``; ``kernels.linear.grouped`` says where
the values of a group lie. Each output is one sum in the order of its taps, whatever the strips and
blocks. Weights in 16 bits, uint16, are multiplied in pairs (``kernels.vectors.tap_pairs``); the
ring holds bf16 then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.grouped_parts import group_of, rows_seen
from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named, next_row, places_of
from sparsecpu.kernels.conv.lazy import is_large
from sparsecpu.kernels.conv.operands import Gate, GroupIndex, Operand, Output, Space
from sparsecpu.kernels.conv.over_taps import ends_of, over_all_taps, over_taps
from sparsecpu.kernels.conv.pixels import rows_to_memory_order
from sparsecpu.kernels.conv.prefetch import prefetch_operand, prefetch_some, rows_ahead
from sparsecpu.kernels.conv.ring import NO_ROW, fill_ring, write_bases
from sparsecpu.kernels.conv.rows import Lines, RowOfOutputs, write_row
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.strip_cut import StripCut
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.conv.tap_sums import place_of_tap
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, splat_rows, store_rows
from sparsecpu.kernels.vectors.memory import at, fence, prefetch_to_write
from sparsecpu.kernels.vectors.tap_pairs import add_tap, add_two_taps, taps_at_once


class GroupedConvolution(NamedTuple):
    """What such a convolution reads and writes, the same for all jobs."""

    sizes: Sizes
    taps: GroupIndex
    weights: np.ndarray
    bias: np.ndarray
    inputs: Operand
    out: Output
    gate: Gate
    mask: np.ndarray
    reads: bool
    space: Space


@functools.cache
def _adding(begin: int, end: int) -> Any:
    """Return the part that adds taps to lanes of a strip, from ``begin`` on and before ``end``."""

    @kernel(inlined=True)
    def add(sums, pixel, conv, bases, k, last, apart, n):
        space, paired = conv.space, taps_at_once(conv.weights) == 2
        while paired and k + 1 < last:
            first = place_of_tap(conv.taps.codes, k, space.bases, bases, pixel)
            second = place_of_tap(conv.taps.codes, k + 1, space.bases, bases, pixel)
            sums = add_two_taps(sums, conv.weights, k + apart, n, space.ring, first, second, begin,
                                end)  # fmt: skip
            k += 2
        while k < last:
            place = place_of_tap(conv.taps.codes, k, space.bases, bases, pixel)
            value = apart + (k if paired else np.int64(at(conv.taps.order, k)))
            sums = add_tap(sums, conv.weights, value, n, space.ring, place, begin, end)
            k += 1
        return sums

    return add


@kernel(inlined=True)
def _prefetch_outputs(pixel, strip, conv, job, own, s):
    """Prefetch where a group's outputs of a strip will be written, and what is added to them."""
    sizes, alone = conv.sizes, conv.sizes.tiles_per_job == 1
    writes, adds = alone and not is_large(conv.out.y), alone and conv.out.plus.values.shape[0] > 0
    if writes or adds:
        row = np.int64(job.first_tile) * sizes.out_height + job.row
        begin = (row * sizes.filters + own.filter) * sizes.out_width + job.first_column
        for r in range(own.filters):
            there = (begin + r * np.int64(sizes.out_width)) * count(pixel) + s * count(strip)
            if writes:
                prefetch_to_write(conv.out.y, there, strip)
            if adds:
                prefetch_operand(conv.out.plus, there, strip)


@functools.cache
def _convolving(cut: StripCut, lanes: int) -> Any:
    """Return the part that computes a row of outputs, group by group."""
    sum_group = over_taps(cut, lanes, _adding)
    sum_filter = over_all_taps(cut.strip * lanes, _adding)

    @kernel(inlined=True)
    def begin(like, conv, i):
        return splat_rows(conv.bias, i, like) if conv.bias.shape[0] > 0 else like

    @kernel(inlined=True)
    def end(sums, pixel, conv, here, line):
        sums = rows_to_memory_order(conv.space.ring, sums, pixel)
        store_rows(conv.space.scratch, here, line, sums)

    @kernel(part=True)
    def convolve_row(pixel, rows, one, conv, job, worker):
        sizes, taps, strip, group = conv.sizes, conv.taps, one[0], len(rows)
        write_bases(pixel, strip, sizes, job, conv.reads, conv.space.bases, worker)
        columns = min(sizes.span, sizes.out_width - job.first_column)
        row = RowOfOutputs(job.row, job.first_column, columns)
        line = np.int64(sizes.span) * sizes.tiles_per_job * count(pixel)
        seen = rows_seen(taps, sizes, job.row, taps_at_once(conv.weights) == 2)
        groups = taps.starts.shape[0]
        ahead = rows_ahead(pixel, strip, conv.inputs.values, sizes, job, job.strips * groups)
        for g in range(groups):
            own = group_of(taps, sizes.filters, g, group)
            for s in range(job.strips):
                ahead = prefetch_some(pixel, strip, conv.inputs, ahead)
                _prefetch_outputs(pixel, strip, conv, job, own, s)
                here, bases = worker.outputs + s * count(strip), worker.bases + s * sizes.depth
                if own.filters == group:
                    sums, ends = begin(rows, conv, own.filter), ends_of(sizes, job, s)
                    sums = sum_group(sums, pixel, conv, bases, own, seen, ends)
                    end(sums, pixel, conv, here, line)
                else:
                    for r in range(own.filters):
                        sum_ = begin(one, conv, own.filter + r)
                        sum_ = sum_filter(sum_, pixel, conv, bases, own, seen, r)
                        end(sum_, pixel, conv, here + r * line, line)
            lines = Lines(own.filter, own.filter + own.filters, worker.outputs, line, np.int64(1))
            write_row(pixel, strip, conv.out, conv.gate, conv.mask, sizes, job, row,
                      conv.space.scratch, lines)  # fmt: skip

    return convolve_row


@functools.cache
def grouped_convolution_kernel(group: int, lanes: int, cut: StripCut) -> Callable:
    """Return the kernel of ``y = W * x + bias``, for rows that are cut so.

    ``convolve(sizes, taps, weights, bias, inputs, out, gate, mask, reads, space)`` takes what
    ``kernels.conv.operands`` describes; for ``mask`` see ``convolution_kernel``. With ``reads``,
    filters of one pixel read planes where they lie.
    """
    four_lanes, strip_pixels, strip_lanes = 4 * lanes, cut.strip, cut.strip * lanes
    convolve_row = _convolving(cut, lanes)

    @kernel(addressed=True)
    def work(number, sizes, taps, weights, bias, inputs, out, gate, mask, reads, space):
        conv = GroupedConvolution(named(sizes), taps, weights, bias, inputs, out, gate, mask,
                                  reads, space)  # fmt: skip
        zero, worker = bias.dtype.type(0), places_of(number, space)
        pixel, four = splat(zero, lanes), splat(zero, four_lanes)
        strip = splat(zero, strip_lanes)
        rows, one = bundle_of(strip, group), bundle_of(strip, 1)
        jobs, workers = count_jobs(conv.sizes, inputs.values.shape[0]), space.scratch.shape[0]
        for job_number in range(number * jobs // workers, (number + 1) * jobs // workers):
            if out.kind != NO_SUMS:
                out.sums[job_number] = 0
            job, last = begin_job(job_number, conv.sizes, strip_pixels)
            ready = NO_ROW
            while job.row < last:
                if not reads:
                    ready = fill_ring(pixel, four, inputs, conv.sizes, job, ready, space.ring,
                                      worker.ring, False)  # fmt: skip
                convolve_row(pixel, rows, one, conv, job, worker)
                job = next_row(job)
        fence()

    run = spread(work)

    def convolve(sizes: np.ndarray, taps: GroupIndex, weights: np.ndarray, *others: Any) -> None:
        space = others[-1]
        run(len(space.scratch), (weights.dtype, space.ring.dtype), sizes, taps, weights, *others)

    return convolve
