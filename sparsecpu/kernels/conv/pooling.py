"""Max and average pooling of planes, and their gradients.

Maxima keep which pixel won, a byte each; gradients are gathered pixel by pixel from the windows
that a pixel is in, so that each has one writer. ``mask`` is ``(tiles, lanes)``, 0 for padding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
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
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    fma,
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


def plain_windows(x: np.ndarray, windows: Windows) -> Iterator[tuple]:
    """Yield where each window lies in the output, and the part of it that lies in the image."""
    (height, width), (down, across), (top, left) = windows
    for i in range((x.shape[0] + 2 * top - height) // down + 1):
        for j in range((x.shape[1] + 2 * left - width) // across + 1):
            row, column = i * down - top, j * across - left
            rows = slice(max(row, 0), row + height)
            yield (i, j), (rows, slice(max(column, 0), column + width))


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


def plain_average_pool(x: np.ndarray, windows: Windows, y: np.ndarray) -> None:
    """Write the mean of each window of one image; pixels of the padding count as 0."""
    for place, window in plain_windows(x, windows):
        y[place] = x[window].sum() / np.prod(windows.size)


def plain_average_pool_gradient(dy: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
    """Divide each gradient among the pixels of its window."""
    for place, window in plain_windows(dx, windows):
        dx[window] += dy[place] / np.prod(windows.size)


@kernel(inlined=True)
def _place(planes, tile, row, channel, column):
    """Return where a pixel lies in planes."""
    _, height, channels, width, lanes = planes.shape
    line = (np.int64(tile) * height + row) * channels + channel
    return (line * width + column) * lanes


@kernel(inlined=True)
def _clipped(begin, size, end):
    """Return the part of some rows or columns that lies in the image."""
    return max(0, begin), min(end, begin + size)


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
        first_row, end_row = _clipped(top, size[0], height)
        for channel in range(channels):
            pending = coefficients(inputs, channel)
            for column_out in range(y.shape[3]):
                left = column_out * windows.stride[1] - windows.padding[1]
                first_column, end_column = _clipped(left, size[1], width)
                best, winner = splat(zero, lanes), splat(zero, lanes)
                fresh = True
                for row in range(first_row, end_row):
                    for column in range(first_column, end_column):
                        place = _place(inputs.values, tile, row, channel, column)
                        v = read(inputs, pending, place, best)
                        number = (row - top) * size[1] + column - left
                        this = splat(y.dtype.type(number), lanes)
                        if fresh:
                            best, winner, fresh = v, this, False
                        winner = where_larger(v, best, this, winner)
                        best = where_larger(v, best, v, best)
                place = _place(y, tile, row_out, channel, column_out)
                store(y, place, positive_part(best) if relu else best)
                store_bytes(winners, place, winner)

    run = spread(work)

    def max_pool(inputs: Operand, windows: Windows, y: np.ndarray, winners: np.ndarray) -> None:
        run(y.shape[0] * y.shape[1], y.dtype, inputs, windows, y, winners)

    return max_pool


@kernel(inlined=True)
def _won(zero, dy, winners, windows, covering, tile, row, channel, column):
    """Return the sum of the gradients of the windows that a pixel has won."""
    size, stride, padding = windows
    v = zero
    for row_out in range(covering.down[row, 0], covering.down[row, 1]):
        first = (row + padding[0] - row_out * stride[0]) * size[1] + padding[1]
        for column_out in range(covering.across[column, 0], covering.across[column, 1]):
            place = _place(dy, tile, row_out, channel, column_out)
            number = dy.dtype.type(first + column - column_out * stride[1])
            winner = load_bytes(winners, place, zero)
            v = add(v, where_equal(winner, number, load_like(dy, place, zero)))
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
                for column in range(width):
                    v = _won(zero, dy, winners, windows, covering, tile, row, channel, column)
                    place = _place(dx.y, tile, row, channel, column)
                    v, first, second = finish_pixel(v, place, dx, gate, pending, lane_mask, zero,
                                                    first, second)  # fmt: skip
                    store_output(dx.y, place, v, large)
                add_sums(dx, sums_of(tile, channel, dx), first, second, none, zero)
        fence()

    run = spread(work)

    def gradient(dy: np.ndarray, *others: Any) -> None:
        run(len(dy), dy.dtype, dy, *others)

    return gradient


@functools.cache
def average_pool_kernel(lanes: int) -> Callable:
    """Return the kernel of average pooling, ``average(inputs, windows, y)``."""

    @kernel(addressed=True)
    def work(job, inputs, windows, y):
        height, channels, width = inputs.values.shape[1:4]
        size, part = windows.size, y.dtype.type(1.0 / (windows.size[0] * windows.size[1]))
        tile, row_out = job // y.shape[1], job % y.shape[1]
        top = row_out * windows.stride[0] - windows.padding[0]
        first_row, end_row = _clipped(top, size[0], height)
        for channel in range(channels):
            pending = coefficients(inputs, channel)
            for column_out in range(y.shape[3]):
                left = column_out * windows.stride[1] - windows.padding[1]
                first_column, end_column = _clipped(left, size[1], width)
                total = splat(y.dtype.type(0), lanes)
                for row in range(first_row, end_row):
                    for column in range(first_column, end_column):
                        place = _place(inputs.values, tile, row, channel, column)
                        total = fma(total, part, read(inputs, pending, place, total))
                store(y, _place(y, tile, row_out, channel, column_out), total)

    run = spread(work)

    def average(inputs: Operand, windows: Windows, y: np.ndarray) -> None:
        run(y.shape[0] * y.shape[1], y.dtype, inputs, windows, y)

    return average


@kernel(inlined=True)
def _divided(zero, dy, part, covering, tile, row, channel, column):
    """Return what a pixel gets of the gradients of the windows that it is in."""
    total = zero
    for row_out in range(covering.down[row, 0], covering.down[row, 1]):
        for column_out in range(covering.across[column, 0], covering.across[column, 1]):
            place = _place(dy, tile, row_out, channel, column_out)
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
                for column in range(width):
                    v = _divided(zero, dy, part, covering, tile, row, channel, column)
                    place = _place(dx.y, tile, row, channel, column)
                    v, first, second = finish_pixel(v, place, dx, gate, pending, lane_mask, zero,
                                                    first, second)  # fmt: skip
                    store_output(dx.y, place, v, large)
                add_sums(dx, sums_of(tile, channel, dx), first, second, none, zero)
        fence()

    run = spread(work)

    def gradient(dy: np.ndarray, *others: Any) -> None:
        run(len(dy), dy.dtype, dy, *others)

    return gradient
