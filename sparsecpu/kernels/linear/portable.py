"""The kernels of ``wide`` in plain Numba, for CPUs on which wide vectors do badly.

Same arguments, same results up to rounding, a little over half the speed where both are good: eight
nonzeros share each pass over a row of sums, and four share each pass over a row of dy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from sparsecpu.kernels.linear.finishes import (
    BACK_PLUS,
    BACK_TIMES,
    GATED,
    PLAIN,
    PLUS,
    RELU,
)
from sparsecpu.kernels.machine.compile import TINY, kernel
from sparsecpu.kernels.machine.team import share


@functools.cache
def matmul_kernel(lanes: int) -> Callable:
    """Return the kernel of ``y = W x + bias``, with the arguments of ``wide.matmul_kernel``."""

    @kernel(parallel=True, reorders=True)
    def matmul(team, starts, ends, indices, data, x, bias, gate, y, finish, chunks):
        tiles, n_chunks, blocks = x.shape[0], chunks.shape[0] - 1, starts.shape[0]
        for block in range(blocks):
            for job in share(team, tiles * n_chunks):
                tile, chunk = job // n_chunks, job % n_chunks
                for i in range(chunks[chunk], chunks[chunk + 1]):
                    k, end = starts[block, i], ends[block, i]
                    if block == 0:
                        for lane in range(lanes):
                            y[tile, i, lane] = bias[i] if bias.shape[0] > 0 else 0
                    while k + 8 <= end:
                        a, b, c, d = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
                        e, f, g, h = indices[k + 4], indices[k + 5], indices[k + 6], indices[k + 7]
                        for lane in range(lanes):
                            y[tile, i, lane] += (
                                data[k] * x[tile, a, lane] + data[k + 1] * x[tile, b, lane]
                                + data[k + 2] * x[tile, c, lane] + data[k + 3] * x[tile, d, lane]
                                + data[k + 4] * x[tile, e, lane] + data[k + 5] * x[tile, f, lane]
                                + data[k + 6] * x[tile, g, lane] + data[k + 7] * x[tile, h, lane]
                            )  # fmt: skip
                        k += 8
                    while k < end:
                        a = indices[k]
                        for lane in range(lanes):
                            y[tile, i, lane] += data[k] * x[tile, a, lane]
                        k += 1
                    if block == blocks - 1 and finish == RELU:
                        for lane in range(lanes):
                            if y[tile, i, lane] < 0:  # written so that NaN stays NaN
                                y[tile, i, lane] = 0
                    elif block == blocks - 1 and finish == PLUS:
                        for lane in range(lanes):
                            y[tile, i, lane] += gate[tile, i, lane]
                    elif block == blocks - 1 and finish != PLAIN:
                        for lane in range(lanes):
                            if finish == BACK_TIMES:
                                y[tile, i, lane] *= gate[tile, i, lane]
                            closed = finish == GATED and not gate[tile, i, lane] > 0
                            if closed or abs(y[tile, i, lane]) < TINY:
                                y[tile, i, lane] = 0
                            if finish == BACK_PLUS:
                                y[tile, i, lane] += gate[tile, i, lane]

    return matmul


@functools.cache
def gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of ``dw`` and of the bias gradient, as ``wide.gradient_kernel``'s."""

    @kernel(parallel=True, reorders=True)
    def gradient(team, starts, ends, indices, x, dy, dw, dbias, chunks):
        tiles, n_chunks, blocks = x.shape[0], chunks.shape[0] - 1, starts.shape[0]
        zero = dw.dtype.type(0)
        for turn in range(blocks * tiles):
            block, tile = turn // tiles, turn % tiles
            for chunk in share(team, n_chunks):
                for i in range(chunks[chunk], chunks[chunk + 1]):
                    k, end = starts[block, i], ends[block, i]
                    if tile == 0:
                        dw[k:end] = 0
                    while k + 4 <= end:
                        a, b, c, d = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
                        p, q, r, s = zero, zero, zero, zero
                        for lane in range(lanes):
                            g = dy[tile, i, lane]
                            p += g * x[tile, a, lane]
                            q += g * x[tile, b, lane]
                            r += g * x[tile, c, lane]
                            s += g * x[tile, d, lane]
                        dw[k] += p
                        dw[k + 1] += q
                        dw[k + 2] += r
                        dw[k + 3] += s
                        k += 4
                    while k < end:
                        p, a = zero, indices[k]
                        for lane in range(lanes):
                            p += dy[tile, i, lane] * x[tile, a, lane]
                        dw[k] += p
                        k += 1
                    if dbias.shape[0] > 0 and block == 0:
                        if tile == 0:
                            dbias[i] = 0
                        p = zero
                        for lane in range(lanes):
                            p += dy[tile, i, lane]
                        dbias[i] += p

    return gradient
