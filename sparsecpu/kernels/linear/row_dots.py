"""A sparse linear layer for a few samples at a time: a dot product per row and sample."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.addresses import read, read_int32, read_int64, write
from sparsecpu.kernels.linear.group_dots import groups_kernel
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.memory import at


@kernel(parallel=True, reorders=True)
def row_dots(team, indptr, indices, data, x, bias, y, relu, chunks):
    """Write ``y[s, i] = sum_k data[k] x[s, indices[k]] + bias[i]``, or its positive part.

    ``x`` is ``(samples, n_in)`` and ``y`` is ``(samples, n_out)``; an empty ``bias`` counts as
    zeros. Samples stay in the level-1 cache and values of neighbouring nonzeros are gathered, which
    LLVM writes as vector instructions.
    """
    samples, n_in = x.shape
    n_chunks = chunks.shape[0] - 1
    zero = data.dtype.type(0)
    for job in share(team, samples * n_chunks):
        sample, chunk = job // n_chunks, job % n_chunks
        base = np.int64(sample) * n_in
        for i in range(chunks[chunk], chunks[chunk + 1]):
            summed = zero
            for k in range(indptr[i], indptr[i + 1]):
                summed += at(data, k) * at(x, base + np.int64(at(indices, k)))
            if bias.shape[0] > 0:
                summed += bias[i]
            y[sample, i] = max(summed, zero) if relu else summed


#: What stands in a row of ``layers`` below: addresses of arrays (0 without a bias; the index is of
#: groups), a size, 1 where products are added two by two, and how many rows share columns.
INDPTR, INDICES, DATA, BIAS, OUTPUTS, PAIRED, GROUP = range(7)


@kernel(inlined=True)
def _add_pairs(summed, k, end, indices, data, inputs, work):
    """Return a sum with its products added, but for the last of an odd number, as tiles do it."""
    other = work.dtype.type(0)
    while k + 2 <= end:
        j, after = np.int64(read_int32(indices, k)), np.int64(read_int32(indices, k + 1))
        summed += read(data, k, work) * read(inputs, j, work)
        other += read(data, k + 1, work) * read(inputs, after, work)
        k += 2
    return summed + other


@functools.cache
def chain_of_row_dots(in_order: bool, in_groups: bool = False) -> Callable:
    """Return the kernel that writes ``out[s]``: sample ``x[rows[s]]`` after a chain of layers.

    It is ``chain(layers, slopes, x, rows, offset, scale, work, out)``. ``layers`` has a row of
    addresses for each linear layer, so that one compiled kernel serves every network. Behind layer
    l, negative numbers are multiplied by ``slopes[l]``: 1 where nothing follows it, 0 for a ReLU.
    Inputs are read as ``(x - offset) * scale``, or as they are where ``offset`` is empty. ``work``
    is ``(2, widest)``: inputs and outputs of a layer, in turn.

    Sums ``in_order`` are those of tiles of up to 32 lanes: they begin with the bias and go through
    the columns, two by two in layers that are ``PAIRED`` (``wide.matmul_kernel``), else one by one
    (``full.product``, ``grouped.matmul_kernel``). In the order that LLVM chooses they take half the
    time or less. Only where rows stand ``in_groups``, in some layer, is it compiled for that.
    """
    groups = groups_kernel(in_order)

    @kernel(exact=in_order)
    def chain(layers, slopes, x, rows, offset, scale, work, out):
        zero, n_in, count = work.dtype.type(0), x.shape[1], layers.shape[0]
        memory, size = work.ctypes.data, work.shape[1] * work.itemsize
        for sample in range(out.shape[0]):
            row = rows[sample]
            for f in range(n_in):
                value = work.dtype.type(x[row, f])
                if offset.shape[0] > 0:
                    value = (value - offset[f]) * scale[f]
                work[0, f] = value
            for layer in range(count):
                inputs, target = memory + (layer % 2) * size, memory + ((layer + 1) % 2) * size
                if layer == count - 1:
                    target = out.ctypes.data + sample * out.shape[1] * out.itemsize
                indptr, indices = layers[layer, INDPTR], layers[layer, INDICES]
                data, bias = layers[layer, DATA], layers[layer, BIAS]
                if in_groups and layers[layer, GROUP] > 1:
                    group, outputs = layers[layer, GROUP], layers[layer, OUTPUTS]
                    last = (outputs + group - 1) // group
                    groups(0, last, group, outputs, indptr, indices, data, bias, inputs, target,
                           slopes[layer], work)  # fmt: skip
                    continue
                slope, end = slopes[layer], read_int64(indptr, 0)
                for i in range(layers[layer, OUTPUTS]):
                    start, end = end, read_int64(indptr, i + 1)
                    summed = read(bias, i, work) if in_order and bias != 0 else zero
                    if in_order and layers[layer, PAIRED] != 0:
                        summed = _add_pairs(summed, start, end, indices, data, inputs, work)
                        start = end - (end - start) % 2
                    for k in range(start, end):
                        j = np.int64(read_int32(indices, k))
                        summed += read(data, k, work) * read(inputs, j, work)
                    if bias != 0 and not in_order:
                        summed += read(bias, i, work)
                    if summed < 0:  # written so that NaN stays NaN, and infinity times 0 is 0
                        summed = slope * summed if slope != 0 else zero
                    write(target, i, summed)

    return chain
