"""Cross-entropy of a softmax over a vocabulary, and its gradient: the lanes are tokens.

``kernels.loss`` defines it for one sample. A vocabulary may be so large that a tile of scores is
larger than the caches: each pass goes through them once, row by row, with a strip of tokens in
registers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.attention.rows import power_of_difference
from sparsecpu.kernels.linear.grouped import strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    multiply,
    splat,
    subtract,
    where_larger,
    without_tiny,
)
from sparsecpu.kernels.vectors.memory import load_like, store

#: Vectors that are in use at once.
_VECTORS = 4
#: Rows that are added up by themselves: of very many, one sum would lose digits.
_ROWS = 256


def strips_of_tile(lanes: int, itemsize: int) -> int:
    """Return how many strips there are in a tile."""
    return lanes // strip_of(_VECTORS, lanes & -lanes, itemsize)


@functools.cache
def token_loss_kernel(lanes: int, itemsize: int) -> Callable:
    """Return the kernel ``(z, targets, weights, smoothing, dz, scratch, losses)``.

    ``z`` and ``dz`` are (tiles, classes, lanes). ``targets``, int32, and ``weights`` have an entry
    per lane; without a target (-1) there is no loss, and the gradient is 0. ``scratch`` is (3,
    tiles, lanes), of the type of z. ``losses`` gets the sum of each strip in float64.
    """
    width = strip_of(_VECTORS, lanes & -lanes, itemsize)
    parts = lanes // width

    @kernel(parallel=True)
    def token_loss(team, z, targets, weights, smoothing, dz, scratch, losses):
        tiles, classes = z.shape[0], z.shape[1]
        number, shared = z.dtype.type, smoothing / classes
        power = number(1 / math.log(2.0))  # exp(x) is 2**(x / log(2))
        for strip in share(team, tiles * parts):
            tile, first = strip // parts, strip % parts * width
            base = (np.int64(tile) * classes) * lanes + first
            zero = splat(number(0), width)
            most, total = load_like(z, base, zero), zero
            for start in range(0, classes, _ROWS):
                part = zero
                for c in range(start, min(start + _ROWS, classes)):
                    score = load_like(z, base + np.int64(c) * lanes, zero)
                    most, part = where_larger(score, most, score, most), add(part, score)
                total = add(total, part)
            store(scratch, np.int64(strip) * width, total)
            total = zero
            for start in range(0, classes, _ROWS):
                part = zero
                for c in range(start, min(start + _ROWS, classes)):
                    score = load_like(z, base + np.int64(c) * lanes, zero)
                    part = add(part, power_of_difference(score, most, power))
                total = add(total, part)
            every = np.int64(tiles) * lanes
            store(scratch, every + np.int64(strip) * width, total)
            store(scratch, 2 * every + np.int64(strip) * width, most)
            summed = 0.0
            for lane in range(first, first + width):
                target, weight = targets[tile * lanes + lane], weights[tile * lanes + lane]
                normaliser = scratch[1, tile, lane]
                if target < 0:
                    weight = number(0)
                elif weight != 0:
                    score = (1 - smoothing) * z[tile, target, lane]
                    score += shared * scratch[0, tile, lane]
                    summed += weight * (math.log(normaliser) + scratch[2, tile, lane] - score)
                scratch[0, tile, lane] = number(weight * shared)
                scratch[1, tile, lane] = weight / normaliser
            losses[strip] = summed
            even = load_like(scratch, np.int64(strip) * width, zero)
            factor = load_like(scratch, every + np.int64(strip) * width, zero)
            for c in range(classes):
                here = base + np.int64(c) * lanes
                slope = multiply(power_of_difference(load_like(z, here, zero), most, power), factor)
                store(dz, here, without_tiny(subtract(slope, even)))
            for lane in range(first, first + width):
                target = targets[tile * lanes + lane]
                if target >= 0:
                    weight = weights[tile * lanes + lane]
                    dz[tile, target, lane] -= number(weight * (1 - smoothing))

    return token_loss
