"""The kernels of a linear layer whose rows stand in groups that share their columns.

A row of x that is read once then serves all rows of a group, and arithmetic is the limit, not
loads. ``indptr`` is that of the groups: group g's shared columns are
``indices[indptr[g]:indptr[g + 1]]``, sorted. Values are in CSR order: with n columns in group g,
the value of its row r and of place k in ``indices`` is ``data[k + (G - 1) * indptr[g] + r * n]``,
for all groups before it have G rows. The last group may have fewer.

``starts`` and ``ends`` are ``(blocks, groups)``: where each group's columns of each block of
columns lie; see ``sparse.row_blocks``. Tiles are read in strips of lanes, so many that the sums of
a group stay in registers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.finishes import PLAIN, PLUS, RELU, finished_gradient
from sparsecpu.kernels.machine import cpu
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import (
    splat,
    total,
)
from sparsecpu.kernels.vectors.bundles import (
    add_bundles,
    add_dot_tile,
    add_to_rows,
    bundle_of,
    load_rows,
    positive_rows,
    splat_rows,
    store_dot_tile,
    store_rows,
    sum_of_rows,
)
from sparsecpu.kernels.vectors.memory import at, load, load_like, store

#: Group sizes that kernels are built for.
GROUPS = (2, 4, 8)
#: Columns that a group should have in a block of dx, in the mean.
_COLUMNS_OF_A_BLOCK = 16
#: Tiles of x that dW goes through at once where they are large.
_FEW_TILES = 2


@functools.cache
def sums_bytes() -> int:
    """Return how many bytes of sums the registers hold beside what is added to them: half."""
    count, size = cpu.registers()
    return count * size // 2


def strip_of(group: int, lanes: int, itemsize: int) -> int:
    """Return how many lanes of a tile are computed at once."""
    return max(min(lanes, sums_bytes() // (group * itemsize)), 1)


def blocks_of_dx(indptr: np.ndarray, n_in: int, group: int, strip_bytes: int) -> int:
    """Return into how many blocks of columns dx is cut; ``indptr`` is that of the groups.

    Each column that a group has is read and written, so a block should stay in the level-1 cache.
    But rows of dy are read anew for each, which does not pay for few columns, nor where dy comes
    from beyond level 2; and where level 3 is near, larger blocks are better in any case.
    """
    groups = len(indptr) - 1
    near = 8 * groups * group * strip_bytes <= cpu.level_two_cache()
    room = cpu.level_one_cache() * 2 // 3 if near else cpu.level_two_cache() // 4
    if beyond := cpu.near_level_three():
        room = cpu.level_two_cache() // 4 if near else max(room, beyond // 2)
    fitting = -(-n_in * strip_bytes // room)
    return max(1, min(fitting, int(indptr[-1]) // (_COLUMNS_OF_A_BLOCK * groups)))


def tiles_at_once(x: np.ndarray) -> int:
    """Return how many tiles of x are gone through for a few columns.

    A quarter of the level-2 cache holds them, beside dy and dW; or all of it holds a few more, as
    many as it takes to make little of adding up the lanes of a sum.
    """
    fitting = cpu.level_two_cache() // max(1, x[:1].nbytes)
    return max(1, fitting // 4, min(fitting, _FEW_TILES))


def plain_matmul(
    group: int, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, x: np.ndarray,
    bias: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return ``W x + bias``; ``x`` is ``(n_in, lanes)``: a tile."""
    y = np.zeros((len(bias), x.shape[1]), x.dtype)
    for i in range(len(bias)):
        g, r = divmod(i, group)
        n = indptr[g + 1] - indptr[g]
        y[i] = bias[i]
        for q in range(n):
            y[i] += data[group * indptr[g] + r * n + q] * x[indices[indptr[g] + q]]
    return y


@kernel(inlined=True)
def _sum_rows(
    like, k, end, apart, n, indices, data, x, x_base, lanes, bias, i, gate, y, here, block, last
):
    """Write the sums of some rows of a group, from row i on, in one strip.

    Their values lie ``apart`` from the places in ``indices``, each row's n after those before it.
    """
    if block > 0:
        sums = load_rows(y, here, lanes, like)
    elif bias.shape[0] > 0:
        sums = splat_rows(bias, i, like)
    else:
        sums = like
    while k < end:
        v = load_like(x, x_base + np.int64(at(indices, k)) * lanes, like[0])
        sums = add_to_rows(sums, data, k + apart, n, v)
        k += 1
    if last == RELU:
        sums = positive_rows(sums)
    elif last == PLUS:
        sums = add_bundles(sums, load_rows(gate, here, lanes, like))
    store_rows(y, here, lanes, sums)


@functools.cache
def matmul_kernel(group: int, lanes: int, itemsize: int) -> Callable:
    """Return the kernel of ``y = W x + bias``.

    ``matmul(indptr, starts, ends, indices, data, x, bias, gate, y, finish, chunks)``: ``finish`` is
    one of ``kernels.linear.finishes`` for outputs; an empty ``bias`` counts as zeros. Chunks are of
    groups.
    """
    strip = strip_of(group, lanes, itemsize)

    @kernel(parallel=True)
    def matmul(team, indptr, starts, ends, indices, data, x, bias, gate, y, finish, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], y.shape[1]
        n_chunks, blocks, groups = chunks.shape[0] - 1, starts.shape[0], starts.shape[1]
        strips = lanes // strip
        for job in share(team, tiles * strips * n_chunks):
            tile, rest = job // (strips * n_chunks), job % (strips * n_chunks)
            part, chunk = rest // n_chunks, rest % n_chunks
            x_base = np.int64(tile) * n_in * lanes + np.int64(part) * strip
            zeros = splat(data.dtype.type(0), strip)
            rows, one = bundle_of(zeros, group), bundle_of(zeros, 1)
            for block in range(blocks):
                last = finish if block == blocks - 1 else PLAIN
                for g in range(chunks[chunk], chunks[chunk + 1]):
                    k = at(starts, np.int64(block) * groups + g)
                    end = at(ends, np.int64(block) * groups + g)
                    first, i = at(indptr, np.int64(g)), np.int64(g) * group
                    n, apart = at(indptr, np.int64(g) + 1) - first, (group - 1) * first
                    here = (np.int64(tile) * n_out + i) * lanes + np.int64(part) * strip
                    if i + group <= n_out:
                        _sum_rows(rows, k, end, apart, n, indices, data, x, x_base, lanes, bias, i,
                                  gate, y, here, block, last)  # fmt: skip
                    else:
                        for r in range(n_out - i):
                            _sum_rows(
                                one, k, end, apart + r * n, n, indices, data, x, x_base, lanes,
                                bias, i + r, gate, y, here + r * lanes, block, last,
                            )  # fmt: skip

    return matmul


@kernel(inlined=True)
def _scatter_rows(like, k, end, apart, n, indices, data, dy, here, dx, base, lanes):
    """Add some rows of dy, each times its values, to the rows of dx that they share."""
    rows = load_rows(dy, here, lanes, like)
    while k < end:
        j = base + np.int64(at(indices, k)) * lanes
        store(dx, j, sum_of_rows(load_like(dx, j, like[0]), data, k + apart, n, rows))
        k += 1


@functools.cache
def scatter_kernel(group: int, lanes: int, itemsize: int) -> Callable:
    """Return the kernel of ``dx = W' dy``; a gradient smaller than ``TINY`` becomes 0.

    ``scatter(indptr, starts, ends, indices, data, dy, gate, dx, finish)``: ``finish`` is one of
    ``kernels.linear.finishes`` for gradients. The columns of a block, and the lanes of a strip,
    have one writer, which goes through the groups in order: how many blocks there are changes no
    sum.
    """
    strip = strip_of(group, lanes, itemsize)

    @kernel(parallel=True)
    def scatter(team, indptr, starts, ends, indices, data, dy, gate, dx, finish):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        blocks, groups, strips = starts.shape[0], starts.shape[1], lanes // strip
        width = (n_in + blocks - 1) // blocks
        for job in share(team, tiles * strips * blocks):
            tile, rest = job // (strips * blocks), job % (strips * blocks)
            part, block = rest // blocks, rest % blocks
            base = np.int64(tile) * n_in * lanes + np.int64(part) * strip
            zeros = splat(data.dtype.type(0), strip)
            rows, one = bundle_of(zeros, group), bundle_of(zeros, 1)
            low, high = block * width, min(block * width + width, n_in)
            for j in range(low, high):
                store(dx, base + np.int64(j) * lanes, zeros)
            for g in range(groups):
                k = at(starts, np.int64(block) * groups + g)
                end = at(ends, np.int64(block) * groups + g)
                first, i = at(indptr, np.int64(g)), np.int64(g) * group
                n, apart = at(indptr, np.int64(g) + 1) - first, (group - 1) * first
                here = (np.int64(tile) * n_out + i) * lanes + np.int64(part) * strip
                if i + group <= n_out:
                    _scatter_rows(rows, k, end, apart, n, indices, data, dy, here, dx, base, lanes)
                else:
                    for r in range(n_out - i):
                        _scatter_rows(one, k, end, apart + r * n, n, indices, data, dy,
                                      here + r * lanes, dx, base, lanes)  # fmt: skip
            for j in range(low, high):
                here = base + np.int64(j) * lanes
                dx_j = load_like(dx, here, zeros)
                store(dx, here, finished_gradient(dx_j, finish, gate, here))

    return scatter


def _dot_tile(group: int, lanes: int, itemsize: int) -> tuple[int, int]:
    """Return how many columns are taken at once, and how wide the sums of their products are."""
    count, size = cpu.registers()
    return max(count // 2 // group, 1), min(lanes, size // itemsize)


def _dots_of(columns: int, lanes: int) -> Callable:
    """Return what writes the dot products of some rows of dy with so many shared rows of x."""

    @kernel(inlined=True)
    def dots(like, x, dy, i, indices, k, dw, place, n, from_tile, to_tile):
        sums = like
        for tile in range(from_tile, to_tile):
            x_base = np.int64(tile) * x.shape[1] * lanes
            dy_first = (np.int64(tile) * dy.shape[1] + i) * lanes
            sums = add_dot_tile(sums, x, x_base, indices, k, columns, dy, dy_first, lanes)
        store_dot_tile(dw, place, n, columns, sums, from_tile > 0)

    return dots


@functools.cache
def gradient_kernel(group: int, lanes: int, itemsize: int) -> Callable:
    """Return the kernel of ``dw = dy x'`` at the nonzeros, and of the bias gradient.

    ``gradient(indptr, starts, ends, indices, x, dy, dw, dbias, chunks, span, skipped)``: so many
    tiles at a time are gone through for each few columns; an empty ``dbias`` is left alone. Chunks
    may be those of some groups only: ``dw`` begins with the nonzero at place ``skipped``. Groups
    are cut between threads, so each nonzero has one writer and its sum one order.
    """
    columns, width = _dot_tile(group, lanes, itemsize)
    pairs = group * columns
    dot_tile, dot_column = _dots_of(columns, lanes), _dots_of(1, lanes)

    @kernel(parallel=True)
    def gradient(team, indptr, starts, ends, indices, x, dy, dw, dbias, chunks, span, skipped):
        tiles, n_out = x.shape[0], dy.shape[1]
        n_chunks, blocks, groups = chunks.shape[0] - 1, starts.shape[0], starts.shape[1]
        zeros = splat(dw.dtype.type(0), width)
        full, single = bundle_of(zeros, pairs), bundle_of(zeros, group)
        one = bundle_of(zeros, 1)
        for from_tile in range(0, tiles, span):  # outside, so that x is read once for all chunks
            to_tile = min(from_tile + span, tiles)
            for chunk in share(team, n_chunks):
                for block in range(blocks):
                    for g in range(chunks[chunk], chunks[chunk + 1]):
                        k = at(starts, np.int64(block) * groups + g)
                        end = at(ends, np.int64(block) * groups + g)
                        first, i = at(indptr, np.int64(g)), np.int64(g) * group
                        n = at(indptr, np.int64(g) + 1) - first
                        apart = (group - 1) * first - skipped
                        if i + group <= n_out:
                            while k + columns <= end:
                                dot_tile(full, x, dy, i, indices, k, dw, k + apart, n, from_tile,
                                         to_tile)  # fmt: skip
                                k += columns
                            while k < end:
                                dot_column(single, x, dy, i, indices, k, dw, k + apart, n,
                                           from_tile, to_tile)  # fmt: skip
                                k += 1
                        else:
                            for r in range(n_out - i):
                                for q in range(k, end):
                                    dot_column(one, x, dy, i + r, indices, q, dw, q + apart + r * n,
                                               n, from_tile, to_tile)  # fmt: skip
                        if dbias.shape[0] > 0 and block == 0:
                            for r in range(i, min(i + group, n_out)):
                                if from_tile == 0:
                                    dbias[r] = 0
                                for tile in range(from_tile, to_tile):
                                    dbias[r] += total(
                                        load(dy, (np.int64(tile) * n_out + r) * lanes, lanes)
                                    )

    return gradient
