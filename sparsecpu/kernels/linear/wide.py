"""The three kernels of a sparse linear layer, on lane-tiled arrays.

``x`` is ``(tiles, n_in, lanes)``, ``y`` is ``(tiles, n_out, lanes)``, the pattern is CSR with rows
of outputs. ``starts`` and ``ends`` are ``(blocks, n_out)``: where each row's nonzeros of each block
of columns lie; see ``sparse.row_blocks``. ``chunks`` cuts the rows into runs of similar work:
``chunks[c] <= row < chunks[c+1]``; a run goes through all blocks before the next one begins. Chunks
change who computes a row, never the order of its sums.

``x`` may also hold 16-bit numbers, as ``kernels.vectors.sixteen_bits`` writes them; sums stay
float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.linear.finishes import GATED, PLAIN, RELU
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    fma,
    positive_part,
    splat,
    total,
    where_positive,
    without_tiny,
)
from sparsecpu.kernels.vectors.dots import dots
from sparsecpu.kernels.vectors.memory import at, load, prefetch, store

#: From so many bytes on, rows of a narrow tile are asked for so many nonzeros before they are read.
#: The CPU looks far enough ahead by itself in its caches, and for wide rows.
_FAR, _AHEAD = 16 << 20, 64
#: Where rows are cut, their pieces lie apart: the index of a row so many further is asked for.
LINES_AHEAD = 8
#: Tile widths that kernels are built for.
LANES = (16, 32, 64, 128)


@functools.cache
def matmul_kernel(lanes: int) -> Callable:
    """Return the kernel of ``y = W x + bias``, which is also that of ``dx = W' dy``.

    Parameters
    ----------
    lanes : int
        Width of a tile, one of ``LANES``.

    Returns
    -------
    callable
        ``matmul(starts, ends, indices, data, x, bias, gate, y, finish, chunks)``: ``finish`` is
        PLAIN; RELU (``max(y, 0)``); BACK, for gradients (0 where smaller than ``TINY``); or GATED
        (BACK, and 0 where ``gate <= 0``: the backward pass of a ReLU whose output was ``gate``). An
        empty ``bias`` counts as zeros; ``gate`` is read when GATED only.
    """

    @kernel(parallel=True)
    def matmul(starts, ends, indices, data, x, bias, gate, y, finish, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], y.shape[1]
        n_chunks, blocks, nnz = chunks.shape[0] - 1, starts.shape[0], indices.shape[0]
        far = blocks == 1 and n_in * lanes * data.itemsize >= _FAR
        for job in prange(tiles * n_chunks):  # tile by tile: a thread keeps one in its L2
            tile, chunk = job // n_chunks, job % n_chunks
            base = np.int64(tile) * n_in * lanes
            for block in range(blocks):
                for i in range(chunks[chunk], chunks[chunk + 1]):
                    here = (np.int64(tile) * n_out + i) * lanes
                    k = at(starts, np.int64(block) * n_out + i)
                    end = at(ends, np.int64(block) * n_out + i)
                    if blocks > 1:
                        soon = at(starts, np.int64(block) * n_out + min(i + LINES_AHEAD, n_out - 1))
                        prefetch(indices, soon, 32, 1)
                        prefetch(data, soon, 32, 1)
                    start = data.dtype.type(0)
                    if bias.shape[0] > 0:
                        start = at(bias, np.int64(i))
                    y_i = splat(start, lanes)
                    if block > 0:
                        y_i = load(y, here, lanes)
                    if lanes <= 32:  # narrow tiles need a second sum to hide an FMA's latency
                        if far:
                            for q in range(k, end):
                                j = np.int64(at(indices, min(q + _AHEAD, nnz - 1)))
                                prefetch(x, base + j * lanes, lanes, 2)
                        other = splat(data.dtype.type(0), lanes)
                        while k + 2 <= end:
                            j = base + np.int64(at(indices, k)) * lanes
                            y_i = fma(y_i, at(data, k), load(x, j, lanes))
                            j = base + np.int64(at(indices, k + 1)) * lanes
                            other = fma(other, at(data, k + 1), load(x, j, lanes))
                            k += 2
                        y_i = add(y_i, other)
                    while k < end:
                        j = base + np.int64(at(indices, k)) * lanes
                        y_i = fma(y_i, at(data, k), load(x, j, lanes))
                        k += 1
                    if block == blocks - 1 and finish == RELU:
                        y_i = positive_part(y_i)
                    elif block == blocks - 1 and finish != PLAIN:
                        if finish == GATED:
                            y_i = where_positive(y_i, load(gate, here, lanes))
                        y_i = without_tiny(y_i)
                    store(y, here, y_i)

    return matmul


@functools.cache
def gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of ``dw = (dy x')`` at the nonzeros, and of the bias gradient.

    Parameters
    ----------
    lanes : int
        Width of a tile, one of ``LANES``.

    Returns
    -------
    callable
        ``gradient(starts, ends, indices, x, dy, dw, dbias, chunks)``; an empty ``dbias`` is left
        alone. Rows are cut between threads and tiles come one after the other, so each nonzero has
        one writer at a time and its sum one order.
    """

    @kernel(parallel=True)
    def gradient(starts, ends, indices, x, dy, dw, dbias, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], dy.shape[1]
        n_chunks, blocks, nnz = chunks.shape[0] - 1, starts.shape[0], indices.shape[0]
        far = lanes <= 32 and blocks == 1 and n_in * lanes * dw.itemsize >= _FAR
        for tile in range(tiles):
            base = np.int64(tile) * n_in * lanes
            for chunk in prange(n_chunks):
                for block in range(blocks):
                    for i in range(chunks[chunk], chunks[chunk + 1]):
                        k = at(starts, np.int64(block) * n_out + i)
                        end = at(ends, np.int64(block) * n_out + i)
                        if blocks > 1:
                            soon = at(
                                starts, np.int64(block) * n_out + min(i + LINES_AHEAD, n_out - 1)
                            )
                            prefetch(indices, soon, 32, 1)
                            prefetch(dw, soon, 32, 1)
                        if far:
                            for q in range(k, end):
                                j = np.int64(at(indices, min(q + _AHEAD, nnz - 1)))
                                prefetch(x, base + j * lanes, lanes, 2)
                        if tile == 0:
                            dw[k:end] = 0
                        dy_i = load(dy, (np.int64(tile) * n_out + i) * lanes, lanes)
                        while k + 16 <= end:
                            found = dots(x, indices, k, base, dy_i, 16)
                            store(dw, k, add(load(dw, k, 16), found))
                            k += 16
                        if k + 8 <= end:
                            found = dots(x, indices, k, base, dy_i, 8)
                            store(dw, k, add(load(dw, k, 8), found))
                            k += 8
                        if k + 4 <= end:
                            found = dots(x, indices, k, base, dy_i, 4)
                            store(dw, k, add(load(dw, k, 4), found))
                            k += 4
                        while k < end:
                            dw[k] += total(dots(x, indices, k, base, dy_i, 1))
                            k += 1
                        if dbias.shape[0] > 0 and block == 0:
                            if tile == 0:
                                dbias[i] = 0
                            dbias[i] += total(dy_i)

    return gradient
