"""Rows of planes on their way into a convolution's ring, beside it and out of it.

Vectors of zeros tell widths: ``blank`` is one pixel's lanes, ``wide`` a strip's. In ``scratch``,
from ``desk`` on, the outputs of a row lie channel by channel, ``chunk`` columns of ``abreast``
tiles each.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.compile import kernel
from sparsecpu.kernels.pixels import store_pixels
from sparsecpu.kernels.simd import (
    add,
    at,
    count,
    fma,
    folded,
    load_like,
    multiply,
    positive_part,
    put,
    repeated,
    splat_like,
    store,
    where_positive,
)

#: What is summed over pixels beside an output: nothing; y and its square; dx and dx times x.
NO_SUMS, MOMENTS, PRODUCTS = 0, 1, 2
#: Bytes of an output from which on it is written past the caches: it would not stay there.
LARGE = 16_000_000


@kernel(part=True)
def pack(
    zero, four, values, other, a, b, c, relu, row, channels, width, first, across, step, room,
    apart, ring, place,
):  # fmt: skip
    """Write columns of row ``row`` of the planes, from ``first`` on; a row below 0 is 0.

    ``zero`` is a vector of one pixel's lanes and ``four`` one of four pixels'; ``row`` counts
    rows of all tiles. Columns ``across`` apart come to stand side by side, ``apart`` numbers from
    one to the next, more than a pixel's where other tiles' go in between.
    """
    lanes = values.shape[4]
    for q in range(step):
        column = first + q
        low, high = 0, 0
        if row >= 0:
            low = min(room, max(0, (-column + across - 1) // across))
            high = max(low, min(room, (width - column + across - 1) // across))
        for channel in range(channels):
            here = place + (channel * step + q) * room * apart
            source = ((row * channels + channel) * width + column) * lanes
            for j in range(low):
                store_pixels(ring, here + j * apart, zero, zero)
            fours = low  # pixels that are read four at a time end here
            if across == 1 and apart == lanes:
                fours += (high - low) // 4 * 4
            pixel = across * lanes
            if a.shape[0] == 0:
                for j in range(low, fours, 4):
                    store_pixels(
                        ring, here + j * apart, load_like(values, source + j * pixel, four), zero
                    )
                for j in range(fours, high):
                    store_pixels(
                        ring, here + j * apart, load_like(values, source + j * pixel, zero), zero
                    )
            elif b.shape[0] == 0:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    store_pixels(ring, here + j * apart, positive_part(v) if relu else v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    store_pixels(ring, here + j * apart, positive_part(u) if relu else u, zero)
            else:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    v = fma(v, at(b, channel), load_like(other, source + j * pixel, four))
                    store_pixels(ring, here + j * apart, v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    u = fma(u, at(b, channel), load_like(other, source + j * pixel, zero))
                    store_pixels(ring, here + j * apart, u, zero)
            for j in range(high, room):
                store_pixels(ring, here + j * apart, zero, zero)


@kernel(part=True)
def stage(
    blank, wide, values, other, a, b, c, relu, mask, row, first, skip, inside, leader, strips,
    chunk, abreast, scratch, desk,
):  # fmt: skip
    """Lay out a row of planes, from column ``first`` on, as the outputs of a row lie.

    It is ``inside`` pixels, ``skip`` columns apart, of ``abreast`` tiles from ``leader`` on. Lanes
    of padding are 0, and so are the pixels that fill up the last strip.
    """
    tiles, height, channels, width, lanes = values.shape
    strip, inside = count(wide) // lanes, max(0, inside)
    there = min(abreast, tiles - leader)
    whole = inside // strip * strip if skip * abreast == 1 else 0
    size = np.int64(chunk) * abreast * lanes
    if inside * there < strips * strip:
        for i in range(channels):
            for p in range(whole * abreast, strips * strip, strip):
                store(scratch, desk + i * size + p * lanes, wide)
    one, zero = values.dtype.type(1), values.dtype.type(0)
    for turn in range(there * channels):
        tile, i = leader + turn // channels, np.int64(turn % channels)
        lane_mask = load_like(mask, np.int64(tile) * lanes, blank)
        wide_mask = repeated(lane_mask, wide)
        here = (((np.int64(tile) * height + row) * channels + i) * width + first) * lanes
        waits = desk + i * size + (tile - leader) * lanes
        slope, shift, more = one, zero, zero
        if a.shape[0] > 0:
            slope, shift = at(a, i), at(c, i)
        if b.shape[0] > 0:
            more = at(b, i)
        for p in range(0, whole, strip):
            v = load_like(values, here + p * lanes, wide)
            if a.shape[0] > 0:
                v = fma(splat_like(shift, wide), slope, v)
            if b.shape[0] > 0:
                v = fma(v, more, load_like(other, here + p * lanes, wide))
            if relu:
                v = positive_part(v)
            v = multiply(v, wide_mask)
            store(scratch, waits + p * lanes, v)
        for p in range(whole, inside):
            place = here + p * skip * lanes
            u = load_like(values, place, blank)
            if a.shape[0] > 0:
                u = fma(splat_like(shift, blank), slope, u)
            if b.shape[0] > 0:
                u = fma(u, more, load_like(other, place, blank))
            if relu:
                u = positive_part(u)
            u = multiply(u, lane_mask)
            store(scratch, waits + p * abreast * lanes, u)


@kernel(part=True)
def _finished(v, place, relu, x, slope, shift, gated, kind, mask, blank):
    """Return an output as it is written, and what it adds to the two sums of ``kind``."""
    total, product = blank, blank
    if relu:
        v = positive_part(v)
    if gated:
        x_v = load_like(x, place, v)
        v = where_positive(v, fma(splat_like(shift, v), slope, x_v))
        if kind == PRODUCTS:
            masked = multiply(v, mask)
            total, product = folded(masked, blank), folded(multiply(masked, x_v), blank)
    if kind == MOMENTS:
        masked = multiply(v, mask)
        total, product = folded(masked, blank), folded(multiply(masked, masked), blank)
    return v, total, product


@kernel(part=True)
def _add_sums(sums, place, total, product):
    """Add two vectors to those from ``place`` on."""
    store(sums, place, add(load_like(sums, place, total), total))
    place += count(total)
    store(sums, place, add(load_like(sums, place, product), product))


@kernel(part=True)
def leave(
    v, blank, wide_mask, y, place, i, relu, x, a, c, gated, sums, spot, kind
):  # fmt: skip
    """Write a strip of output ``i`` where it belongs, as ``write`` does with rows that waited."""
    slope, shift = y.dtype.type(1), y.dtype.type(0)
    if a.shape[0] > 0:
        slope, shift = at(a, i), at(c, i)
    v, total, product = _finished(v, place, relu, x, slope, shift, gated, kind, wide_mask, blank)
    put(y, place, v, y.size * y.itemsize >= LARGE)
    if kind != NO_SUMS:
        _add_sums(sums, spot + i * 2 * count(blank), total, product)


@kernel(part=True)
def write(
    blank, wide, y, relu, x, a, c, gated, sums, spot, kind, mask, row, first, skip, inside, leader,
    chunk, abreast, scratch, desk,
):  # fmt: skip
    """Write a row of outputs from where they wait, as ``stage`` lays them out.

    ``relu`` makes y ``max(y, 0)``; ``gated`` makes it 0 where ``a * x + c <= 0`` (``x <= 0`` with
    an empty ``a``). The sums of ``kind`` are added to ``sums`` from ``spot`` on.
    """
    tiles, height, channels, width, lanes = y.shape
    strip, large = count(wide) // lanes, y.size * y.itemsize >= LARGE
    whole = inside // strip * strip if skip * abreast == 1 else 0
    size = np.int64(chunk) * abreast * lanes
    for turn in range(min(abreast, tiles - leader) * channels):
        tile, i = leader + turn // channels, np.int64(turn % channels)
        lane_mask = load_like(mask, np.int64(tile) * lanes, blank)
        wide_mask = repeated(lane_mask, wide)
        here = (((np.int64(tile) * height + row) * channels + i) * width + first) * lanes
        waits = desk + i * size + (tile - leader) * lanes
        total, product = blank, blank
        slope, shift = y.dtype.type(1), y.dtype.type(0)
        if a.shape[0] > 0:
            slope, shift = at(a, i), at(c, i)
        for p in range(0, whole, strip):
            place = here + p * lanes
            v, one, other = _finished(load_like(scratch, waits + p * lanes, wide), place, relu, x,
                                      slope, shift, gated, kind, wide_mask, blank)  # fmt: skip
            total, product = add(total, one), add(product, other)
            put(y, place, v, large)
        for p in range(whole, inside):
            place = here + p * skip * lanes
            u, one, other = _finished(load_like(scratch, waits + p * abreast * lanes, blank),
                                      place, relu, x, slope, shift, gated, kind, lane_mask,
                                      blank)  # fmt: skip
            total, product = add(total, one), add(product, other)
            put(y, place, u, large)
        if kind != NO_SUMS:
            _add_sums(sums, spot + i * 2 * lanes, total, product)
