"""Windows of pooling: where they lie in planes, and which of them a row of pixels is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.operands import Windows
from sparsecpu.kernels.machine.compile import kernel


def plain_windows(x: np.ndarray, windows: Windows) -> Iterator[tuple]:
    """Yield where each window lies in the output, and the part of it that lies in the image."""
    (height, width), (down, across), (top, left) = windows
    for i in range((x.shape[0] + 2 * top - height) // down + 1):
        for j in range((x.shape[1] + 2 * left - width) // across + 1):
            row, column = i * down - top, j * across - left
            rows = slice(max(row, 0), row + height)
            yield (i, j), (rows, slice(max(column, 0), column + width))


@kernel(inlined=True)
def place_of_pixel(planes, tile, row, channel, column):
    """Return where a pixel lies in planes."""
    _, height, channels, width, lanes = planes.shape
    line = (np.int64(tile) * height + row) * channels + channel
    return (line * width + column) * lanes


@kernel(inlined=True)
def clipped(begin, size, end):
    """Return the part of some rows or columns that lies in the image."""
    return max(0, begin), min(end, begin + size)


class LinesOfWindows(NamedTuple):
    """The windows that a row of pixels is in: for one channel, where their gradients lie.

    There are as many lines as ``rows``, the first of them from ``first`` on and each ``apart`` from
    the one before. In the window of column w in line n, the pixel of column c has the number
    ``number + c - w * across - n * down``, counted from the window's top left.
    """

    first: int
    apart: int
    rows: int
    number: int
    across: int
    down: int


@kernel(inlined=True)
def lines_of(dy, windows, covering, tile, row, channel):
    """Return the windows that a row of pixels is in."""
    size, stride, padding = windows
    first, end = covering.down[row, 0], covering.down[row, 1]
    _, _, channels, width, lanes = dy.shape
    number = (row + padding[0] - first * stride[0]) * size[1] + padding[1]
    start, apart = place_of_pixel(dy, tile, first, channel, 0), np.int64(channels) * width * lanes
    return LinesOfWindows(start, apart, end - first, number, stride[1], stride[0] * size[1])
