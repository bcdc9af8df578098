"""Sums over the pixels of planes, channel by channel: biases' gradients, activities, moments."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.conv.blend import plain_value
from sparsecpu.kernels.conv.lazy import coefficients, read
from sparsecpu.kernels.conv.operands import Operand
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import add, count, in_float64, multiply, splat, total
from sparsecpu.kernels.vectors.memory import load, load_like, store

#: Numbers of a channel's lanes that are added up at a time.
_RUN = 8


def plain_channel_sums(operand: Operand) -> np.ndarray:
    """Return the sums over pixels and samples, and those of the squares, ``(2, channels)``."""
    v = plain_value(operand)
    return np.array([v.sum(axis=(0, 1, 3, 4)), (v * v).sum(axis=(0, 1, 3, 4))])


@functools.cache
def channel_sums_kernel(lanes: int) -> Callable:
    """Return the kernel of both sums; a tile has one worker.

    ``channel_sums(operand, sums, mask)``: ``sums`` is ``(tiles, channels, 2, lanes)``, in the type
    of the planes; ``mask`` is ``(tiles, lanes)``, 0 for padding lanes.
    """

    @kernel(addressed=True)
    def work(tile, operand, sums, mask):
        zero, planes = splat(operand.values.dtype.type(0), lanes), operand.values
        _, height, channels, width, _ = planes.shape
        lane_mask = load(mask, np.int64(tile) * lanes, lanes)
        sums[tile] = 0
        for row in range(height):
            for channel in range(channels):
                pending = coefficients(operand, channel)
                here = (np.int64(tile) * channels + channel) * 2 * lanes
                first = load_like(sums, here, zero)
                second = load_like(sums, here + lanes, zero)
                begin = ((np.int64(tile) * height + row) * channels + channel) * width * lanes
                for place in range(begin, begin + width * lanes, lanes):
                    masked = multiply(read(operand, pending, place, zero), lane_mask)
                    first = add(first, masked)
                    second = add(second, multiply(masked, masked))
                store(sums, here, first)
                store(sums, here + lanes, second)

    run = spread(work)

    def channel_sums(operand: Operand, sums: np.ndarray, mask: np.ndarray) -> None:
        run(len(operand.values), operand.values.dtype, operand, sums, mask)

    return channel_sums


@kernel(inlined=True)
def _add_runs(parts, job_size, here, end, like):
    """Return the sum of a channel's lanes over all jobs, as many at a time as ``like`` has."""
    sums = in_float64(like)
    for job in range(parts.shape[0]):
        begin = np.int64(job) * job_size
        for lane in range(begin + here, begin + end, count(like)):
            sums = add(sums, in_float64(load_like(parts, lane, like)))
    return total(sums)


@kernel(parallel=True, alone_below=100_000)
def add_jobs(team, parts, out):
    """Write the sums of jobs and lanes, of (jobs, channels, 2, lanes), to (2, channels).

    What is added up is float64, whatever the parts are.
    """
    _, channels, kinds, lanes = parts.shape
    run, one = splat(parts.dtype.type(0), _RUN), splat(parts.dtype.type(0), 1)
    size, whole = np.int64(channels) * kinds * lanes, np.int64(lanes) // _RUN * _RUN
    for channel in share(team, channels):
        for kind in range(kinds):
            here = (np.int64(channel) * kinds + kind) * lanes
            summed = _add_runs(parts, size, here, here + whole, run)
            out[kind, channel] = summed + _add_runs(parts, size, here + whole, here + lanes, one)
