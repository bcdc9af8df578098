"""Max pooling of planes, and its gradient.

Maxima keep which pixel won, a byte each; gradients are gathered pixel by pixel from the windows
that a pixel is in, so that each has one writer. ``mask`` is ``(tiles, lanes)``, 0 for padding.
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
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    positive_part,
    splat,
    where_equal,
    where_larger,
)
from sparsecpu.kernels.vectors.memory import (
    fence,
    load,
    load_bytes,
    load_like,
    store,
    store_bytes,
    store_output,
)


def plain_max_pool(x: np.ndarray, windows: Windows, y: np.ndarray) -> None:
    """Write the largest pixel of each window of one image."""
    for place, window in plain_windows(x, windows):
        y[place] = x[window].max()


def plain_max_pool_gradient(
    x: np.ndarray, dy: np.ndarray, windows: Windows, dx: np.ndarray
) -> None:
    """Add each gradient to the pixel that won its window: of equal ones the first."""
    for place, window in plain_windows(x, windows):
        winner = np.unravel_index(x[window].argmax(), x[window].shape)
        dx[window][winner] += dy[place]


@functools.cache
def max_pool_kernel(lanes: int) -> Callable:
    """Return the kernel of max pooling, ``max_pool(inputs, windows, y, winners)``.

    ``winners`` says which pixel of the window each maximum is, counted from its top left; of equal
    ones the first.
    """

    @kernel(addressed=True)
    def work(job, inputs, windows, y, winners):
        inputs, relu = Operand(*inputs[:3], False), inputs.relu  # max(relu(x)) = relu(max(x))
        height, channels, width = inputs.values.shape[1:4]
        size, zero = windows.size, y.dtype.type(0)
        tile, row_out = job // y.shape[1], job % y.shape[1]
        top = row_out * windows.stride[0] - windows.padding[0]
        first_row, end_row = clipped(top, size[0], height)
        for channel in range(channels):
            pending = coefficients(inputs, channel)
            for column_out in range(y.shape[3]):
                left = column_out * windows.stride[1] - windows.padding[1]
                first_column, end_column = clipped(left, size[1], width)
                best, winner = splat(zero, lanes), splat(zero, lanes)
                fresh = True
                for row in range(first_row, end_row):
                    for column in range(first_column, end_column):
                        place = place_of_pixel(inputs.values, tile, row, channel, column)
                        v = read(inputs, pending, place, best)
                        number = (row - top) * size[1] + column - left
                        this = splat(y.dtype.type(number), lanes)
                        if fresh:
                            best, winner, fresh = v, this, False
                        winner = where_larger(v, best, this, winner)
                        best = where_larger(v, best, v, best)
                place = place_of_pixel(y, tile, row_out, channel, column_out)
                store(y, place, positive_part(best) if relu else best)
                store_bytes(winners, place, winner)

    run = spread(work)

    def max_pool(inputs: Operand, windows: Windows, y: np.ndarray, winners: np.ndarray) -> None:
        run(y.shape[0] * y.shape[1], y.dtype, inputs, windows, y, winners)

    return max_pool


@kernel(inlined=True)
def _add_won(v, dy, winners, lines, line, column_out, column):
    """Add the gradient of a window to what a pixel gets, if the pixel has won it."""
    place = lines.first + line * lines.apart + column_out * count(v)
    number = lines.number - line * lines.down + column - column_out * lines.across
    winner = load_bytes(winners, place, v)
    return add(v, where_equal(winner, dy.dtype.type(number), load_like(dy, place, v)))


@kernel(inlined=True)
def _won(zero, dy, winners, lines, covering, column):
    """Return the sum of the gradients of the windows that a pixel has won."""
    v, first, end = zero, covering.across[column, 0], covering.across[column, 1]
    if lines.rows > 2 or end - first > 2:
        for line in range(lines.rows):
            for column_out in range(first, end):
                v = _add_won(v, dy, winners, lines, line, column_out, column)
    elif lines.rows > 0 and end > first:  # without a loop: most pixels are in one window
        v = _add_won(v, dy, winners, lines, 0, first, column)
        if end - first > 1:
            v = _add_won(v, dy, winners, lines, 0, first + 1, column)
        if lines.rows > 1:
            v = _add_won(v, dy, winners, lines, 1, first, column)
            if end - first > 1:
                v = _add_won(v, dy, winners, lines, 1, first + 1, column)
    return v


@functools.cache
def max_pool_gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of max pooling's backward pass; a tile has one worker.

    ``gradient(dy, winners, windows, covering, dx, gate, mask)``: ``dx`` is an ``Output``.
    """

    @kernel(addressed=True)
    def work(tile, dy, winners, windows, covering, dx, gate, mask):
        _, height, channels, width, _ = dx.y.shape
        none, large = dx.y.dtype.type(0), is_large(dx.y)  # no centre: dx is summed as it is
        zero = splat(none, lanes)
        lane_mask = load(mask, np.int64(tile) * lanes, lanes)
        if dx.kind != NO_SUMS:
            dx.sums[tile] = 0
        for row in range(height):
            for channel in range(channels):
                pending, first, second = coefficients(gate, channel), zero, zero
                lines = lines_of(dy, windows, covering, tile, row, channel)
                for column in range(width):
                    v = _won(zero, dy, winners, lines, covering, column)
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
