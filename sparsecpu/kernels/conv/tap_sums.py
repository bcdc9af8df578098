"""Sums over the taps of an output, strip by strip: what all time of a convolution is spent on.

Tap k of ``codes`` stands in the ring from ``bases[first_base + (code >> 24)] + (code & 0xffffff) *
lanes`` on. ``pixel`` is a vector of a pixel's lanes.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import add, count, fma, splat_like
from sparsecpu.kernels.vectors.dots import dot_and_add_taps, dot_taps
from sparsecpu.kernels.vectors.memory import at, load, load_like, store

_PLACE = (1 << 24) - 1


@kernel(inlined=True)
def place_of_tap(codes, k, bases, first_base, pixel):
    """Return where tap ``k`` stands."""
    code = np.int64(at(codes, k))
    return at(bases, first_base + (code >> 24)) + (code & _PLACE) * count(pixel)


@kernel(inlined=True)
def add_taps(space, codes, weights, first_base, k, end, y, pixel):
    """Return ``y`` with the taps from ``k`` to ``end`` added, each times its weight."""
    ring, bases = space.ring, space.bases
    if count(y) <= 64:  # a second sum hides an FMA's latency
        more = splat_like(weights.dtype.type(0), y)
        while k + 2 <= end:
            first = place_of_tap(codes, k, bases, first_base, pixel)
            second = place_of_tap(codes, k + 1, bases, first_base, pixel)
            y = fma(y, at(weights, k), load_like(ring, first, y))
            more = fma(more, at(weights, k + 1), load_like(ring, second, y))
            k += 2
        y = add(y, more)
    while k < end:
        place = place_of_tap(codes, k, bases, first_base, pixel)
        y = fma(y, at(weights, k), load_like(ring, place, y))
        k += 1
    return y


@kernel(inlined=True)
def dot_and_add(space, codes, weights, first_base, k, end, x, y, dw, begin, pixel):
    """Do as ``add_taps``, and add each tap's dot product with ``x`` to ``dw`` from ``begin`` on.

    Taps come in multiples of four.
    """
    ring, bases = space.ring, space.bases
    while k + 16 <= end:
        found, y = dot_and_add_taps(ring, codes, bases, weights, k, first_base, x, y, pixel, 16)
        store(dw, begin + k, add(load(dw, begin + k, 16), found))
        k += 16
    while k < end:
        found, y = dot_and_add_taps(ring, codes, bases, weights, k, first_base, x, y, pixel, 4)
        store(dw, begin + k, add(load(dw, begin + k, 4), found))
        k += 4
    return y


@kernel(inlined=True)
def dot(space, codes, first_base, k, end, x, dw, begin, pixel):
    """Add each tap's dot product with ``x`` to ``dw`` from ``begin`` on, for multiples of four."""
    ring, bases = space.ring, space.bases
    while k + 16 <= end:
        found = dot_taps(ring, codes, bases, k, first_base, x, pixel, 16)
        store(dw, begin + k, add(load(dw, begin + k, 16), found))
        k += 16
    if k + 8 <= end:
        found = dot_taps(ring, codes, bases, k, first_base, x, pixel, 8)
        store(dw, begin + k, add(load(dw, begin + k, 8), found))
        k += 8
    if k + 4 <= end:
        found = dot_taps(ring, codes, bases, k, first_base, x, pixel, 4)
        store(dw, begin + k, add(load(dw, begin + k, 4), found))
