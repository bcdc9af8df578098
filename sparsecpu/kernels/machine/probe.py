"""What this machine could do at best: a sparse kernel's loads alone, and its sums alone."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import add, fma, splat, total
from sparsecpu.kernels.vectors.memory import at, load


@functools.cache
def random_load_kernel(lanes: int) -> Callable:
    """Return ``probe(tile, places, factor)``, which multiplies and adds random rows of a tile.

    Every sparse product has one load per multiply-add, from a tile at places that the pattern
    decides; how fast such loads come is the limit of them all. ``tile`` is (features, lanes),
    ``places`` are row numbers, an even number of them.
    """

    @kernel()
    def probe(tile, places, factor):
        a = splat(factor, lanes)
        b = splat(factor, lanes)
        for k in range(0, places.shape[0], 2):  # two sums hide the latency of a multiply-add
            a = fma(a, factor, load(tile, np.int64(at(places, np.int64(k))) * lanes, lanes))
            b = fma(b, factor, load(tile, np.int64(at(places, np.int64(k + 1))) * lanes, lanes))
        return total(add(a, b))

    return probe


@kernel()
def peak_kernel(steps, factor):
    """Do ``steps`` times 256 multiply-adds between registers: ``a = 1 + factor a``, 16 chains."""
    one = splat(np.float32(1), 128)
    a, b = splat(factor, 128), splat(factor, 128)
    for _ in range(steps):
        a, b = fma(one, factor, a), fma(one, factor, b)
    return total(add(a, b))
