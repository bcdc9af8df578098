"""The kernels of ``kernels.linear.grouped`` with factors in bf16, two products at a time.

``kernels.vectors.pairs`` says what is rounded. Each product adds up over something, of which two
neighbours make a pair: forward over the shared columns, dx over the rows of a group, dW over the
samples. So forward reads x in woven rows and two values of a row at once, from a copy of the values
in 16 bits; dx reads values of two rows at once, from a copy that has them side by side, and makes
pairs of the rows of dy as it goes; dW reads woven rows of x and dy, in which neighbours are pairs.

The arguments are those of ``kernels.linear.grouped``, but for ``weights``, one of these copies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.finishes import PLAIN, PLUS, RELU, finished_gradient
from sparsecpu.kernels.linear.grouped import strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import splat, total
from sparsecpu.kernels.vectors.bundles import (
    add_bundles,
    bundle_of,
    load_rows,
    positive_rows,
    splat_rows,
    store_dot_tile,
    store_rows,
)
from sparsecpu.kernels.vectors.memory import at, load, load_like, store
from sparsecpu.kernels.vectors.pairs import (
    RUN,
    WORDS,
    add_column_pair,
    add_pair_dot_tile,
    load_row_pairs,
    store_rounded,
    store_row_pairs,
    store_woven,
    sum_of_row_pairs,
)

#: Rows, or runs of values, that are rounded in one go.
_AT_ONCE = 64


@kernel(parallel=True)
def weave(team, x, out):
    """Write rows of float32, ``(rows, lanes)``, rounded to bf16 and woven."""
    rows, lanes = x.shape
    for part in share(team, (rows + _AT_ONCE - 1) // _AT_ONCE):
        first, end = part * _AT_ONCE, min(rows, (part + 1) * _AT_ONCE)
        for here in range(np.int64(first) * lanes, np.int64(end) * lanes, RUN):
            store_woven(out, here, x, here)


@kernel(parallel=True)
def round_values(team, data, out):
    """Write values rounded to bf16, in their order."""
    size = data.shape[0]
    runs = size // WORDS
    for part in share(team, (runs + _AT_ONCE) // _AT_ONCE):
        for run in range(part * _AT_ONCE, min(runs, (part + 1) * _AT_ONCE)):
            store_rounded(out, np.int64(run) * WORDS, load(data, np.int64(run) * WORDS, WORDS))
        if part == runs // _AT_ONCE:
            for k in range(runs * WORDS, size):
                store_rounded(out, np.int64(k), load(data, np.int64(k), 1))


@functools.cache
def pair_values_kernel(group: int) -> Callable:
    """Return the kernel ``pair_values(indptr, data, n_out, words, chunks)``.

    The word ``k * group / 2 + p`` is of the shared column at place k: its values in rows 2 p and
    2 p + 1 of its group, 0 where the last group has no such row.
    """
    half = group // 2

    @kernel(parallel=True)
    def pair_values(team, indptr, data, n_out, words, chunks):
        for chunk in share(team, chunks.shape[0] - 1):
            wide = bundle_of(splat(np.float32(0), WORDS), group)
            pairs = bundle_of(splat(np.float32(0), WORDS), half)
            narrow = bundle_of(splat(np.float32(0), 1), group)
            one = bundle_of(splat(np.float32(0), 1), half)
            for g in range(chunks[chunk], chunks[chunk + 1]):
                first, end = at(indptr, np.int64(g)), at(indptr, np.int64(g) + 1)
                n, apart = end - first, (group - 1) * first
                rows, k = min(n_out - np.int64(g) * group, group), first
                while k + WORDS <= end:
                    found = load_row_pairs(data, k + apart, n, rows, wide, pairs)
                    store_row_pairs(words, k * half, found)
                    k += WORDS
                while k < end:
                    found = load_row_pairs(data, k + apart, n, rows, narrow, one)
                    store_row_pairs(words, k * half, found)
                    k += 1

    return pair_values


@kernel(inlined=True)
def _sum_rows(like, k, end, apart, n, indices, weights, x, base, lanes, bias, i, gate, y,
              here, block, last):  # fmt: skip
    """Do as ``grouped._sum_rows``, two columns at a time; of an odd number, the last by itself."""
    if block > 0:
        sums = load_rows(y, here, lanes, like)
    elif bias.shape[0] > 0:
        sums = splat_rows(bias, i, like)
    else:
        sums = like
    while k + 1 < end:
        first = base + np.int64(at(indices, k)) * lanes
        second = base + np.int64(at(indices, k + 1)) * lanes
        sums = add_column_pair(sums, weights, k + apart, n, x, first, second)
        k += 2
    if k < end:
        first = base + np.int64(at(indices, k)) * lanes
        sums = add_column_pair(sums, weights, k + apart, n, x, first, None)
    if last == RELU:
        sums = positive_rows(sums)
    elif last == PLUS:
        sums = add_bundles(sums, load_rows(gate, here, lanes, like))
    store_rows(y, here, lanes, sums)


@functools.cache
def matmul_kernel(group: int, lanes: int) -> Callable:
    """Return the kernel of ``y = W x + bias``.

    ``matmul(indptr, starts, ends, indices, weights, x, bias, gate, y, finish, chunks)``:
    ``weights`` from ``round_values`` and x from ``weave``.
    """
    strip = strip_of(group, lanes, 4)

    @kernel(parallel=True)
    def matmul(team, indptr, starts, ends, indices, weights, x, bias, gate, y, finish, chunks):
        tiles, n_in, n_out = x.shape[0], x.shape[1], y.shape[1]
        n_chunks, blocks, groups = chunks.shape[0] - 1, starts.shape[0], starts.shape[1]
        strips = lanes // strip
        for job in share(team, tiles * strips * n_chunks):
            tile, rest = job // (strips * n_chunks), job % (strips * n_chunks)
            part, chunk = rest // n_chunks, rest % n_chunks
            base = np.int64(tile) * n_in * lanes + np.int64(part) * strip
            zeros = splat(np.float32(0), strip)
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
                        _sum_rows(rows, k, end, apart, n, indices, weights, x, base, lanes, bias, i,
                                  gate, y, here, block, last)  # fmt: skip
                    else:
                        for r in range(n_out - i):
                            _sum_rows(
                                one, k, end, apart + r * n, n, indices, weights, x, base, lanes,
                                bias, i + r, gate, y, here + r * lanes, block, last,
                            )  # fmt: skip

    return matmul


@functools.cache
def scatter_kernel(group: int, lanes: int) -> Callable:
    """Return the kernel of ``dx = W' dy``; a gradient smaller than ``TINY`` becomes 0.

    ``scatter(starts, ends, indices, weights, dy, gate, dx, finish)``: ``weights`` from
    ``pair_values``; dy and the gate are float32. One writer and one order of sums, as in
    ``grouped.scatter_kernel``.
    """
    strip, pairs = strip_of(group, lanes, 4), group // 2

    @kernel(parallel=True)
    def scatter(team, starts, ends, indices, weights, dy, gate, dx, finish):
        tiles, n_out, n_in = dy.shape[0], dy.shape[1], dx.shape[1]
        blocks, groups, strips = starts.shape[0], starts.shape[1], lanes // strip
        width = (n_in + blocks - 1) // blocks
        for job in share(team, tiles * strips * blocks):
            tile, rest = job // (strips * blocks), job % (strips * blocks)
            part, block = rest // blocks, rest % blocks
            base = np.int64(tile) * n_in * lanes + np.int64(part) * strip
            zeros = splat(np.float32(0), strip)
            rows, words = bundle_of(zeros, group), bundle_of(zeros, pairs)
            low, high = block * width, min(block * width + width, n_in)
            for j in range(low, high):
                store(dx, base + np.int64(j) * lanes, zeros)
            for g in range(groups):
                k = at(starts, np.int64(block) * groups + g)
                end = at(ends, np.int64(block) * groups + g)
                i = np.int64(g) * group
                here = (np.int64(tile) * n_out + i) * lanes + np.int64(part) * strip
                dy_g = load_row_pairs(dy, here, lanes, min(n_out - i, group), rows, words)
                while k < end:
                    j = base + np.int64(at(indices, k)) * lanes
                    dx_j = load_like(dx, j, zeros)
                    store(dx, j, sum_of_row_pairs(dx_j, weights, k * pairs, dy_g))
                    k += 1
            for j in range(low, high):
                here = base + np.int64(j) * lanes
                dx_j = load_like(dx, here, zeros)
                store(dx, here, finished_gradient(dx_j, finish, gate, here))

    return scatter


@functools.cache
def gradient_kernel(group: int, lanes: int) -> Callable:
    """Return the kernel of ``dw = dy x'`` at the nonzeros, and of the bias gradient.

    ``gradient(indptr, starts, ends, indices, x, dy_read, dy, dw, dbias, chunks, span)``: x and
    ``dy_read`` from ``weave``; the bias gradient is a sum of dy, float32. The rest as in
    ``grouped.gradient_kernel``.
    """
    columns = max(16 // group, 1)
    pairs = group * columns

    @kernel(parallel=True)
    def gradient(team, indptr, starts, ends, indices, x, dy_read, dy, dw, dbias, chunks, span):
        tiles, n_in, n_out = x.shape[0], x.shape[1], dy.shape[1]
        n_chunks, blocks, groups = chunks.shape[0] - 1, starts.shape[0], starts.shape[1]
        zeros = splat(np.float32(0), WORDS)
        full, single = bundle_of(zeros, pairs), bundle_of(zeros, group)
        one = bundle_of(zeros, 1)
        for from_tile in range(0, tiles, span):
            to_tile = min(from_tile + span, tiles)
            for chunk in share(team, n_chunks):
                for block in range(blocks):
                    for g in range(chunks[chunk], chunks[chunk + 1]):
                        k = at(starts, np.int64(block) * groups + g)
                        end = at(ends, np.int64(block) * groups + g)
                        first, i = at(indptr, np.int64(g)), np.int64(g) * group
                        n, apart = at(indptr, np.int64(g) + 1) - first, (group - 1) * first
                        if i + group <= n_out:
                            while k + columns <= end:
                                sums = full
                                for tile in range(from_tile, to_tile):
                                    sums = add_pair_dot_tile(
                                        sums, x, np.int64(tile) * n_in * lanes, indices, k, columns,
                                        dy_read, (np.int64(tile) * n_out + i) * lanes, lanes,
                                    )  # fmt: skip
                                store_dot_tile(dw, k + apart, n, columns, sums, from_tile > 0)
                                k += columns
                            while k < end:
                                sums = single
                                for tile in range(from_tile, to_tile):
                                    sums = add_pair_dot_tile(
                                        sums, x, np.int64(tile) * n_in * lanes, indices, k, 1,
                                        dy_read, (np.int64(tile) * n_out + i) * lanes, lanes,
                                    )  # fmt: skip
                                store_dot_tile(dw, k + apart, n, 1, sums, from_tile > 0)
                                k += 1
                        else:
                            for r in range(n_out - i):
                                for q in range(k, end):
                                    sums = one
                                    for tile in range(from_tile, to_tile):
                                        sums = add_pair_dot_tile(
                                            sums, x, np.int64(tile) * n_in * lanes, indices, q, 1,
                                            dy_read, (np.int64(tile) * n_out + i + r) * lanes,
                                            lanes,
                                        )  # fmt: skip
                                    store_dot_tile(dw, q + apart + r * n, n, 1, sums, from_tile > 0)
                        if dbias.shape[0] > 0 and block == 0:
                            for r in range(i, min(i + group, n_out)):
                                if from_tile == 0:
                                    dbias[r] = 0
                                for tile in range(from_tile, to_tile):
                                    dbias[r] += total(
                                        load(dy, (np.int64(tile) * n_out + r) * lanes, lanes)
                                    )

    return gradient
