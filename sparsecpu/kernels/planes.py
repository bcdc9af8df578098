"""Passes over planes ``(tiles, height, channels, width, lanes)``: blending, pooling, their sums.

An operand is a lazy plane: ``relu(a * values + b * other + c)``, channel by channel; ``a`` is empty
where values are meant as they are, ``b`` where there is no other. Where there is a ``gate``, a
result is 0 where ``gate_a * gate + gate_c <= 0`` (``gate <= 0`` with an empty ``gate_a``).
``sums`` is ``(tiles, channels, 2, lanes)``, of the kinds of ``kernels.conv``; ``mask`` is
``(tiles, lanes)``, 0 for padding lanes. Each tile has one worker.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.compile import kernel
from sparsecpu.kernels.conv import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.simd import (
    add,
    at,
    fma,
    load,
    load_like,
    multiply,
    positive_part,
    splat,
    splat_like,
    store,
    where_positive,
)


@kernel()
def read(zero, values, other, a, b, c, relu, channel, place):
    """Read one pixel of an operand, as many lanes as the vector ``zero`` has."""
    v = load_like(values, place, zero)
    if a.shape[0] > 0:
        v = fma(splat_like(at(c, channel), zero), at(a, channel), v)
    if b.shape[0] > 0:
        v = fma(v, at(b, channel), load_like(other, place, zero))
    if relu:
        v = positive_part(v)
    return v


@kernel()
def finish(v, gate, gate_a, gate_c, channel, place, sums, spot, kind, lane_mask):
    """Gate one pixel of a result and add it to the sums."""
    lanes = gate.shape[4]
    if gate.shape[0] > 0:
        u = load_like(gate, place, v)
        lifted = u
        if gate_a.shape[0] > 0:
            lifted = fma(splat_like(at(gate_c, channel), v), at(gate_a, channel), u)
        v = where_positive(v, lifted)
        if kind == PRODUCTS:
            masked = multiply(v, lane_mask)
            store(sums, spot, add(load_like(sums, spot, v), masked))
            second = add(load_like(sums, spot + lanes, v), multiply(masked, u))
            store(sums, spot + lanes, second)
    if kind == MOMENTS:
        lanes = sums.shape[3]
        masked = multiply(v, lane_mask)
        store(sums, spot, add(load_like(sums, spot, v), masked))
        second = add(load_like(sums, spot + lanes, v), multiply(masked, masked))
        store(sums, spot + lanes, second)
    return v


@functools.cache
def blend_kernel(lanes: int) -> Callable:
    """Return the kernel of ``out = first + second``, with what may come after.

    Parameters
    ----------
    lanes : int
        Samples per tile.

    Returns
    -------
    callable
        ``blend(v1, o1, a1, b1, c1, relu1, v2, o2, a2, b2, c2, relu2, relu, gate, gate_a, gate_c,
        out, sums, kind, mask)``; an empty ``v2`` stands for no second operand, an empty ``out`` for
        sums alone. ``relu`` makes the result ``max(result, 0)``.
    """

    @kernel(parallel=True)
    def blend(
        v1, o1, a1, b1, c1, relu1, v2, o2, a2, b2, c2, relu2, relu, gate, gate_a, gate_c, out,
        sums, kind, mask,
    ):  # fmt: skip
        tiles, height, channels, width = v1.shape[:4]
        for tile in prange(tiles):
            zero = splat(out.dtype.type(0), lanes)
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            for row in range(height):
                for channel in range(channels):
                    first = ((tile * height + row) * channels + channel) * width
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    for column in range(width):
                        place = np.int64(first + column) * lanes
                        v = read(zero, v1, o1, a1, b1, c1, relu1, np.int64(channel), place)
                        if v2.shape[0] > 0:
                            u = read(zero, v2, o2, a2, b2, c2, relu2, np.int64(channel), place)
                            v = add(v, u)
                        if relu:
                            v = positive_part(v)
                        v = finish(v, gate, gate_a, gate_c, np.int64(channel), place, sums, spot,
                                   kind, lane_mask)  # fmt: skip
                        if out.shape[0] > 0:
                            store(out, place, v)

    return blend


@functools.cache
def max_pool_kernel(lanes: int) -> Callable:
    """Return the kernel of max pooling.

    Parameters
    ----------
    lanes : int
        Samples per tile.

    Returns
    -------
    callable
        ``max_pool(values, a, c, relu, kernel, stride, padding, out, winners)``: ``winners`` says
        which pixel of the window each maximum is, counted from its top left; of equal ones the
        first.
    """

    @kernel(parallel=True)
    def max_pool(values, a, c, relu, size, stride, padding, out, winners):
        tiles, height, channels, width = values.shape[:4]
        out_height, out_width = out.shape[1], out.shape[3]
        slope, shift = out.dtype.type(1), out.dtype.type(0)
        for job in prange(tiles * out_height):
            tile, row_out = job // out_height, job % out_height
            top = row_out * stride[0] - padding[0]
            for channel in range(channels):
                if a.shape[0] > 0:
                    slope, shift = a[channel], c[channel]
                for column_out in range(out_width):
                    left = column_out * stride[1] - padding[1]
                    best = out[tile, row_out, channel, column_out]
                    winner = winners[tile, row_out, channel, column_out]
                    fresh = True
                    for ky in range(max(0, -top), min(size[0], height - top)):
                        for kx in range(max(0, -left), min(size[1], width - left)):
                            pixel = values[tile, top + ky, channel, left + kx]
                            number = np.uint8(ky * size[1] + kx)
                            if fresh:
                                for lane in range(lanes):
                                    best[lane] = slope * pixel[lane] + shift
                                    winner[lane] = number
                                fresh = False
                                continue
                            for lane in range(lanes):
                                v = slope * pixel[lane] + shift
                                larger = v > best[lane] or v != v  # NaN wins, as it should
                                best[lane] = v if larger else best[lane]
                                winner[lane] = number if larger else winner[lane]
                    if relu:
                        for lane in range(lanes):
                            best[lane] = best[lane] if not best[lane] < 0 else shift - shift

    return max_pool


@functools.cache
def max_pool_gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of max pooling's backward pass.

    Parameters
    ----------
    lanes : int
        Samples per tile.

    Returns
    -------
    callable
        ``gradient(dy, winners, kernel, stride, padding, gate, gate_a, gate_c, dx, sums, kind,
        mask)``.
    """

    @kernel(parallel=True)
    def gradient(
        dy, winners, size, stride, padding, gate, gate_a, gate_c, dx, sums, kind, mask
    ):  # fmt: skip
        tiles, height, channels, width = dx.shape[:4]
        out_height, out_width = dy.shape[1], dy.shape[3]
        for tile in prange(tiles):
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            dx[tile] = 0
            for row_out in range(out_height):
                top = row_out * stride[0] - padding[0]
                for channel in range(channels):
                    for column_out in range(out_width):
                        left = column_out * stride[1] - padding[1]
                        winner = winners[tile, row_out, channel, column_out]
                        amount = dy[tile, row_out, channel, column_out]
                        for ky in range(max(0, -top), min(size[0], height - top)):
                            for kx in range(max(0, -left), min(size[1], width - left)):
                                pixel = dx[tile, top + ky, channel, left + kx]
                                number = np.uint8(ky * size[1] + kx)
                                for lane in range(lanes):
                                    hit = winner[lane] == number
                                    pixel[lane] += amount[lane] if hit else dx.dtype.type(0)
            if gate.shape[0] == 0:
                continue
            for row in range(height):
                for channel in range(channels):
                    first = ((tile * height + row) * channels + channel) * width
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    for column in range(width):
                        place = np.int64(first + column) * lanes
                        v = finish(load(dx, place, lanes), gate, gate_a, gate_c, np.int64(channel),
                                   place, sums, spot, kind, lane_mask)  # fmt: skip
                        store(dx, place, v)

    return gradient


@functools.cache
def average_pool_kernel(lanes: int) -> Callable:
    """Return the kernel of average pooling; pixels of the padding count as 0.

    Parameters
    ----------
    lanes : int
        Samples per tile.

    Returns
    -------
    callable
        ``average(values, a, c, relu, kernel, stride, padding, out)``.
    """

    @kernel(parallel=True)
    def average(values, a, c, relu, size, stride, padding, out):
        tiles, height, channels, width = values.shape[:4]
        out_height, out_width = out.shape[1], out.shape[3]
        share = out.dtype.type(1.0 / (size[0] * size[1]))
        for job in prange(tiles * out_height):
            tile, row_out = job // out_height, job % out_height
            top = row_out * stride[0] - padding[0]
            for channel in range(channels):
                for column_out in range(out_width):
                    left = column_out * stride[1] - padding[1]
                    zero = splat(out.dtype.type(0), lanes)
                    total = zero
                    for row in range(max(0, top), min(height, top + size[0])):
                        for column in range(max(0, left), min(width, left + size[1])):
                            place = ((tile * height + row) * channels + channel) * width + column
                            v = read(zero, values, values, a, a[:0], c, relu, np.int64(channel),
                                     np.int64(place) * lanes)  # fmt: skip
                            total = fma(total, share, v)
                    place = ((tile * out_height + row_out) * channels + channel) * out_width
                    store(out, np.int64(place + column_out) * lanes, total)

    return average


@functools.cache
def average_pool_gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of average pooling's backward pass.

    Parameters
    ----------
    lanes : int
        Samples per tile.

    Returns
    -------
    callable
        ``gradient(dy, kernel, stride, padding, gate, gate_a, gate_c, dx, sums, kind, mask)``.
    """

    @kernel(parallel=True)
    def gradient(dy, size, stride, padding, gate, gate_a, gate_c, dx, sums, kind, mask):
        tiles, height, channels, width = dx.shape[:4]
        out_height, out_width = dy.shape[1], dy.shape[3]
        share = dx.dtype.type(1.0 / (size[0] * size[1]))
        for tile in prange(tiles):
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            for row in range(height):
                low = max(0, (row + padding[0] - size[0] + stride[0]) // stride[0])
                high = min(out_height, (row + padding[0]) // stride[0] + 1)
                for channel in range(channels):
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    for column in range(width):
                        left = max(0, (column + padding[1] - size[1] + stride[1]) // stride[1])
                        right = min(out_width, (column + padding[1]) // stride[1] + 1)
                        total = splat(dx.dtype.type(0), lanes)
                        for row_out in range(low, high):
                            for column_out in range(left, right):
                                place = (tile * out_height + row_out) * channels + channel
                                place = np.int64(place * out_width + column_out) * lanes
                                total = fma(total, share, load(dy, place, lanes))
                        place = ((tile * height + row) * channels + channel) * width + column
                        place = np.int64(place) * lanes
                        total = finish(total, gate, gate_a, gate_c, np.int64(channel), place, sums,
                                       spot, kind, lane_mask)  # fmt: skip
                        store(dx, place, total)

    return gradient
