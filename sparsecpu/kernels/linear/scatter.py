"""``dx = W' dy`` without a column-by-column index: rows are scattered instead of gathered."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.machine.compile import TINY, kernel
from sparsecpu.kernels.machine.cpu import wide_vectors_pay
from sparsecpu.kernels.vectors.arithmetic import fma, splat, where_positive, without_tiny
from sparsecpu.kernels.vectors.memory import at, load, store


@kernel(part=True)
def first_from(indices, low, high, column):
    """Return the first place in a sorted run whose column is not below another."""
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@functools.cache
def scatter_kernel(lanes: int) -> Callable:
    """Return the kernel of ``dx = W' dy``, gated by x where asked, 0 where it is tiny.

    Parameters
    ----------
    lanes : int
        Width of a tile, one of ``linear.LANES``.

    Returns
    -------
    callable
        ``scatter(indptr, indices, data, dy, x, dx, gated, parts)``. Columns are cut into ``parts``
        runs, each of which has one writer that goes through the rows in order, so sums do not
        depend on them.
    """
    if not wide_vectors_pay():
        return _portable(lanes)

    @kernel(parallel=True)
    def scatter(indptr, indices, data, dy, x, dx, gated, parts):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        for job in prange(tiles * parts):
            tile, part = job // parts, job % parts
            low, high = n_in * part // parts, n_in * (part + 1) // parts
            base = np.int64(tile) * n_in * lanes
            zero = splat(data.dtype.type(0), lanes)
            for j in range(low, high):
                store(dx, base + np.int64(j) * lanes, zero)
            for i in range(n_out):
                k, end = at(indptr, np.int64(i)), at(indptr, np.int64(i) + 1)
                if parts > 1:
                    k = first_from(indices, k, end, low)
                    end = first_from(indices, k, end, high)
                if k < end:
                    dy_i = load(dy, (np.int64(tile) * n_out + i) * lanes, lanes)
                    while k < end:
                        j = base + np.int64(at(indices, k)) * lanes
                        store(dx, j, fma(load(dx, j, lanes), at(data, k), dy_i))
                        k += 1
            for j in range(low, high):
                here = base + np.int64(j) * lanes
                dx_j = load(dx, here, lanes)
                if gated:
                    dx_j = where_positive(dx_j, load(x, here, lanes))
                store(dx, here, without_tiny(dx_j))

    return scatter


def _portable(lanes: int) -> Callable:
    """Return the same kernel in plain Numba."""

    @kernel(parallel=True)
    def scatter(indptr, indices, data, dy, x, dx, gated, parts):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        for job in prange(tiles * parts):
            tile, part = job // parts, job % parts
            low, high = n_in * part // parts, n_in * (part + 1) // parts
            dx[tile, low:high] = 0
            for i in range(n_out):
                k = first_from(indices, indptr[i], indptr[i + 1], low)
                end = first_from(indices, k, indptr[i + 1], high)
                while k < end:
                    j = indices[k]
                    for lane in range(lanes):
                        dx[tile, j, lane] += data[k] * dy[tile, i, lane]
                    k += 1
            for j in range(low, high):
                for lane in range(lanes):
                    closed = gated and not x[tile, j, lane] > 0
                    if closed or abs(dx[tile, j, lane]) < TINY:
                        dx[tile, j, lane] = 0

    return scatter
