"""Sums over the taps of an output, strip by strip.

Tap k of ``codes`` stands in the ring from ``bases[slots + (code >> 24)] + (code & 0xffffff) *
lanes`` on: see ``sparsecpu.layers.images.taps``. ``blank`` is a vector of a pixel's lanes.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.dots import dot_and_add_taps, dot_taps
from sparsecpu.kernels.vectors.operations import (
    add,
    at,
    count,
    fma,
    load,
    load_like,
    splat_like,
    store,
)

_PLACE = (1 << 24) - 1


@kernel(inlined=True)
def _tap(codes, k, bases, slots, blank):
    """Return where tap ``k`` stands."""
    code = np.int64(at(codes, k))
    return at(bases, slots + (code >> 24)) + (code & _PLACE) * count(blank)


@kernel(inlined=True)
def add_taps(ring, codes, data, bases, slots, k, end, y, blank):
    """Return ``y`` with the taps from ``k`` to ``end`` added, each times its weight."""
    if count(y) <= 64:  # a second sum hides an FMA's latency
        more = splat_like(data.dtype.type(0), y)
        while k + 2 <= end:
            y = fma(y, at(data, k), load_like(ring, _tap(codes, k, bases, slots, blank), y))
            there = _tap(codes, k + 1, bases, slots, blank)
            more = fma(more, at(data, k + 1), load_like(ring, there, y))
            k += 2
        y = add(y, more)
    while k < end:
        y = fma(y, at(data, k), load_like(ring, _tap(codes, k, bases, slots, blank), y))
        k += 1
    return y


@kernel(inlined=True)
def dot_and_add(ring, codes, data, bases, slots, k, end, x, y, dw, begin, blank):
    """Do as ``add_taps``, and add each tap's dot product with ``x`` to ``dw`` from ``begin`` on.

    Taps come in multiples of four.
    """
    while k + 16 <= end:
        found, y = dot_and_add_taps(ring, codes, bases, data, k, slots, x, y, blank, 16)
        store(dw, begin + k, add(load(dw, begin + k, 16), found))
        k += 16
    while k < end:
        found, y = dot_and_add_taps(ring, codes, bases, data, k, slots, x, y, blank, 4)
        store(dw, begin + k, add(load(dw, begin + k, 4), found))
        k += 4
    return y


@kernel(inlined=True)
def dot(ring, codes, bases, slots, k, end, x, dw, begin, blank):
    """Add each tap's dot product with ``x`` to ``dw`` from ``begin`` on, for multiples of four."""
    while k + 16 <= end:
        found = dot_taps(ring, codes, bases, k, slots, x, blank, 16)
        store(dw, begin + k, add(load(dw, begin + k, 16), found))
        k += 16
    if k + 8 <= end:
        found = dot_taps(ring, codes, bases, k, slots, x, blank, 8)
        store(dw, begin + k, add(load(dw, begin + k, 8), found))
        k += 8
    if k + 4 <= end:
        found = dot_taps(ring, codes, bases, k, slots, x, blank, 4)
        store(dw, begin + k, add(load(dw, begin + k, 4), found))
