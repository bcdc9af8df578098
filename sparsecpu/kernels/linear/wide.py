"""The kernels of a sparse linear layer, on lane-tiled arrays, with vectors as wide as a tile.

``x`` is ``(tiles, n_in, lanes)``, ``y`` is ``(tiles, n_out, lanes)``, the pattern is CSR with rows
of outputs. ``starts`` and ``ends`` are ``(blocks, n_out)``: where each row's nonzeros of each block
of columns lie; see ``sparse.row_blocks``. Chunk c is the rows from ``chunks[c]`` to
``chunks[c + 1]``, of similar work; it goes through all blocks before the next one begins. Chunks
change who computes a row, never the order of its sums.

``x`` may also hold 16-bit numbers, as ``kernels.vectors.sixteen_bits`` writes them; sums stay
float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.finishes import finished
from sparsecpu.kernels.linear.prefetch import prefetch_piece, prefetch_x, x_is_far
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    fma,
    splat,
    splat_like,
    total,
)
from sparsecpu.kernels.vectors.dots import dots
from sparsecpu.kernels.vectors.memory import at, load, load_like, store

#: Tile widths that kernels are built for.
LANES = (16, 32, 64, 128)


def plain_matmul(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, x: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Return ``W x + bias``; ``x`` is ``(n_in, lanes)``: a tile."""
    y = np.zeros((len(bias), x.shape[1]), x.dtype)
    for i in range(len(bias)):
        y[i] = bias[i]
        for k in range(indptr[i], indptr[i + 1]):
            y[i] += data[k] * x[indices[k]]
    return y


@kernel(inlined=True)
def _begin_row(y, here, i, block, bias, zeros):
    """Return what a row's sum begins with: the bias, or what the last block has left in ``y``."""
    if block > 0:
        return load_like(y, here, zeros)
    y_i = zeros
    if bias.shape[0] > 0:
        y_i = splat_like(at(bias, np.int64(i)), zeros)
    return y_i


@kernel(inlined=True)
def _add_products(y_i, k, end, indices, data, x, base):
    """Return ``y_i`` with ``data[k] * x[indices[k]]`` added for all k up to ``end``."""
    if count(y_i) <= 32:  # narrow tiles need a second sum to hide an FMA's latency
        other = splat_like(data.dtype.type(0), y_i)
        while k + 2 <= end:
            j = base + np.int64(at(indices, k)) * count(y_i)
            y_i = fma(y_i, at(data, k), load_like(x, j, y_i))
            j = base + np.int64(at(indices, k + 1)) * count(y_i)
            other = fma(other, at(data, k + 1), load_like(x, j, y_i))
            k += 2
        y_i = add(y_i, other)
    while k < end:
        j = base + np.int64(at(indices, k)) * count(y_i)
        y_i = fma(y_i, at(data, k), load_like(x, j, y_i))
        k += 1
    return y_i


@functools.cache
def matmul_kernel(lanes: int) -> Callable:
    """Return the kernel of ``y = W x + bias``, which is also that of ``dx = W' dy``.

    ``matmul(starts, ends, indices, data, x, bias, gate, y, finish, chunks)``: ``finish`` is one of
    ``kernels.linear.finishes``, which say whether ``gate`` is read. An empty ``bias`` counts as
    zeros.
    """

    @kernel(parallel=True)
    def matmul(team, starts, ends, indices, data, x, bias, gate, y, finish, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], y.shape[1]
        n_chunks, blocks = chunks.shape[0] - 1, starts.shape[0]
        far = lanes <= 32 and x_is_far(n_in, lanes, data.itemsize, blocks)
        for job in share(team, tiles * n_chunks):  # tile by tile: a thread keeps one in its L2
            tile, chunk = job // n_chunks, job % n_chunks
            base, zeros = np.int64(tile) * n_in * lanes, splat(data.dtype.type(0), lanes)
            for block in range(blocks):
                for i in range(chunks[chunk], chunks[chunk + 1]):
                    here = (np.int64(tile) * n_out + i) * lanes
                    k = at(starts, np.int64(block) * n_out + i)
                    end = at(ends, np.int64(block) * n_out + i)
                    if blocks > 1:
                        prefetch_piece(starts, block, i, indices, data)
                    if far:
                        prefetch_x(x, base, indices, k, end, zeros)
                    y_i = _begin_row(y, here, i, block, bias, zeros)
                    y_i = _add_products(y_i, k, end, indices, data, x, base)
                    if block == blocks - 1:
                        y_i = finished(y_i, finish, gate, here)
                    store(y, here, y_i)

    return matmul


def plain_gradient(
    indptr: np.ndarray, indices: np.ndarray, x: np.ndarray, dy: np.ndarray
) -> np.ndarray:
    """Return ``dw = dy x'`` at the nonzeros; ``x`` and ``dy`` are tiles."""
    dw = np.zeros(len(indices), x.dtype)
    for i in range(len(dy)):
        for k in range(indptr[i], indptr[i + 1]):
            dw[k] = dy[i] @ x[indices[k]]
    return dw


@kernel(inlined=True)
def _add_dots(dw, k, end, indices, x, base, dy_i):
    """Add ``dy_i`` times ``x[indices[k]]`` to ``dw[k]`` for all k up to ``end``."""
    while k + 16 <= end:
        store(dw, k, add(load(dw, k, 16), dots(x, indices, k, base, dy_i, 16)))
        k += 16
    if k + 8 <= end:
        store(dw, k, add(load(dw, k, 8), dots(x, indices, k, base, dy_i, 8)))
        k += 8
    if k + 4 <= end:
        store(dw, k, add(load(dw, k, 4), dots(x, indices, k, base, dy_i, 4)))
        k += 4
    while k < end:
        dw[k] += total(dots(x, indices, k, base, dy_i, 1))
        k += 1


@functools.cache
def gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of ``dw = dy x'`` at the nonzeros, and of the bias gradient.

    ``gradient(starts, ends, indices, x, dy, dw, dbias, chunks)``; an empty ``dbias`` is left
    alone. Rows are cut between threads and tiles come one after the other, so each nonzero has one
    writer at a time and its sum one order.
    """

    @kernel(parallel=True)
    def gradient(team, starts, ends, indices, x, dy, dw, dbias, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], dy.shape[1]
        n_chunks, blocks = chunks.shape[0] - 1, starts.shape[0]
        far = lanes <= 32 and x_is_far(n_in, lanes, dw.itemsize, blocks)
        for tile in range(tiles):
            base = np.int64(tile) * n_in * lanes
            for chunk in share(team, n_chunks):
                for block in range(blocks):
                    for i in range(chunks[chunk], chunks[chunk + 1]):
                        k = at(starts, np.int64(block) * n_out + i)
                        end = at(ends, np.int64(block) * n_out + i)
                        dy_i = load(dy, (np.int64(tile) * n_out + i) * lanes, lanes)
                        if blocks > 1:
                            prefetch_piece(starts, block, i, indices, dw)
                        if far:
                            prefetch_x(x, base, indices, k, end, dy_i)
                        if tile == 0:
                            dw[k:end] = 0
                        _add_dots(dw, k, end, indices, x, base, dy_i)
                        if dbias.shape[0] > 0 and block == 0:
                            if tile == 0:
                                dbias[i] = 0
                            dbias[i] += total(dy_i)

    return gradient
