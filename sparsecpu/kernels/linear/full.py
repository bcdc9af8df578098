"""The product of a full matrix and a batch: every sum in one order.

What BLAS makes of a sample depends on its company: the number of samples decides which of its
kernels run, and a sample's place among them which part of such a kernel. Here each sum begins with
the bias and goes through the columns in order, in every lane of every tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.cpu import wide_vectors_pay, widest_lanes
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import fma, positive_part, splat, splat_like
from sparsecpu.kernels.vectors.memory import at, load_like, store


def plain_product(matrix: np.ndarray, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return ``matrix x + bias``; ``x`` is ``(n_in, lanes)``: a tile."""
    y = np.zeros((len(matrix), x.shape[1]), x.dtype)
    for i in range(len(matrix)):
        y[i] = bias[i]
        for j in range(matrix.shape[1]):
            y[i] += matrix[i, j] * x[j]
    return y


def product(matrix: np.ndarray, x: np.ndarray, bias: np.ndarray, y: np.ndarray, relu: bool) -> None:
    """Write ``y = matrix x + bias``, or its positive part; an empty ``bias`` counts as zeros.

    ``x`` is ``(tiles, n_in, lanes)`` and ``y`` is ``(tiles, n_out, lanes)``.
    """
    lanes = x.shape[2]
    widths = [n for n in (64, 32, 16, 8, 4) if n <= _widest(x.itemsize) and lanes % n == 0]
    chosen = product_kernel(widths[0]) if widths else product_by_lanes
    chosen(matrix, x, bias, y, relu)


@functools.cache
def _widest(itemsize: int) -> int:
    """Return how many numbers the registers hold for each of six rows: 24 of 32, or 12 of 16."""
    nbytes = 256 if widest_lanes() == 128 else 64 if wide_vectors_pay() else 32
    return nbytes // itemsize


@kernel(inlined=True)
def _begin(bias, i, zeros):
    """Return what the sums of a row begin with."""
    if bias.shape[0] > 0:
        return splat_like(at(bias, i), zeros)
    return zeros


@kernel(inlined=True)
def _end(y, here, y_i, relu):
    """Write a row."""
    store(y, here, positive_part(y_i) if relu else y_i)


@functools.cache
def product_kernel(width: int) -> Callable:
    """Return the kernel of ``product`` for lanes that are a multiple of ``width``.

    Six rows are computed at once, in strips of lanes as wide as the registers allow, so that each
    x is read once for all of them. Where rows are missing the last one is computed again.
    """

    @kernel(parallel=True)
    def multiply(team, matrix, x, bias, y, relu):
        tiles, n_in, lanes = x.shape
        n_out, strips = y.shape[1], lanes // width
        groups, last = (n_out + 5) // 6, np.int64(n_out - 1)
        for job in share(team, tiles * strips * groups):  # a strip of a tile stays in the cache
            group, strip, tile = job % groups, job // groups % strips, job // (groups * strips)
            zeros = splat(matrix.dtype.type(0), width)
            a = np.int64(group) * 6
            b, c, d = min(a + 1, last), min(a + 2, last), min(a + 3, last)
            e, f = min(a + 4, last), min(a + 5, last)
            p, q, r = _begin(bias, a, zeros), _begin(bias, b, zeros), _begin(bias, c, zeros)
            s, t, u = _begin(bias, d, zeros), _begin(bias, e, zeros), _begin(bias, f, zeros)
            here = np.int64(tile) * n_in * lanes + np.int64(strip) * width
            for j in range(n_in):
                x_j = load_like(x, here, zeros)
                here += lanes
                p = fma(p, at(matrix, a * n_in + j), x_j)
                q = fma(q, at(matrix, b * n_in + j), x_j)
                r = fma(r, at(matrix, c * n_in + j), x_j)
                s = fma(s, at(matrix, d * n_in + j), x_j)
                t = fma(t, at(matrix, e * n_in + j), x_j)
                u = fma(u, at(matrix, f * n_in + j), x_j)
            first = np.int64(tile) * n_out * lanes + np.int64(strip) * width
            _end(y, first + a * lanes, p, relu)
            _end(y, first + b * lanes, q, relu)
            _end(y, first + c * lanes, r, relu)
            _end(y, first + d * lanes, s, relu)
            _end(y, first + e * lanes, t, relu)
            _end(y, first + f * lanes, u, relu)

    return multiply


@kernel(parallel=True)
def product_by_lanes(team, matrix, x, bias, y, relu):
    """Do as ``product_kernel``, for any number of lanes: eight sums hide an addition's latency."""
    tiles, n_in, lanes = x.shape
    n_out, zero = y.shape[1], matrix.dtype.type(0)
    groups, last = (n_out + 7) // 8, np.int64(n_out - 1)
    for job in share(team, tiles * groups):
        tile, a = job // groups, np.int64(job % groups) * 8
        b, c, d, e = min(a + 1, last), min(a + 2, last), min(a + 3, last), min(a + 4, last)
        f, g, h = min(a + 5, last), min(a + 6, last), min(a + 7, last)
        for lane in range(lanes):
            p = q = r = s = t = u = v = w = zero
            if bias.shape[0] > 0:
                p, q, r, s = bias[a], bias[b], bias[c], bias[d]
                t, u, v, w = bias[e], bias[f], bias[g], bias[h]
            here = np.int64(tile) * n_in * lanes + lane
            for j in range(n_in):
                x_j = at(x, here)
                here += lanes
                p += at(matrix, a * n_in + j) * x_j
                q += at(matrix, b * n_in + j) * x_j
                r += at(matrix, c * n_in + j) * x_j
                s += at(matrix, d * n_in + j) * x_j
                t += at(matrix, e * n_in + j) * x_j
                u += at(matrix, f * n_in + j) * x_j
                v += at(matrix, g * n_in + j) * x_j
                w += at(matrix, h * n_in + j) * x_j
            y[tile, a, lane], y[tile, b, lane], y[tile, c, lane], y[tile, d, lane] = p, q, r, s
            y[tile, e, lane], y[tile, f, lane], y[tile, g, lane], y[tile, h, lane] = t, u, v, w
            if relu:
                for i in range(a, h + 1):
                    if y[tile, i, lane] < 0:  # written so that NaN stays NaN
                        y[tile, i, lane] = zero
