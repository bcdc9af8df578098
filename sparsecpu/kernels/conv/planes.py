"""Passes over planes ``(tiles, height, channels, width, lanes)``: blending, pooling, their sums.

An operand is a lazy plane: ``relu(a * values + b * other + c)``, channel by channel; ``a`` is empty
where values are meant as they are, ``b`` where there is no other. Where there is a ``gate``, a
result is 0 where ``gate_a * gate + gate_c <= 0`` (``gate <= 0`` with an empty ``gate_a``).
``sums`` is ``(tiles, channels, 2, lanes)``, of the kinds of ``kernels.rows``; ``mask`` is
``(tiles, lanes)``, 0 for padding lanes. Each tile has one worker.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.conv.rows import LARGE, MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.operations import (
    add,
    at,
    fence,
    fma,
    load,
    load_bytes,
    load_like,
    multiply,
    positive_part,
    put,
    splat,
    splat_like,
    store,
    store_bytes,
    where_equal,
    where_larger,
    where_positive,
)


@kernel(part=True)
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


@kernel(part=True)
def finish(v, gate, gate_a, gate_c, channel, place, first, second, kind, lane_mask):
    """Gate one pixel of a result and add it to two sums: return all three."""
    if gate.shape[0] > 0:
        u = load_like(gate, place, v)
        lifted = u
        if gate_a.shape[0] > 0:
            lifted = fma(splat_like(at(gate_c, channel), v), at(gate_a, channel), u)
        v = where_positive(v, lifted)
        if kind == PRODUCTS:
            masked = multiply(v, lane_mask)
            first, second = add(first, masked), add(second, multiply(masked, u))
    if kind == MOMENTS:
        masked = multiply(v, lane_mask)
        first, second = add(first, masked), add(second, multiply(masked, masked))
    return v, first, second


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
        large = out.size * out.itemsize >= LARGE
        for tile in prange(tiles):
            zero = splat(out.dtype.type(0), lanes)
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            for row in range(height):
                for channel in range(channels):
                    first = ((tile * height + row) * channels + channel) * width
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    p, q = zero, zero
                    if kind != NO_SUMS:
                        p, q = load(sums, spot, lanes), load(sums, spot + lanes, lanes)
                    for column in range(width):
                        place = np.int64(first + column) * lanes
                        v = read(zero, v1, o1, a1, b1, c1, relu1, np.int64(channel), place)
                        if v2.shape[0] > 0:
                            u = read(zero, v2, o2, a2, b2, c2, relu2, np.int64(channel), place)
                            v = add(v, u)
                        if relu:
                            v = positive_part(v)
                        v, p, q = finish(v, gate, gate_a, gate_c, np.int64(channel), place, p, q,
                                         kind, lane_mask)  # fmt: skip
                        if out.shape[0] > 0:
                            put(out, place, v, large)
                    if kind != NO_SUMS:
                        store(sums, spot, p)
                        store(sums, spot + lanes, q)
            fence()

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
        ``max_pool(values, other, a, b, c, relu, kernel, stride, padding, out, winners)``:
        ``winners`` says which pixel of the window each maximum is, counted from its top left; of
        equal ones the first.
    """

    @kernel(parallel=True)
    def max_pool(values, other, a, b, c, relu, size, stride, padding, out, winners):
        tiles, height, channels, width = values.shape[:4]
        out_height, out_width = out.shape[1], out.shape[3]
        for job in prange(tiles * out_height):
            zero = out.dtype.type(0)
            tile, row_out = job // out_height, job % out_height
            top = row_out * stride[0] - padding[0]
            for channel in range(channels):
                place_out = ((tile * out_height + row_out) * channels + channel) * out_width
                for column_out in range(out_width):
                    left = column_out * stride[1] - padding[1]
                    best, winner = splat(zero, lanes), splat(zero, lanes)
                    fresh = True
                    for row in range(max(0, top), min(height, top + size[0])):
                        for column in range(max(0, left), min(width, left + size[1])):
                            place = ((tile * height + row) * channels + channel) * width + column
                            v = read(splat(zero, lanes), values, other, a, b, c, False,
                                     np.int64(channel), np.int64(place) * lanes)  # fmt: skip
                            number = (row - top) * size[1] + column - left
                            this = splat(out.dtype.type(number), lanes)
                            if fresh:
                                best, winner, fresh = v, this, False
                            winner = where_larger(v, best, this, winner)
                            best = where_larger(v, best, v, best)
                    place = np.int64(place_out + column_out) * lanes
                    store(out, place, positive_part(best) if relu else best)
                    store_bytes(winners, place, winner)

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
        ``gradient(dy, winners, kernel, stride, padding, down, across, gate, gate_a, gate_c, dx,
        sums, kind, mask)``: for each row and each column of dx, ``down`` and ``across`` have the
        first window that it is in and the one after the last.
    """

    @kernel(parallel=True)
    def gradient(
        dy, winners, size, stride, padding, down, across, gate, gate_a, gate_c, dx, sums, kind,
        mask,
    ):  # fmt: skip
        tiles, height, channels, width = dx.shape[:4]
        large = dx.size * dx.itemsize >= LARGE
        out_height, out_width = dy.shape[1], dy.shape[3]
        for tile in prange(tiles):
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            for row in range(height):
                low, high = down[row, 0], down[row, 1]
                for channel in range(channels):
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    p, q = splat(dx.dtype.type(0), lanes), splat(dx.dtype.type(0), lanes)
                    if kind != NO_SUMS:
                        p, q = load(sums, spot, lanes), load(sums, spot + lanes, lanes)
                    for column in range(width):
                        left, right = across[column, 0], across[column, 1]
                        v = splat(dx.dtype.type(0), lanes)
                        for row_out in range(low, high):
                            first = (row + padding[0] - row_out * stride[0]) * size[1] + padding[1]
                            for column_out in range(left, right):
                                place = (tile * out_height + row_out) * channels + channel
                                place = np.int64(place * out_width + column_out) * lanes
                                number = dx.dtype.type(first + column - column_out * stride[1])
                                winner = load_bytes(winners, place, v)
                                v = add(v, where_equal(winner, number, load(dy, place, lanes)))
                        place = ((tile * height + row) * channels + channel) * width + column
                        place = np.int64(place) * lanes
                        v, p, q = finish(v, gate, gate_a, gate_c, np.int64(channel), place, p, q,
                                         kind, lane_mask)  # fmt: skip
                        put(dx, place, v, large)
                    if kind != NO_SUMS:
                        store(sums, spot, p)
                        store(sums, spot + lanes, q)
            fence()

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
        ``average(values, other, a, b, c, relu, kernel, stride, padding, out)``.
    """

    @kernel(parallel=True)
    def average(values, other, a, b, c, relu, size, stride, padding, out):
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
                            v = read(zero, values, other, a, b, c, relu, np.int64(channel),
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
        ``gradient(dy, kernel, down, across, gate, gate_a, gate_c, dx, sums, kind, mask)``, with
        ``down`` and ``across`` as ``max_pool_gradient_kernel`` has them.
    """

    @kernel(parallel=True)
    def gradient(dy, size, down, across, gate, gate_a, gate_c, dx, sums, kind, mask):
        tiles, height, channels, width = dx.shape[:4]
        large = dx.size * dx.itemsize >= LARGE
        out_height, out_width = dy.shape[1], dy.shape[3]
        share = dx.dtype.type(1.0 / (size[0] * size[1]))
        for tile in prange(tiles):
            if kind != NO_SUMS:
                sums[tile] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            for row in range(height):
                low, high = down[row, 0], down[row, 1]
                for channel in range(channels):
                    spot = ((np.int64(tile) * channels + channel) * 2) * lanes
                    p, q = splat(dx.dtype.type(0), lanes), splat(dx.dtype.type(0), lanes)
                    if kind != NO_SUMS:
                        p, q = load(sums, spot, lanes), load(sums, spot + lanes, lanes)
                    for column in range(width):
                        left, right = across[column, 0], across[column, 1]
                        total = splat(dx.dtype.type(0), lanes)
                        for row_out in range(low, high):
                            for column_out in range(left, right):
                                place = (tile * out_height + row_out) * channels + channel
                                place = np.int64(place * out_width + column_out) * lanes
                                total = fma(total, share, load(dy, place, lanes))
                        place = ((tile * height + row) * channels + channel) * width + column
                        place = np.int64(place) * lanes
                        total, p, q = finish(total, gate, gate_a, gate_c, np.int64(channel), place,
                                             p, q, kind, lane_mask)  # fmt: skip
                        put(dx, place, total, large)
                    if kind != NO_SUMS:
                        store(sums, spot, p)
                        store(sums, spot + lanes, q)
            fence()

    return gradient
