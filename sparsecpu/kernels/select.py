"""Passes over scores that would need several arrays of their size in NumPy."""

from __future__ import annotations

from sparsecpu.kernels.machine.compile import kernel

#: Scores that are counted first: most of so many in a row have none above the threshold.
_TOGETHER = 16


@kernel()
def clear_active(tile, indptr, indices, column):
    """Write 0 where a tile has active positions; ``indptr`` is that of its rows."""
    for r in range(tile.shape[0]):
        low, high = indptr[r], indptr[r + 1]
        while low < high:  # the first active position of the row that lies in the tile
            middle = (low + high) // 2
            if indices[middle] < column:
                low = middle + 1
            else:
                high = middle
        for k in range(low, indptr[r + 1]):
            if indices[k] >= column + tile.shape[1]:
                break
            tile[r, indices[k] - column] = 0


@kernel()
def collect(tile, begin, offset, pitch, threshold, keys, values, used):
    r"""Append the entries of \|score\| above the threshold; return how many there are, and where.

    Entry (r, c) has the key ``offset + r pitch + c``. Stops before ``keys`` is full; the place
    ``r columns + c`` that it stopped at comes back, and is the ``begin`` of the next call.
    """
    room, columns = keys.shape[0], tile.shape[1]
    limit = tile.dtype.type(threshold)
    row, column = begin // columns, begin % columns
    while row < tile.shape[0]:
        while column < columns:
            end = min(column + _TOGETHER, columns)
            hits = 0
            for c in range(column, end):
                hits += abs(tile[row, c]) > limit
            if hits:
                if used + hits >= room:
                    return used, row * columns + column
                for c in range(column, end):  # what is too small is written over by the next one
                    keys[used] = offset + row * pitch + c
                    values[used] = tile[row, c]
                    used += abs(tile[row, c]) > limit
            column = end
        column = 0
        row += 1
    return used, row * columns


@kernel()
def build_alias(weights, chance, alias):
    """Fill Vose's alias table: place i is kept with ``chance[i]``, else ``alias[i]`` is taken.

    ``weights`` add up to their number and are overwritten; one pass over two stacks, O(n).
    """
    n = weights.shape[0]
    small, large = 0, n  # two stacks that grow towards each other, in the memory of ``alias``
    stack = alias.copy()
    for i in range(n):
        if weights[i] < 1.0:
            stack[small] = i
            small += 1
        else:
            large -= 1
            stack[large] = i
    while small > 0 and large < n:
        small -= 1
        little, big = stack[small], stack[large]
        chance[little] = weights[little]
        alias[little] = big
        weights[big] -= 1.0 - weights[little]
        if weights[big] < 1.0:
            large += 1
            stack[small] = big
            small += 1
    for i in range(small):  # what rounding left over
        chance[stack[i]] = 1.0
        alias[stack[i]] = stack[i]
    for i in range(large, n):
        chance[stack[i]] = 1.0
        alias[stack[i]] = stack[i]
