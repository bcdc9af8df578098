"""``dx = W' dy`` without a column-by-column index: rows are scattered instead of gathered."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.finishes import (
    BACK_PLUS,
    BACK_TIMES,
    GATED,
    finished_gradient,
)
from sparsecpu.kernels.machine.compile import TINY, kernel
from sparsecpu.kernels.machine.cpu import wide_vectors_pay
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import count, fma, splat
from sparsecpu.kernels.vectors.memory import at, load, load_like, store


@kernel(part=True)
def _first_from(indices, low, high, column):
    """Return the first place from ``low`` to ``high`` whose column is ``column`` or larger."""
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(inlined=True)
def _scatter_row(dx, base, indices, data, k, end, dy_i):
    """Add ``data[k] * dy_i`` to the rows ``indices[k]`` of dx for all k up to ``end``."""
    while k < end:
        j = base + np.int64(at(indices, k)) * count(dy_i)
        store(dx, j, fma(load_like(dx, j, dy_i), at(data, k), dy_i))
        k += 1


@kernel(inlined=True)
def _finish_columns(dx, gate, base, low, high, finish, like):
    """Finish columns of dx, from ``low`` to ``high``."""
    for j in range(low, high):
        here = base + np.int64(j) * count(like)
        store(dx, here, finished_gradient(load_like(dx, here, like), finish, gate, here))


def plain_scatter(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, dy: np.ndarray, n_in: int
) -> np.ndarray:
    """Return ``dx = W' dy``: each row of dy is added wherever its nonzeros point; dy is a tile."""
    dx = np.zeros((n_in, dy.shape[1]), dy.dtype)
    for i in range(len(dy)):
        for k in range(indptr[i], indptr[i + 1]):
            dx[indices[k]] += data[k] * dy[i]
    return dx


@functools.cache
def scatter_kernel(lanes: int) -> Callable:
    """Return the kernel of ``dx = W' dy``; a gradient smaller than ``TINY`` becomes 0.

    ``scatter(indptr, indices, data, dy, gate, dx, finish, parts)``: ``finish`` is one of
    ``kernels.linear.finishes`` for gradients. Columns are cut into ``parts``, each of which has one
    writer that goes through the rows in order, so sums do not depend on their number.
    """
    if not wide_vectors_pay():
        return _portable(lanes)

    @kernel(parallel=True)
    def scatter(team, indptr, indices, data, dy, gate, dx, finish, parts):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        for job in share(team, tiles * parts):
            tile, part = job // parts, job % parts
            low, high = n_in * part // parts, n_in * (part + 1) // parts
            base = np.int64(tile) * n_in * lanes
            zero = splat(data.dtype.type(0), lanes)
            for j in range(low, high):
                store(dx, base + np.int64(j) * lanes, zero)
            for i in range(n_out):
                k, end = at(indptr, np.int64(i)), at(indptr, np.int64(i) + 1)
                if parts > 1:
                    k = _first_from(indices, k, end, low)
                    end = _first_from(indices, k, end, high)
                if k < end:
                    dy_i = load(dy, (np.int64(tile) * n_out + i) * lanes, lanes)
                    _scatter_row(dx, base, indices, data, k, end, dy_i)
            _finish_columns(dx, gate, base, low, high, finish, zero)

    return scatter


def _portable(lanes: int) -> Callable:
    """Return the same kernel in plain Numba, for CPUs on which wide vectors do badly."""

    @kernel(parallel=True)
    def scatter(team, indptr, indices, data, dy, gate, dx, finish, parts):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        for job in share(team, tiles * parts):
            tile, part = job // parts, job % parts
            low, high = n_in * part // parts, n_in * (part + 1) // parts
            dx[tile, low:high] = 0
            for i in range(n_out):
                k = _first_from(indices, indptr[i], indptr[i + 1], low)
                end = _first_from(indices, k, indptr[i + 1], high)
                while k < end:
                    j = indices[k]
                    for lane in range(lanes):
                        dx[tile, j, lane] += data[k] * dy[tile, i, lane]
                    k += 1
            for j in range(low, high):
                for lane in range(lanes):
                    if finish == BACK_TIMES:
                        dx[tile, j, lane] *= gate[tile, j, lane]
                    closed = finish == GATED and not gate[tile, j, lane] > 0
                    if closed or abs(dx[tile, j, lane]) < TINY:
                        dx[tile, j, lane] = 0
                    if finish == BACK_PLUS:
                        dx[tile, j, lane] += gate[tile, j, lane]

    return scatter
