"""Passes over scores that would need several arrays of their size in NumPy."""

from __future__ import annotations

from sparsecpu.kernels.compile import kernel

#: Scores that are looked at together; hardly any block has one above the threshold.
_BLOCK = 32


@kernel()
def clear_active(tile, indptr, indices):
    """Write 0 where a row tile has active positions; ``indptr`` is that of its rows."""
    for r in range(tile.shape[0]):
        for k in range(indptr[r], indptr[r + 1]):
            tile[r, indices[k]] = 0


@kernel()
def collect(scores, begin, offset, threshold, keys, values, used):
    r"""Append the entries of \|score\| above the threshold; return how many there are, and where.

    ``scores`` is flat; entry p has the key ``offset + p``. Stops where ``keys`` is full; the place
    that it stopped at comes back, and is the ``begin`` of the next call.
    """
    room = keys.shape[0]
    p = begin
    while p < scores.shape[0]:
        end = min(p + _BLOCK, scores.shape[0])
        hits = 0
        for q in range(p, end):
            hits += abs(scores[q]) > threshold
        if hits:
            if used + hits > room:
                break
            for q in range(p, end):
                if abs(scores[q]) > threshold:
                    keys[used] = offset + q
                    values[used] = scores[q]
                    used += 1
        p = end
    return used, p


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
