"""Attention, forward: a block of queries meets its keys block by block.

The lanes of every vector are queries, so that no sum or maximum runs across a vector: scores of
a few keys are sums over features, in registers; maxima and sums over keys are taken lane by lane;
outputs of a few features are sums over keys, in registers. When a later block has a larger score,
what was summed before is scaled down.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.attention.chance import dropped_by_chance, kept, start_of
from sparsecpu.kernels.attention.products import (
    add_products,
    dots_over_features,
    is_mixed,
    meets,
    place_of,
)
from sparsecpu.kernels.attention.rows import inverse_or_zero, largest, power_of_difference, visible
from sparsecpu.kernels.attention.sequences import block_of, rows_of, strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import add, multiply, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, store_rows
from sparsecpu.kernels.vectors.memory import load_like, store

#: What the running maximum starts from: of it, unlike of infinity, a difference can be taken.
LEAST = -1e30
#: exp(x) is 2**(LOG2_E x).
LOG2_E = math.log2(math.e)


def plain_attention(q, k, v, scale, causal):
    """Return ``softmax(scale q k') v`` of one sequence and head; all are ``(tokens, size)``."""
    scores = scale * q @ k.T
    if causal:
        scores = np.where(np.tri(len(q), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v


@kernel(inlined=True)
def _bounds(block, together, least, most):
    """Return the smallest and the largest number of the sequences in a block of strips."""
    low, high = least[block * together], most[block * together]
    for strip in range(block * together + 1, (block + 1) * together):
        low, high = min(low, least[strip]), max(high, most[strip])
    return low, high


@functools.cache
def attend_kernel(lanes: int, itemsize: int, causal: int, drops: int = 0) -> Callable:
    """Return the kernel of attention, ``attend(workers, key, *arguments)``; see ``spread``.

    The arguments are ``q, k, v, owner, least, most, opens, runs, heads, scale, seed, rate, y,
    statistics, scratch``. Where ``drops`` is 1, weights are dropped at that rate, those that the
    seed tells, and the others scaled up. ``statistics`` is ``(2, tiles, heads, lanes)``: of each
    query the largest product with a key, and 1 over the sum of ``exp(scale (product - largest))``;
    ``scale`` is above 0. ``scratch`` is ``(workers, scratch_size)``.
    """
    width = block_of(lanes, itemsize)
    parts, few = lanes // width, rows_of(width, itemsize)
    together = width // strip_of(lanes, itemsize)

    @kernel()
    def attend(worker, q, k, v, owner, least, most, opens, runs, heads, scale, seed, rate, y,
               statistics, scratch):  # fmt: skip
        tiles, features = q.shape[0], q.shape[1]
        size, start = features // heads, worker * scratch.shape[1]
        number = q.dtype.type
        power, scaled_up = number(scale * LOG2_E), number(1 / (1 - rate))
        threshold = np.int64(rate * 4294967296.0)
        zero = splat(number(0), width)
        rows, one = bundle_of(zero, few), bundle_of(zero, 1)
        for job in range(worker, tiles * parts * heads, scratch.shape[0]):
            block, head = job // heads, job % heads
            low, high = _bounds(block, together, least, most)
            feature, chance = head * size, start_of(seed, head)
            base = place_of(block, features, feature, lanes, parts, width)
            for f in range(size):
                store(y, base + np.int64(f) * lanes, zero)
            highest, total = splat(number(LEAST), width), zero
            first, last = opens[block * together] // together, block
            if not causal:
                behind = runs[np.searchsorted(runs, (block + 1) * together - 1, side="right")]
                last = (behind - 1) // together
            for other in range(first, last + 1):
                bounds = _bounds(other, together, least, most)
                if not meets(low, high, *bounds):
                    continue
                masked = is_mixed(low, high, *bounds) or (causal and other == block)
                there = place_of(other, features, feature, lanes, parts, width)
                before = highest
                for j in range(0, width, few):
                    found = dots_over_features(rows, k, there + j, q, base, size, lanes)
                    if masked:
                        found = visible(found, owner, np.int64(block) * width,
                                        np.int64(other) * width + j, causal)  # fmt: skip
                    highest = largest(highest, found)
                    store_rows(scratch, start + np.int64(j) * width, width, found)
                factor = power_of_difference(before, highest, power)
                total = multiply(total, factor)
                for j in range(width):
                    here = start + np.int64(j) * width
                    weight = power_of_difference(load_like(scratch, here, zero), highest, power)
                    total = add(total, weight)
                    if drops:
                        (weight,) = kept(dropped_by_chance(
                            (weight,), chance, np.int64(block) * width,
                            np.int64(other) * width + j, threshold, 1,
                        ), scaled_up)  # fmt: skip
                    store(scratch, here, weight)
                add_products(rows, one, factor, y, base, v, there, width, size, lanes, scratch,
                             start)  # fmt: skip
            inverse = inverse_or_zero(total)
            for f in range(size):
                here = base + np.int64(f) * lanes
                store(y, here, multiply(load_like(y, here, zero), inverse))
            here = place_of(block, heads, head, lanes, parts, width)
            store(statistics, here, highest)
            store(statistics, np.int64(tiles) * heads * lanes + here, inverse)

    return spread(attend)


def scratch_size(lanes: int, itemsize: int) -> int:
    """Return how many numbers of scratch memory a worker needs, for both passes."""
    return 4 * strip_of(lanes, itemsize) ** 2
