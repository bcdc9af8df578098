"""Attention, backward: weights are made again from what the forward pass kept of each query.

With the weights P of a strip of queries and one of keys, and dP = dy v', the gradient of the scores
is dS = P (dP - D), where D is the sum of dy y over features; dv = P dy, dq = dS k, dk = dS q. P and
dS are made with queries as lanes, which dq needs; dv and dk need keys as lanes, and two squares are
transposed in the caches. A worker does all strips of a sequence and head, so that each sum has one
writer and one order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.attention.forward import (
    add_products,
    dots_over_features,
    is_mixed,
    meets,
    place_of,
)
from sparsecpu.kernels.attention.rows import (
    scaled,
    slopes_of,
    transpose_square,
    visible,
    weights_of,
)
from sparsecpu.kernels.attention.sequences import ROWS, strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import add, multiply, splat
from sparsecpu.kernels.vectors.bundles import bundle_of, load_rows, store_rows
from sparsecpu.kernels.vectors.memory import load_like, store


def plain_attention_backward(q, k, v, dy, scale, causal):
    """Return dq, dk and dv of ``plain_attention``."""
    scores = scale * q @ k.T
    if causal:
        scores = np.where(np.tri(len(q), dtype=bool), scores, -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dp = dy @ v.T
    ds = scale * p * (dp - (p * dp).sum(axis=1, keepdims=True))
    return ds @ k, ds.T @ q, p.T @ dy


@kernel(inlined=True)
def _clear(array, base, size, lanes, zero):
    for f in range(size):
        store(array, base + np.int64(f) * lanes, zero)


@kernel(inlined=True)
def _products_of_features(x, y, base, size, lanes, zero):
    """Return the sum over features of the products of two strips."""
    found = zero
    for f in range(size):
        here = base + np.int64(f) * lanes
        found = add(found, multiply(load_like(x, here, zero), load_like(y, here, zero)))
    return found


@functools.cache
def attend_backward_kernel(lanes: int, itemsize: int, causal: int) -> Callable:
    """Return the kernel of its gradients, ``attend_backward(workers, key, *arguments)``.

    The arguments are ``q, k, v, owner, least, most, opens, runs, heads, scale, y, statistics, dy,
    dq, dk, dv, scratch``; see ``attend_kernel``.
    """
    width = strip_of(lanes, itemsize)
    parts, few = lanes // width, min(ROWS, width)
    square = width * width

    @kernel()
    def attend_backward(worker, q, k, v, owner, least, most, opens, runs, heads, scale, y,
                        statistics, dy, dq, dk, dv, scratch):  # fmt: skip
        tiles, features = q.shape[0], q.shape[1]
        size = features // heads
        weights = worker * scratch.shape[1]  # P, dS, and both transposed
        slopes, weights_t, slopes_t = weights + square, weights + 2 * square, weights + 3 * square
        number = q.dtype.type
        zero, one = splat(number(0), width), splat(number(1), width)
        rows, row, keys = bundle_of(zero, ROWS), bundle_of(zero, 1), bundle_of(zero, few)
        for job in range(worker, (runs.shape[0] - 1) * heads, scratch.shape[0]):
            run, head = job // heads, job % heads
            feature = head * size
            for strip in range(runs[run], runs[run + 1]):
                base = place_of(strip, features, feature, lanes, parts, width)
                _clear(dq, base, size, lanes, zero)
                _clear(dk, base, size, lanes, zero)
                _clear(dv, base, size, lanes, zero)
            for strip in range(runs[run], runs[run + 1]):
                base = place_of(strip, features, feature, lanes, parts, width)
                here = place_of(strip, heads, head, lanes, parts, width)
                highest = load_like(statistics, here, zero)
                inverse = load_like(statistics, np.int64(tiles) * heads * lanes + here, zero)
                mean = _products_of_features(y, dy, base, size, lanes, zero)
                for other in range(runs[run], strip + 1 if causal else runs[run + 1]):
                    if not meets(strip, other, least, most):
                        continue
                    masked = is_mixed(strip, other, least, most) or (causal and other == strip)
                    there = place_of(other, features, feature, lanes, parts, width)
                    for j in range(0, width, few):
                        at_j = np.int64(j) * width
                        found = dots_over_features(keys, k, there, j, q, base, size, lanes)
                        found = scaled(found, scale)
                        if masked:
                            found = visible(found, owner, np.int64(strip) * width,
                                            np.int64(other) * width + j, causal)  # fmt: skip
                        store_rows(scratch, weights + at_j, width,
                                   weights_of(found, highest, inverse))  # fmt: skip
                    for j in range(0, width, few):
                        at_j = np.int64(j) * width
                        found = dots_over_features(keys, v, there, j, dy, base, size, lanes)
                        weight = load_rows(scratch, weights + at_j, width, keys)
                        store_rows(scratch, slopes + at_j, width,
                                   slopes_of(found, weight, mean, scale))  # fmt: skip
                    transpose_square(scratch, weights, scratch, weights_t, zero)
                    transpose_square(scratch, slopes, scratch, slopes_t, zero)
                    add_products(rows, row, one, dq, base, k, there, size, lanes, scratch, slopes)
                    add_products(rows, row, one, dv, there, dy, base, size, lanes, scratch,
                                 weights_t)  # fmt: skip
                    add_products(rows, row, one, dk, there, q, base, size, lanes, scratch,
                                 slopes_t)  # fmt: skip

    return spread(attend_backward)
