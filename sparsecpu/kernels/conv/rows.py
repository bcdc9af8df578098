"""Rows of planes beside a convolution's ring, and on their way out of it.

Vectors of zeros tell widths: ``blank`` is one pixel's lanes, ``wide`` a strip's. In ``scratch``,
from ``desk`` on, the outputs of a row lie channel by channel, ``chunk`` columns of ``abreast``
tiles each.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.conv.ring import coefficients, meant
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.operations import (
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
def stage(blank, wide, source, mask, plan, job, row, first, inside, scratch, desk):
    """Lay out row ``row`` of planes, from column ``first`` on, as the outputs of a job's row lie.

    It is ``inside`` pixels of each tile abreast, those that outputs are counted at. Lanes of
    padding are 0, and so are the pixels that fill up the last strip.
    """
    tiles, height, channels, width, lanes = source[0].shape
    strip, inside = count(wide) // count(blank), max(0, inside)
    skip, abreast = plan.skip_columns, plan.tiles_per_job
    there = min(abreast, tiles - job.first_tile)
    whole = inside // strip * strip if skip * abreast == 1 else 0
    size = np.int64(plan.span) * abreast * lanes
    if inside * there < job.strips * strip:
        for i in range(channels):
            for p in range(whole * abreast, job.strips * strip, strip):
                store(scratch, desk + i * size + p * lanes, wide)
    for turn in range(there * channels):
        tile, i = job.first_tile + turn // channels, np.int64(turn % channels)
        lane_mask = load_like(mask, np.int64(tile) * lanes, blank)
        wide_mask = repeated(lane_mask, wide)
        here = (((np.int64(tile) * height + row) * channels + i) * width + first) * lanes
        waits = desk + i * size + (tile - job.first_tile) * lanes
        by = coefficients(source, i)
        for p in range(0, whole, strip):
            v = meant(source, by, here + p * lanes, wide)
            store(scratch, waits + p * lanes, multiply(v, wide_mask))
        for p in range(whole, inside):
            u = meant(source, by, here + p * skip * lanes, blank)
            store(scratch, waits + p * abreast * lanes, multiply(u, lane_mask))


@kernel(inlined=True)
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


@kernel(inlined=True)
def _add_sums(sums, place, total, product):
    """Add two vectors to those from ``place`` on."""
    store(sums, place, add(load_like(sums, place, total), total))
    place += count(total)
    store(sums, place, add(load_like(sums, place, product), product))


@kernel(inlined=True)
def leave(v, blank, wide_mask, out, about, place, i, spot):
    """Write a strip of output ``i`` where it belongs, as ``write`` does with rows that waited."""
    y, relu, gated, sums, kind = out
    x, a, c = about[0], about[2], about[4]
    slope, shift = y.dtype.type(1), y.dtype.type(0)
    if a.shape[0] > 0:
        slope, shift = at(a, i), at(c, i)
    v, total, product = _finished(v, place, relu, x, slope, shift, gated, kind, wide_mask, blank)
    put(y, place, v, y.size * y.itemsize >= LARGE)
    if kind != NO_SUMS:
        _add_sums(sums, spot + i * 2 * count(blank), total, product)


@kernel(part=True)
def write(blank, wide, out, about, mask, plan, job, row, first, inside, scratch, desk, spot):
    """Write a row of outputs from where they wait, as ``stage`` lays them out.

    ``out`` is ``y, relu, gated, sums, kind``: ``relu`` makes y ``max(y, 0)``, and ``gated`` makes
    it 0 where what it is the gradient of, ``about``, is not positive. The sums of ``kind`` are
    added to ``sums`` from ``spot`` on.
    """
    y, relu, gated, sums, kind = out
    x, a, c = about[0], about[2], about[4]
    tiles, height, channels, width, lanes = y.shape
    strip, large = count(wide) // count(blank), y.size * y.itemsize >= LARGE
    skip, abreast = plan.skip_columns, plan.tiles_per_job
    whole = inside // strip * strip if skip * abreast == 1 else 0
    size = np.int64(plan.span) * abreast * lanes
    for turn in range(min(abreast, tiles - job.first_tile) * channels):
        tile, i = job.first_tile + turn // channels, np.int64(turn % channels)
        lane_mask = load_like(mask, np.int64(tile) * lanes, blank)
        wide_mask = repeated(lane_mask, wide)
        here = (((np.int64(tile) * height + row) * channels + i) * width + first) * lanes
        waits = desk + i * size + (tile - job.first_tile) * lanes
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
