"""A few samples through rows in groups: an input that is read once serves up to four rows.

Arrays are given by their addresses, as in ``row_dots``; ``like`` is any array of their type.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.addresses import read_int64
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.cpu import registers
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import splat
from sparsecpu.kernels.vectors.bundles import add_bundles, bundle_of
from sparsecpu.kernels.vectors.rows_at import (
    add_row_products,
    bent_rows,
    gathered,
    rows_at,
    totals,
    write_rows_at,
)


def plain_group_dots(
    group: int, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, x: np.ndarray,
    bias: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return ``W x + bias`` of one sample."""
    y, at = bias.copy(), 0
    for i in range(len(bias)):
        columns = indices[indptr[i // group] : indptr[i // group + 1]]
        y[i] += data[at : at + len(columns)] @ x[columns]
        at += len(columns)
    return y


@functools.cache
def _rows_kernel(rows: int, in_order: bool) -> Callable:
    """Return the kernel of so many rows of a group, from row i on.

    The value of the first of them and of place k in ``indices`` is ``data[k + apart]``, that of
    the next one lies n further on.
    """
    lanes = 1 if in_order else registers()[1] // 4

    @kernel(inlined=True)
    def write_rows(i, k, end, apart, n, indices, data, bias, x, y, slope, like):
        v, one = splat(like.dtype.type(0), lanes), splat(like.dtype.type(0), 1)
        many, sums = bundle_of(v, rows), bundle_of(one, rows)
        if in_order and bias != 0:
            many = totals(rows_at(bias, i, sums), many)  # as wide: they have one lane
        while k + lanes <= end:
            x_j = gathered(x, indices, k, v, 0, lanes)
            many = add_row_products(many, data, k + apart, n, x_j, 0, lanes)
            k += lanes
        if lanes > 1 and k < end:
            x_j = gathered(x, indices, k, v, 1, end - k)
            many = add_row_products(many, data, k + apart, n, x_j, 1, end - k)
        sums = totals(many, sums)
        if bias != 0 and not in_order:
            sums = add_bundles(sums, rows_at(bias, i, sums))
        write_rows_at(y, i, bent_rows(sums, slope))

    return write_rows


@functools.cache
def groups_kernel(in_order: bool) -> Callable:
    """Return the kernel of some groups for one sample: ``y = W x + bias``.

    It is ``groups(first, last, group, outputs, indptr, indices, data, bias, x, y, slope, like)``:
    from group ``first`` to ``last``, of ``outputs`` rows in all. ``bias`` is 0 where there is none;
    negative numbers are multiplied by ``slope``. Sums ``in_order`` are those of tiles: they begin
    with the bias and go through the columns one by one. Else neighbouring columns have sums of
    their own, which takes half the time.
    """
    four, two, one = (_rows_kernel(rows, in_order) for rows in (4, 2, 1))

    @kernel(part=True)
    def groups(first, last, group, outputs, indptr, indices, data, bias, x, y, slope, like):
        end = read_int64(indptr, first)
        for g in range(first, last):
            k, end = end, read_int64(indptr, g + 1)
            n, apart, i = end - k, (group - 1) * k, g * group
            stop = min(i + group, outputs)
            while i + 4 <= stop:
                four(i, k, end, apart, n, indices, data, bias, x, y, slope, like)
                i, apart = i + 4, apart + 4 * n
            if i + 2 <= stop:
                two(i, k, end, apart, n, indices, data, bias, x, y, slope, like)
                i, apart = i + 2, apart + 2 * n
            if i < stop:
                one(i, k, end, apart, n, indices, data, bias, x, y, slope, like)

    return groups


@functools.cache
def group_dots_kernel() -> Callable:
    """Return the kernel that does as ``row_dots``, for rows in groups; chunks are of groups.

    ``group_dots(group, indptr, indices, data, x, bias, y, relu, chunks)``: ``indptr`` and
    ``indices`` are those of the groups, values lie row by row.
    """
    groups = groups_kernel(False)

    @kernel(parallel=True)
    def group_dots(team, group, indptr, indices, data, x, bias, y, relu, chunks):
        samples, n_chunks, outputs = x.shape[0], chunks.shape[0] - 1, y.shape[1]
        slope = y.dtype.type(0 if relu else 1)
        biases = bias.ctypes.data if bias.shape[0] > 0 else 0
        for job in share(team, samples * n_chunks):
            sample, chunk = job // n_chunks, job % n_chunks
            groups(
                chunks[chunk], chunks[chunk + 1], group, outputs, indptr.ctypes.data,
                indices.ctypes.data, data.ctypes.data, biases,
                x.ctypes.data + sample * x.shape[1] * x.itemsize,
                y.ctypes.data + sample * outputs * y.itemsize, slope, y,
            )  # fmt: skip

    return group_dots
