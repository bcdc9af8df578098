"""Planes without the pixels that a stride passes over, and gradients with these pixels again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.lazy import (
    add_sums,
    below,
    coefficients,
    completed,
    finish_pixel,
    is_large,
    sums_of,
)
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import first_of, multiply, splat
from sparsecpu.kernels.vectors.memory import fence, load, store, store_output


def plain_thinned(x: np.ndarray, step: tuple[int, int]) -> np.ndarray:
    """Return the planes' pixels of every ``step``-th row and column."""
    return x[:, :: step[0], :, :: step[1]]


def plain_widened(g: np.ndarray, step: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return planes of a size with the pixels of ``g`` a step apart and zeros between them."""
    tiles, _, channels, _, lanes = g.shape
    wide = np.zeros((tiles, size[0], channels, size[1], lanes), g.dtype)
    plain_thinned(wide, step)[...] = g
    return wide


@functools.cache
def thin_kernel(lanes: int) -> Callable:
    """Return the kernel of ``plain_thinned``: ``thin(x, step, out)``; a tile has one worker.

    ``step`` is int64, (rows, columns).
    """

    @kernel(addressed=True)
    def work(tile, x, step, out):
        _, height, channels, width, _ = out.shape
        apart = step[1] * lanes
        for row in range(height):
            for channel in range(channels):
                line = (np.int64(tile) * x.shape[1] + row * step[0]) * channels + channel
                there = line * x.shape[3] * lanes
                here = ((np.int64(tile) * height + row) * channels + channel) * width * lanes
                for place in range(here, here + width * lanes, lanes):
                    store(out, place, load(x, there, lanes))
                    there += apart
        fence()

    run = spread(work)

    def thin(x: np.ndarray, step: np.ndarray, out: np.ndarray) -> None:
        run(len(x), x.dtype, x, step, out)

    return thin


@functools.cache
def widen_kernel(lanes: int) -> Callable:
    """Return the kernel of ``plain_widened(g) + out.plus``, gated and summed, a worker to a tile.

    ``widen(g, step, out, gate, mask)`` takes what ``kernels.conv.operands`` describes; ``mask`` is
    ``(tiles, lanes)``, 0 for padding lanes.
    """

    @kernel(addressed=True)
    def work(tile, g, step, out, gate, mask):
        zero = splat(g.dtype.type(0), lanes)
        _, height, channels, width, _ = out.y.shape
        lane_mask, large = load(mask, np.int64(tile) * lanes, lanes), is_large(out.y)
        numbers = multiply(lane_mask, splat(g.dtype.type(width), lanes))
        if out.kind != NO_SUMS:
            out.sums[tile] = 0
        for row in range(height):
            line = (np.int64(tile) * g.shape[1] + row // step[0]) * channels
            for channel in range(channels):
                pending, added = coefficients(gate, channel), coefficients(out.plus, channel)
                total, other, shift, centre = zero, zero, zero, g.dtype.type(0)
                begin = ((np.int64(tile) * height + row) * channels + channel) * width * lanes
                there = (line + channel) * g.shape[3] * lanes
                # the next pixel that is in g; beyond the line in rows that are not
                seen = begin if row % step[0] == 0 else begin + width * lanes
                for place in range(begin, begin + width * lanes, lanes):
                    v = zero
                    if place == seen:
                        v = load(g, there, lanes)
                        there, seen = there + lanes, seen + step[1] * lanes
                    v = completed(v, place, out, added)
                    if place == begin:
                        centre = first_of(v)
                        shift = below(centre, lane_mask)
                    v, total, other = finish_pixel(v, place, out, gate, pending, lane_mask, shift,
                                                   total, other)  # fmt: skip
                    store_output(out.y, place, v, large)
                add_sums(out, sums_of(tile, channel, out), total, other, centre, numbers)
        fence()

    run = spread(work)

    def widen(g: np.ndarray, *others: Any) -> None:
        run(len(g), g.dtype, g, *others)

    return widen
