"""Average pooling of planes, and its gradient, gathered as in ``kernels.conv.max_pooling``.

``mask`` is ``(tiles, lanes)``, 0 for padding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.lazy import (
    add_sums,
    coefficients,
    finish_pixel,
    is_large,
    read,
    sums_of,
)
from sparsecpu.kernels.conv.operands import Operand, Windows
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.conv.windows import clipped, lines_of, place_of_pixel, plain_windows
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import count, fma, splat
from sparsecpu.kernels.vectors.memory import fence, load, load_like, store, store_output


def plain_average_pool(x: np.ndarray, windows: Windows, y: np.ndarray) -> None:
    """Write the mean of each window of one image; pixels of the padding count as 0."""
    for place, window in plain_windows(x, windows):
        y[place] = x[window].sum() / np.prod(windows.size)


def plain_average_pool_gradient(dy: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
    """Divide each gradient among the pixels of its window."""
    for place, window in plain_windows(dx, windows):
        dx[window] += dy[place] / np.prod(windows.size)


@functools.cache
def average_pool_kernel(lanes: int) -> Callable:
    """Return the kernel of average pooling, ``average(inputs, windows, y)``."""

    @kernel(addressed=True)
    def work(job, inputs, windows, y):
        height, channels, width = inputs.values.shape[1:4]
        size, part = windows.size, y.dtype.type(1.0 / (windows.size[0] * windows.size[1]))
        tile, row_out = job // y.shape[1], job % y.shape[1]
        top = row_out * windows.stride[0] - windows.padding[0]
        first_row, end_row = clipped(top, size[0], height)
        for channel in range(channels):
            pending = coefficients(inputs, channel)
            for column_out in range(y.shape[3]):
                left = column_out * windows.stride[1] - windows.padding[1]
                first_column, end_column = clipped(left, size[1], width)
                total = splat(y.dtype.type(0), lanes)
                for row in range(first_row, end_row):
                    for column in range(first_column, end_column):
                        place = place_of_pixel(inputs.values, tile, row, channel, column)
                        total = fma(total, part, read(inputs, pending, place, total))
                store(y, place_of_pixel(y, tile, row_out, channel, column_out), total)

    run = spread(work)

    def average(inputs: Operand, windows: Windows, y: np.ndarray) -> None:
        run(y.shape[0] * y.shape[1], y.dtype, inputs, windows, y)

    return average


@kernel(inlined=True)
def _divided(zero, dy, part, lines, covering, column):
    """Return what a pixel gets of the gradients of the windows that it is in."""
    total, first, end = zero, covering.across[column, 0], covering.across[column, 1]
    if lines.rows == 1 and end - first == 1:  # without a loop: most pixels are in one window
        return fma(total, part, load_like(dy, lines.first + first * count(zero), zero))
    for line in range(lines.rows):
        for column_out in range(first, end):
            place = lines.first + line * lines.apart + column_out * count(zero)
            total = fma(total, part, load_like(dy, place, zero))
    return total


@functools.cache
def average_pool_gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of average pooling's backward pass; a tile has one worker.

    ``gradient(dy, windows, covering, dx, gate, mask)``: ``dx`` is an ``Output``.
    """

    @kernel(addressed=True)
    def work(tile, dy, windows, covering, dx, gate, mask):
        _, height, channels, width, _ = dx.y.shape
        none, large = dx.y.dtype.type(0), is_large(dx.y)  # no centre: dx is summed as it is
        zero = splat(none, lanes)
        lane_mask = load(mask, np.int64(tile) * lanes, lanes)
        part = dx.y.dtype.type(1.0 / (windows.size[0] * windows.size[1]))
        if dx.kind != NO_SUMS:
            dx.sums[tile] = 0
        for row in range(height):
            for channel in range(channels):
                pending, first, second = coefficients(gate, channel), zero, zero
                lines = lines_of(dy, windows, covering, tile, row, channel)
                for column in range(width):
                    v = _divided(zero, dy, part, lines, covering, column)
                    place = place_of_pixel(dx.y, tile, row, channel, column)
                    v, first, second = finish_pixel(v, place, dx, gate, pending, lane_mask, zero,
                                                    first, second)  # fmt: skip
                    store_output(dx.y, place, v, large)
                add_sums(dx, sums_of(tile, channel, dx), first, second, none, zero)
        fence()

    run = spread(work)

    def gradient(dy: np.ndarray, *others: Any) -> None:
        run(len(dy), dy.dtype, dy, *others)

    return gradient
