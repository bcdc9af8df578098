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

from sparsecpu.kernels.attention.chance import dropped_by_chance, kept, start_of
from sparsecpu.kernels.attention.forward import LOG2_E
from sparsecpu.kernels.attention.products import (
    add_products,
    dots_over_features,
    is_mixed,
    meets,
    place_of,
)
from sparsecpu.kernels.attention.rows import slopes_of, transpose_square, visible, weights_of
from sparsecpu.kernels.attention.sequences import rows_of, strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import add, multiply, splat, times
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


@kernel(inlined=True)
def _is_uneven(runs, heads, workers, causal):
    """Return True if whole sequences and heads, one after another, keep some workers waiting.

    Shared out by strips, they take 7 products where 5 would do.
    """
    total, longest = 0.0, 0.0
    for worker in range(workers):
        mine = 0.0
        for job in range(worker, (runs.shape[0] - 1) * heads, workers):
            strips = float(runs[job // heads + 1] - runs[job // heads])
            mine += strips * (strips + 1.0) if causal else strips * strips
        total, longest = total + mine, max(longest, mine)
    return 5.0 * longest * workers > 7.0 * total


@kernel(inlined=True)
def _next_job(job, heads, uneven, strips, runs, opens):
    """Return the head, the first and last strip of queries, those of keys, and what to make."""
    if not uneven:
        run = job // heads
        first, last = runs[run], runs[run + 1]
        return job % heads, first, last, first, last, True, True
    of_queries, rest = job < strips * heads, job % (strips * heads)
    strip = rest // heads
    first = opens[strip]
    last = runs[np.searchsorted(runs, strip, side="right")]
    if of_queries:
        return job % heads, strip, strip + 1, first, last, True, False
    return job % heads, first, last, strip, strip + 1, False, True


@functools.cache
def attend_backward_kernel(lanes: int, itemsize: int, causal: int, drops: int = 0) -> Callable:
    """Return the kernel of its gradients, ``attend_backward(workers, key, *arguments)``.

    The arguments are ``q, k, v, owner, least, most, opens, runs, heads, scale, seed, rate, y,
    statistics, dy, dq, dk, dv, scratch``; see ``attend_kernel``.
    """
    width = strip_of(lanes, itemsize)
    parts, few = lanes // width, rows_of(width, itemsize)
    square, order = width * width, -causal

    @kernel()
    def attend_backward(worker, q, k, v, owner, least, most, opens, runs, heads, scale, seed,
                        rate, y, statistics, dy, dq, dk, dv, scratch):  # fmt: skip
        tiles, features = q.shape[0], q.shape[1]
        size, strips, workers = features // heads, tiles * parts, scratch.shape[0]
        weights = worker * scratch.shape[1]  # P and dS of a pair of strips, and that transposed
        slopes, turned, means = weights + square, weights + 2 * square, weights + 3 * square
        number = q.dtype.type
        power, scaled_up = number(scale * LOG2_E), number(1 / (1 - rate))
        threshold = np.int64(rate * 4294967296.0)
        slope = number(scale * scaled_up) if drops else scale
        zero, unit = splat(number(0), width), splat(number(1), width)
        rows, one = bundle_of(zero, few), bundle_of(zero, 1)
        uneven = _is_uneven(runs, heads, workers, causal)
        jobs = (2 * strips if uneven else runs.shape[0] - 1) * heads
        for job in range(worker, jobs, workers):
            head, q_first, q_last, k_first, k_last, of_queries, of_keys = _next_job(
                job, heads, uneven, strips, runs, opens
            )
            feature, chance = head * size, start_of(seed, head)
            if of_keys:
                for other in range(k_first, k_last):
                    there = place_of(other, features, feature, lanes, parts, width)
                    _clear(dk, there, size, lanes, zero)
                    _clear(dv, there, size, lanes, zero)
            for strip in range(q_first, q_last):
                base = place_of(strip, features, feature, lanes, parts, width)
                here = place_of(strip, heads, head, lanes, parts, width)
                if of_queries:
                    _clear(dq, base, size, lanes, zero)
                mean = _products_of_features(y, dy, base, size, lanes, zero)
                store(scratch, means, times(mean, scale))
                for other in range(k_first, min(strip + 1, k_last) if causal else k_last):
                    if not meets(least[strip], most[strip], least[other], most[other]):
                        continue
                    masked = is_mixed(least[strip], most[strip], least[other], most[other])
                    masked = masked or (causal and other == strip)
                    there = place_of(other, features, feature, lanes, parts, width)
                    for i in range(0, width, few):
                        at_i = np.int64(i) * width
                        found = dots_over_features(rows, q, base + i, k, there, size, lanes)
                        if masked:
                            found = visible(found, owner, np.int64(other) * width,
                                            np.int64(strip) * width + i, order)  # fmt: skip
                        found = weights_of(found, power, statistics, here + i,
                                           np.int64(tiles) * heads * lanes + here + i)  # fmt: skip
                        if drops:
                            found = dropped_by_chance(
                                found, chance, np.int64(other) * width,
                                np.int64(strip) * width + i, threshold, -1,
                            )  # fmt: skip
                        store_rows(scratch, weights + at_i, width, found)
                        found = dots_over_features(rows, dy, base + i, v, there, size, lanes)
                        weight = load_rows(scratch, weights + at_i, width, rows)
                        found = slopes_of(found, weight, slope, scratch, means + i, drops)
                        store_rows(scratch, slopes + at_i, width, found)
                        if drops:
                            store_rows(scratch, weights + at_i, width, kept(weight, scaled_up))
                    if of_keys:
                        add_products(rows, one, unit, dv, there, dy, base, width, size, lanes,
                                     scratch, weights)  # fmt: skip
                        add_products(rows, one, unit, dk, there, q, base, width, size, lanes,
                                     scratch, slopes)  # fmt: skip
                    if of_queries:
                        transpose_square(scratch, slopes, scratch, turned, zero)
                        add_products(rows, one, unit, dq, base, k, there, width, size, lanes,
                                     scratch, turned)  # fmt: skip

    return spread(attend_backward)
