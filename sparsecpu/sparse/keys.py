"""Keys of patterns; large patterns slab by slab, so that the keys of few rows exist at a time.

Indices are CSR: ``indptr`` (int64, where each row starts) and ``indices`` (int32, columns).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsecpu.errors import PatternError

#: Nonzeros in a slab, about.
SLAB = 1 << 22


def slabs(indptr: np.ndarray, most: int = 0) -> Iterator[tuple[slice, slice]]:
    """Yield the rows of each slab and the places of their nonzeros: about ``most``, or ``SLAB``."""
    start, last = 0, len(indptr) - 1
    while start < last:
        stop = int(np.searchsorted(indptr, indptr[start] + (most or SLAB), side="right")) - 1
        stop = min(max(stop, start + 1), last)
        yield slice(start, stop), slice(int(indptr[start]), int(indptr[stop]))
        start = stop


def keys_of_rows(indptr: np.ndarray, indices: np.ndarray, n_in: int, rows: slice) -> np.ndarray:
    """Return the keys ``i * n_in + j`` of neighbouring rows, sorted."""
    bounds = indptr[rows.start : rows.stop + 1]
    first = np.arange(rows.start, rows.stop, dtype=np.int64) * n_in
    keys = np.repeat(first, np.diff(bounds))
    keys += indices[bounds[0] : bounds[-1]]
    return keys


def contained(indptr: np.ndarray, indices: np.ndarray, n_in: int, keys: np.ndarray) -> np.ndarray:
    """Return which of some sorted keys are in a pattern, bool, one per key."""
    found = np.zeros(len(keys), dtype=bool)
    for rows, _ in slabs(indptr):
        part = slice(*np.searchsorted(keys, [rows.start * n_in, rows.stop * n_in]))
        if part.stop == part.start:
            continue
        active = keys_of_rows(indptr, indices, n_in, rows)
        if len(active):
            found[part] = among(keys[part], active)[1]
    return found


def among(keys: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look for keys among sorted ones: how many lie before each (int64), and which are there."""
    before = np.searchsorted(active, keys)
    if not len(active):
        return before, np.zeros(len(keys), dtype=bool)
    return before, active[np.minimum(before, len(active) - 1)] == keys


def merge_rows(
    indptr: np.ndarray, indices: np.ndarray, n_in: int, keep: np.ndarray, arrivals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the index of a pattern without some nonzeros and with others.

    ``keep`` (bool, one per nonzero) says which stay; ``arrivals`` are the sorted, distinct keys
    that come. Behind the new ``indptr`` and ``indices`` come which of the new nonzeros are old
    ones, bool, and the places of the arrivals, int64.
    """
    total = int(np.count_nonzero(keep)) + len(arrivals)
    new_indices, is_old = np.empty(total, dtype=np.int32), np.ones(total, dtype=bool)
    new_indptr, new_at = np.zeros_like(indptr), np.empty(len(arrivals), dtype=np.int64)
    start = 0
    for rows, places in slabs(indptr):
        part = slice(*np.searchsorted(arrivals, [rows.start * n_in, rows.stop * n_in]))
        old = keys_of_rows(indptr, indices, n_in, rows)[keep[places]]
        before, taken = among(arrivals[part], old)
        if taken.any():
            raise PatternError("new positions must not be in the pattern already")
        before += np.arange(len(before))  # now the places of what arrives, in the slab
        keys = np.empty(len(old) + len(before), dtype=np.int64)
        here = is_old[start : start + len(keys)]
        here[before] = False
        keys[here], keys[before] = old, arrivals[part]
        new_at[part] = before + start
        _index(keys, n_in, rows, start, new_indptr, new_indices)
        start += len(keys)
    return new_indptr, new_indices, is_old, new_at


def _index(
    keys: np.ndarray, n_in: int, rows: slice, start: int, indptr: np.ndarray, indices: np.ndarray
) -> None:
    """Write the part of an index that belongs to a slab."""
    ends = np.arange(rows.start + 1, rows.stop + 1, dtype=np.int64) * n_in
    indptr[rows.start + 1 : rows.stop + 1] = np.searchsorted(keys, ends) + start
    out = indices[start : start + len(keys)]
    np.remainder(keys, n_in, out=out, casting="unsafe")


def draw_rows(
    shape: tuple[int, int], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` positions with replacement, and return the CSR index of the distinct ones."""
    n_out, n_in = shape
    edges = np.linspace(0, n_out, min(n_out, -(-count // SLAB)) + 1).astype(np.int64)
    indptr, indices = np.zeros(n_out + 1, dtype=np.int64), np.empty(count, dtype=np.int32)
    used = 0
    draws = rng.multinomial(count, np.diff(edges) / n_out)
    for low, high, drawn in zip(edges[:-1].tolist(), edges[1:].tolist(), draws, strict=True):
        keys = sorted_once(rng.integers(low * n_in, high * n_in, size=drawn))
        _index(keys, n_in, slice(low, high), used, indptr, indices)
        used += len(keys)
    indices.resize(used, refcheck=False)
    return indptr, indices


def in_order(keys: np.ndarray) -> np.ndarray:
    """Return distinct keys in order: the same array where they are so, which large layers need."""
    return keys if (keys[1:] > keys[:-1]).all() else np.sort(keys)


def sorted_once(*keys: np.ndarray) -> np.ndarray:
    """Return keys in order, each once; a single array is sorted in place.

    NumPy's ``unique``, and so ``union1d`` and ``setdiff1d``, hash integers, which takes a hundred
    times as long where there are millions.
    """
    together = keys[0] if len(keys) == 1 else np.concatenate(keys)
    together.sort()
    distinct = np.ones(len(together), dtype=bool)
    np.not_equal(together[1:], together[:-1], out=distinct[1:])
    return together[distinct]


def distinct_keys(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct integers below ``size``, uniformly among all such sets, in O(count).

    That is fast where ``count`` is at most about half of ``size``.
    """
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < count:
        missing = count - len(keys)
        # A draw repeats an earlier one with a chance below count / size; draw a little more.
        draws = missing + int(1.1 * missing * count / size) + 16
        keys = sorted_once(keys, rng.integers(size, size=draws))
    surplus = len(keys) - count
    return np.delete(keys, rng.choice(len(keys), surplus, replace=False)) if surplus else keys
