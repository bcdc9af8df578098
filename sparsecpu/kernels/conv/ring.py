"""A convolution's ring of rows: how lazy planes fill it, and where strips read it.

Vectors of zeros tell widths: ``blank`` is one pixel's lanes, ``four`` those of four pixels,
``wide`` those of a strip. ``source`` is ``values, other, a, b, c, relu``, as ``Planes.operand``
says.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.conv.pixels import store_pixels
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.operations import (
    at,
    count,
    fma,
    load_like,
    positive_part,
    prefetch_like,
    splat_like,
)


@kernel(inlined=True)
def coefficients(source, channel):
    """Return ``a, b, c`` of a channel."""
    values, _, a, b, c, _ = source
    slope, more, shift = values.dtype.type(1), values.dtype.type(0), values.dtype.type(0)
    if a.shape[0] > 0:
        slope, shift = at(a, channel), at(c, channel)
    if b.shape[0] > 0:
        more = at(b, channel)
    return slope, more, shift


@kernel(inlined=True)
def meant(source, by, place, like):
    """Return ``relu(a * values + b * other + c)`` from ``place`` on, as wide as ``like``.

    ``by`` are the coefficients; ``a`` is empty where values are meant as they are, ``b`` where
    there is no other.
    """
    values, other, a, b, _, relu = source
    slope, more, shift = by
    v = load_like(values, place, like)
    if a.shape[0] > 0:
        v = fma(splat_like(shift, like), slope, v)
    if b.shape[0] > 0:
        v = fma(v, more, load_like(other, place, like))
    if relu:
        v = positive_part(v)
    return v


@kernel(part=True)
def _pack(blank, four, source, plan, row, first, ring, place):
    """Write columns of row ``row`` of the planes, from ``first`` on; a row below 0 is 0.

    ``row`` counts rows of all tiles. Columns ``across`` apart come to stand side by side, and those
    of tiles abreast in between.
    """
    lanes = count(blank)
    apart, pixel = plan.tiles_per_job * lanes, plan.across * lanes
    for q in range(plan.step):
        column = first + q
        low, high = np.int64(0), np.int64(0)
        if row >= 0:
            low = min(plan.room, max(0, (-column + plan.across - 1) // plan.across))
            high = (plan.width - column + plan.across - 1) // plan.across
            high = max(low, min(plan.room, high))
        fours = low  # pixels that are read four at a time end here
        if plan.across * plan.tiles_per_job == 1:
            fours += (high - low) // 4 * 4
        for channel in range(plan.channels):
            here = place + (channel * plan.step + q) * plan.room * apart
            there = ((row * plan.channels + channel) * plan.width + column) * lanes
            by = coefficients(source, channel)
            for j in range(low):
                store_pixels(ring, here + j * apart, blank, blank)
            for j in range(low, fours, 4):
                v = meant(source, by, there + j * pixel, four)
                store_pixels(ring, here + j * apart, v, blank)
            for j in range(fours, high):
                u = meant(source, by, there + j * pixel, blank)
                store_pixels(ring, here + j * apart, u, blank)
            for j in range(high, plan.room):
                store_pixels(ring, here + j * apart, blank, blank)


@kernel(part=True)
def fill(blank, four, source, plan, job, begin, stop, ring, mine):
    """Pack rows from ``begin`` to ``stop`` of a job's columns into a ring that begins at ``mine``.

    Rows that do not exist are padding.
    """
    tiles, lanes = source[0].shape[0], count(blank)
    row_size = plan.channels * plan.step * plan.room * plan.tiles_per_job * lanes
    column = job.first_column * plan.across - plan.left
    for row in range(begin, stop):
        for n in range(plan.tiles_per_job):
            tile = job.first_tile + n
            exists = 0 <= row < plan.height and tile < tiles
            within = tile * plan.height + row if exists else -1
            place = mine + (row + plan.top) % plan.depth * row_size + n * lanes
            _pack(blank, four, source, plan, np.int64(within), column, ring, place)


@kernel(part=True)
def lay_bases(blank, wide, plan, job, read, bases, worker, mine):
    """Note in a worker's ``bases`` where each strip of a job finds each row of the ring.

    With ``read``, filters of one pixel read planes where they lie.
    """
    row_size = plan.channels * plan.step * plan.room * plan.tiles_per_job * count(blank)
    for d in range(plan.depth):
        place = mine + (job.row * plan.down + d) % plan.depth * row_size
        if read:
            row_in = (job.first_tile * plan.height + job.row) * plan.channels
            place = (row_in * plan.width + job.first_column) * count(blank)
        for s in range(job.strips):
            bases[worker, s * plan.depth + d] = place + s * count(wide)


@kernel(part=True)
def next_rows(plan, job, ready):
    """Return how many strips the next row of outputs will pack, and the first pixel of them."""
    coming = (job.first_tile * plan.height + ready) * plan.channels * plan.width
    coming += job.first_column * plan.across
    if plan.tiles_per_job > 1:  # small planes, which are near
        return np.int64(0), coming
    rows = max(0, min(plan.down, plan.height - ready))
    return rows * plan.channels * job.strips, coming


@kernel(inlined=True)
def ask_ahead(blank, wide, source, plan, job, turns, due, wanted):
    """Ask for a turn's share of ``due`` strips of the next rows; return what is wanted next.

    Over ``turns`` turns all of them come nearer. ``wanted`` holds what is owed, in shares, the
    strip, and the first pixel of its row.
    """
    owed, ahead, coming = wanted
    owed += due
    while owed >= turns:
        owed -= turns
        place = coming * count(blank) + ahead * count(wide)
        prefetch_like(source[0], place, wide)
        if source[3].shape[0] > 0:
            prefetch_like(source[1], place, wide)
        ahead += 1
        if ahead == job.strips:
            ahead, coming = np.int64(0), coming + plan.width
    return owed, ahead, coming
