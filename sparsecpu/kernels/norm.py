"""Batch normalisation per feature, on lane-tiled arrays; only real samples count.

Sums are float64, of runs of samples lane by lane: loops over the lanes of a narrow tile would be
too short for LLVM to make vectors of them.
"""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    fma,
    in_float64,
    minus,
    multiply,
    splat,
    splat_like,
    total,
)
from sparsecpu.kernels.vectors.memory import load_like, store

#: Samples of a run.
_RUN = 16


def plain_batch_norm(x, gamma, beta, epsilon):
    """Return ``gamma (x - mean) / sqrt(variance + epsilon) + beta``; x is (samples, features)."""
    h = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon)
    return gamma * h + beta


@kernel(inlined=True)
def _real(x, tile, n_valid):
    """Return how many real samples a tile has, and how many of them are in whole runs."""
    real = max(np.int64(0), min(np.int64(x.shape[2]), n_valid - np.int64(tile) * x.shape[2]))
    return real, real // _RUN * _RUN


@kernel(inlined=True)
def _start(x, tile, f):
    """Return where the samples of a tile begin in a feature."""
    return (np.int64(tile) * x.shape[1] + f) * x.shape[2]


@kernel(inlined=True)
def _add_distances(x, begin, end, centre, like, sums, squares):
    """Add distances from a centre, and their squares, of as many samples at a time as ``like``."""
    for here in range(begin, end, count(like)):
        d = minus(in_float64(load_like(x, here, like)), centre)
        sums, squares = add(sums, d), add(squares, multiply(d, d))
    return sums, squares


@kernel(inlined=True)
def _distances(x, n_valid, f, centre, run, one):
    """Return the sum of distances from a centre over a feature's samples, and of their squares."""
    sums, squares = in_float64(run), in_float64(run)
    few, few_squares = in_float64(one), in_float64(one)
    for tile in range(x.shape[0]):
        start, (real, whole) = _start(x, tile, f), _real(x, tile, n_valid)
        sums, squares = _add_distances(x, start, start + whole, centre, run, sums, squares)
        few, few_squares = _add_distances(
            x, start + whole, start + real, centre, one, few, few_squares
        )
    return total(sums) + total(few), total(squares) + total(few_squares)


@kernel(parallel=True)
def batch_statistics(team, x, n_valid, mean, variance):
    """Write the mean and the (biased) variance of each feature over the batch, in two passes."""
    run, one = splat(x.dtype.type(0), _RUN), splat(x.dtype.type(0), 1)
    for f in share(team, x.shape[1]):
        summed, _ = _distances(x, n_valid, f, 0.0, run, one)
        mean[f] = summed / n_valid
        _, squares = _distances(x, n_valid, f, mean[f], run, one)
        variance[f] = squares / n_valid


@kernel(inlined=True)
def _write_normalised(x, begin, end, scale, centre, shift, like, y):
    for here in range(begin, end, count(like)):
        v = minus(load_like(x, here, like), centre)
        store(y, here, fma(splat_like(shift, like), scale, v))


@kernel(parallel=True)
def normalise(team, x, mean, variance, epsilon, gamma, beta, y):
    """Write ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta``; mean is float64.

    It is computed as ``(x - centre) scale + shift``, where the centre is the mean in the type of x:
    of ``x scale`` by itself, rounding errors would be left when the shift has taken the rest away.
    """
    tiles, features, lanes = x.shape
    run, one = splat(x.dtype.type(0), _RUN), splat(x.dtype.type(0), 1)
    for f in share(team, features):
        factor = gamma[f] / math.sqrt(variance[f] + epsilon)
        scale, centre = x.dtype.type(factor), x.dtype.type(mean[f])
        shift = x.dtype.type(beta[f] - (mean[f] - centre) * factor)
        for tile in range(tiles):
            start = _start(x, tile, f)
            whole = start + np.int64(lanes) // _RUN * _RUN
            _write_normalised(x, start, whole, scale, centre, shift, run, y)
            _write_normalised(x, whole, start + lanes, scale, centre, shift, one, y)


def plain_batch_norm_backward(x, dy, gamma, epsilon):
    """Return dx, dgamma and dbeta of ``plain_batch_norm``, through its mean and variance too."""
    deviation = np.sqrt(x.var(axis=0) + epsilon)
    h = (x - x.mean(axis=0)) / deviation
    dx = gamma / deviation * (dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0))
    return dx, (dy * h).sum(axis=0), dy.sum(axis=0)


@kernel(inlined=True)
def _add_products(x, dy, begin, end, mean, like, sums, products):
    """Add gradients, and their products with distances from the mean."""
    for here in range(begin, end, count(like)):
        d = in_float64(load_like(dy, here, like))
        sums = add(sums, d)
        d = multiply(d, minus(in_float64(load_like(x, here, like)), mean))
        products = add(products, d)
    return sums, products


@kernel(inlined=True)
def _write_dx(x, dy, begin, end, factors, like, dx):
    """Write ``a dy + b (x - centre) + c``."""
    a, b, c, centre = factors
    for here in range(begin, end, count(like)):
        v = fma(splat_like(c, like), b, minus(load_like(x, here, like), centre))
        store(dx, here, fma(v, a, load_like(dy, here, like)))


@kernel(parallel=True)
def normalise_backward(
    team, x, dy, n_valid, mean, variance, epsilon, gamma, batch, dgamma, dbeta, dx
):
    """Write the gradients of ``normalise``, through the statistics only where ``batch``.

    dx is linear in dy and x, ``a dy + b (x - centre) + c`` for each feature, the centre as in
    ``normalise``: one pass once the sums are known.
    """
    run, one = splat(x.dtype.type(0), _RUN), splat(x.dtype.type(0), 1)
    for f in share(team, x.shape[1]):
        sums, products, few, few_products = (
            in_float64(run), in_float64(run), in_float64(one), in_float64(one)
        )  # fmt: skip
        for tile in range(x.shape[0]):
            start, (real, whole) = _start(x, tile, f), _real(x, tile, n_valid)
            whole, real = start + whole, start + real
            sums, products = _add_products(x, dy, start, whole, mean[f], run, sums, products)
            few, few_products = _add_products(x, dy, whole, real, mean[f], one, few, few_products)
        inverse = 1 / math.sqrt(variance[f] + epsilon)
        sum_dy = total(sums) + total(few)
        sum_dy_h = (total(products) + total(few_products)) * inverse
        dgamma[f], dbeta[f] = sum_dy_h, sum_dy
        factor = gamma[f] * inverse
        tilt = -factor * inverse * sum_dy_h / n_valid if batch else 0.0
        a, b, centre = x.dtype.type(factor), x.dtype.type(tilt), x.dtype.type(mean[f])
        c = x.dtype.type(-factor * sum_dy / n_valid - tilt * (mean[f] - centre) if batch else 0.0)
        for tile in range(x.shape[0]):
            start, (real, whole) = _start(x, tile, f), _real(x, tile, n_valid)
            _write_dx(x, dy, start, start + whole, (a, b, c, centre), run, dx)
            _write_dx(x, dy, start + whole, start + real, (a, b, c, centre), one, dx)
            for lane in range(real, x.shape[2]):
                dx[tile, f, lane] = 0
