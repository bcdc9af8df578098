"""Sums over the pixels of lazy planes, channel by channel: biases' gradients, activities."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.conv.blend import plain_value
from sparsecpu.kernels.conv.lazy import coefficients, read
from sparsecpu.kernels.conv.operands import Operand
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import add, multiply, splat
from sparsecpu.kernels.vectors.memory import load, load_like, store


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
