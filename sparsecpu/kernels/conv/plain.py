"""What a sparse convolution computes, with a ring, on one image; the kernels do it strip by strip.

Tap k is a nonzero: output channel ``row[k]`` reads channel ``channel[k]`` at ``ky[k], kx[k]`` of
the filter. ``x`` is ``(channels, height, width)``, ``y`` and ``dy`` ``(filters, height, width)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class PlainTaps(NamedTuple):
    """The nonzeros of a convolution's weights, and how many rows and columns a filter has."""

    row: np.ndarray
    channel: np.ndarray
    ky: np.ndarray
    kx: np.ndarray
    size: tuple[int, int]


def plain_ring(x: np.ndarray, size: tuple[int, int], padding: int) -> Iterator[np.ndarray]:
    """Yield, for each row of outputs, the ring with the rows that it sees: row r at ``r % depth``.

    It is one array, ``(depth, channels, width + 2 padding)``, in which new rows replace old ones.
    """
    channels, height, width = x.shape
    depth = size[0]
    ring = np.zeros((depth, channels, width + 2 * padding), x.dtype)
    ready = 0
    for row in range(height + 2 * padding - depth + 1):
        for new in range(ready, row + depth):  # counted from the first row of padding
            inside = 0 <= new - padding < height
            ring[new % depth, :, padding : padding + width] = x[:, new - padding] if inside else 0
        ready = row + depth
        yield ring


def plain_convolution(
    x: np.ndarray, taps: PlainTaps, weights: np.ndarray, bias: np.ndarray, padding: int
) -> np.ndarray:
    """Return y: each output is a sum over its taps, a shifted row of the ring for each."""
    width = x.shape[2] + 2 * padding - taps.size[1] + 1
    y = np.zeros((len(bias), x.shape[1] + 2 * padding - taps.size[0] + 1, width), x.dtype)
    y += bias[:, None, None]
    for row, ring in enumerate(plain_ring(x, taps.size, padding)):
        for i, channel, ky, kx, w in zip(*taps[:4], weights, strict=True):
            y[i, row] += w * ring[(row + ky) % len(ring), channel, kx : kx + width]
    return y


def plain_filter_gradient(
    x: np.ndarray, dy: np.ndarray, taps: PlainTaps, padding: int
) -> np.ndarray:
    """Return dW at the nonzeros: the dot product of each tap's shifted rows with dy."""
    dw, width = np.zeros(len(taps.row), x.dtype), dy.shape[2]
    for row, ring in enumerate(plain_ring(x, taps.size, padding)):
        for k, (i, channel, ky, kx) in enumerate(zip(*taps[:4], strict=True)):
            dw[k] += dy[i, row] @ ring[(row + ky) % len(ring), channel, kx : kx + width]
    return dw


def plain_input_gradient(
    dy: np.ndarray, taps: PlainTaps, weights: np.ndarray, channels: int, padding: int
) -> np.ndarray:
    """Return dx: a convolution over dy with filters turned around, inputs and outputs swapped."""
    height, width = taps.size
    turned = PlainTaps(taps.channel, taps.row, height - 1 - taps.ky, width - 1 - taps.kx, taps.size)
    return plain_convolution(
        dy, turned, weights, np.zeros(channels, dy.dtype), height - 1 - padding
    )
