"""Attention, forward: a strip of queries meets its keys strip by strip.

The lanes of every vector are queries, so that no sum or maximum runs across a vector: scores of
four keys are sums over features, in registers; maxima and sums over keys are taken lane by lane;
outputs of four features are sums over keys, in registers. When a later strip has a larger score,
what was summed before is scaled down.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.attention.rows import (
    exp_of_difference,
    inverse_or_zero,
    largest,
    rescaled,
    scaled,
    visible,
)
from sparsecpu.kernels.attention.sequences import ROWS, strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import add, count, multiply, splat
from sparsecpu.kernels.vectors.bundles import add_to_rows, bundle_of, load_rows, store_rows
from sparsecpu.kernels.vectors.memory import load_like, prefetch, store

#: What the running maximum starts from: of it, unlike of infinity, a difference can be taken.
LEAST = -1e30


def plain_attention(q, k, v, scale, causal):
    """Return ``softmax(scale q k') v`` of one sequence and head; all are ``(tokens, size)``."""
    scores = scale * q @ k.T
    if causal:
        scores = np.where(np.tri(len(q), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v


@kernel(inlined=True)
def dots_over_features(zeros, x, x_base, j, y, y_base, size, lanes):
    """Return the dot products of a few tokens of x, from ``x_base + j`` on, with those of y."""
    sums = zeros
    for f in range(size):
        row = np.int64(f) * lanes
        sums = add_to_rows(sums, x, x_base + row + j, 1, load_like(y, y_base + row, zeros[0]))
    return sums


@kernel(inlined=True)
def _add_few(rows, out, here, x, there, lanes, square, start, like):
    """Do as ``add_products`` for a few features."""
    for j in range(count(like)):
        v = load_like(square, start + np.int64(j) * count(like), like)
        rows = add_to_rows(rows, x, there + j, lanes, v)
    store_rows(out, here, lanes, rows)


@kernel(inlined=True)
def add_products(rows, one, factor, out, out_base, x, x_base, size, lanes, square, start):
    """Write ``factor * out + x square``, feature by feature, for a strip of tokens.

    ``square`` has a row for each token of a strip of x, from ``start`` on.
    """
    f = np.int64(0)
    while f + ROWS <= size:
        here = out_base + f * lanes
        found = rescaled(load_rows(out, here, lanes, rows), factor)
        _add_few(found, out, here, x, x_base + f * lanes, lanes, square, start, factor)
        f += ROWS
    while f < size:
        here = out_base + f * lanes
        found = rescaled(load_rows(out, here, lanes, one), factor)
        _add_few(found, out, here, x, x_base + f * lanes, lanes, square, start, factor)
        f += 1


@kernel(inlined=True)
def place_of(strip, features, feature, lanes, parts, width):
    """Return where a feature of a strip begins."""
    tile, part = np.int64(strip) // parts, np.int64(strip) % parts
    return (tile * features + feature) * lanes + part * width


@kernel(inlined=True)
def meets(strip, other, least, most):
    """Return True if tokens of two strips may belong to one sequence."""
    apart = most[strip] < least[other] or most[other] < least[strip]
    return not (apart or most[strip] < 0 or most[other] < 0)


@kernel(inlined=True)
def is_mixed(strip, other, least, most):
    """Return True if tokens of two strips do not all belong to one sequence."""
    low, high = min(least[strip], least[other]), max(most[strip], most[other])
    return low != high or low < 0


@functools.cache
def attend_kernel(lanes: int, itemsize: int, causal: int) -> Callable:
    """Return the kernel of attention, ``attend(workers, key, *arguments)``; see ``spread``.

    The arguments are ``q, k, v, owner, least, most, opens, runs, heads, scale, y, statistics,
    scratch``. ``statistics`` is ``(2, tiles, heads, lanes)``: of each query the largest score, and
    1 over the sum of ``exp(score - largest)``. ``scratch`` is ``(workers, scratch_size)``.
    """
    width = strip_of(lanes, itemsize)
    parts, few = lanes // width, min(ROWS, width)

    @kernel()
    def attend(worker, q, k, v, owner, least, most, opens, runs, heads, scale, y, statistics,
               scratch):  # fmt: skip
        tiles, features = q.shape[0], q.shape[1]
        size, strips, start = features // heads, tiles * parts, worker * scratch.shape[1]
        number = q.dtype.type
        zero = splat(number(0), width)
        rows, one, keys = bundle_of(zero, ROWS), bundle_of(zero, 1), bundle_of(zero, few)
        for job in range(worker, strips * heads, scratch.shape[0]):
            strip, head = job // heads, job % heads
            feature = head * size
            base = place_of(strip, features, feature, lanes, parts, width)
            for f in range(size):
                store(y, base + np.int64(f) * lanes, zero)
            highest, total = splat(number(LEAST), width), zero
            last = strip
            if not causal:
                last = runs[np.searchsorted(runs, strip, side="right")] - 1
            for other in range(opens[strip], last + 1):
                if not meets(strip, other, least, most):
                    continue
                masked = is_mixed(strip, other, least, most) or (causal and other == strip)
                there = place_of(other, features, feature, lanes, parts, width)
                before = highest
                ahead = place_of(min(other + 1, last), features, feature, lanes, parts, width)
                for j in range(0, width, few):
                    found = dots_over_features(keys, k, there, j, q, base, size, lanes)
                    found = scaled(found, scale)
                    if masked:
                        found = visible(found, owner, np.int64(strip) * width,
                                        np.int64(other) * width + j, causal)  # fmt: skip
                    highest = largest(highest, found)
                    store_rows(scratch, start + np.int64(j) * width, width, found)
                factor = exp_of_difference(before, highest)
                total = multiply(total, factor)
                for j in range(width):
                    here = start + np.int64(j) * width
                    weight = exp_of_difference(load_like(scratch, here, zero), highest)
                    total = add(total, weight)
                    if j < size:
                        prefetch(k, ahead + np.int64(j) * lanes, width, 1)
                    store(scratch, here, weight)
                add_products(rows, one, factor, y, base, v, there, size, lanes, scratch, start)
            inverse = inverse_or_zero(total)
            for f in range(size):
                here = base + np.int64(f) * lanes
                store(y, here, multiply(load_like(y, here, zero), inverse))
            here = place_of(strip, heads, head, lanes, parts, width)
            store(statistics, here, highest)
            store(statistics, np.int64(tiles) * heads * lanes + here, inverse)

    return spread(attend)


def scratch_size(lanes: int, itemsize: int) -> int:
    """Return how many numbers of scratch memory a worker needs, for both passes."""
    return 4 * strip_of(lanes, itemsize) ** 2
