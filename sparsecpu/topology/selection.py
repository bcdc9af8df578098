"""Choosing weights and positions: smallest, largest, at random. Ties go to the first position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.sparse.keys import distinct_keys, sorted_once
from sparsecpu.sparse.pattern import Pattern


def smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the ``count`` smallest scores, sorted.

    Parameters
    ----------
    scores : ndarray
        No NaN.
    count : int
        From 0 to the number of scores.

    Returns
    -------
    ndarray of int64
        Places.
    """
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    if count >= len(scores):
        return np.arange(len(scores))
    threshold = np.partition(scores, count - 1)[count - 1]
    chosen = scores < threshold
    tied = np.flatnonzero(scores == threshold)
    chosen[tied[: count - int(chosen.sum())]] = True
    return np.flatnonzero(chosen)


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the ``count`` largest scores, sorted.

    Parameters
    ----------
    scores : ndarray
        No NaN.
    count : int
        From 0 to the number of scores.

    Returns
    -------
    ndarray of int64
        Places.
    """
    return smallest(-scores, count)


def choose_together(
    choose: Callable[[np.ndarray, int], np.ndarray], scores: list[np.ndarray], count: int
) -> list[np.ndarray]:
    """Choose among several arrays as if they were one.

    Parameters
    ----------
    choose : callable
        ``smallest`` or ``largest``.
    scores : list of ndarray
        The arrays.
    count : int
        How many places, in all.

    Returns
    -------
    list of ndarray of int64
        The places chosen in each, sorted.
    """
    ends = np.cumsum([len(part) for part in scores])
    chosen = choose(np.concatenate(scores), count)
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [part - (end - len(own)) for part, end, own in zip(parts, ends, scores, strict=True)]


def smallest_of_all(weights: list[np.ndarray], count: int) -> list[np.ndarray]:
    r"""Return the places of the smallest \|w\| over several layers; each keeps its largest.

    Parameters
    ----------
    weights : list of ndarray
        Values of each layer.
    count : int
        How many, in all; fewer where layers would be left empty.

    Returns
    -------
    list of ndarray of int64
        Places in each layer, sorted.
    """
    magnitudes = [np.abs(layer) for layer in weights]
    for layer in magnitudes:
        layer[np.argmax(layer)] = np.inf
    return choose_together(smallest, magnitudes, min(count, sum(len(w) - 1 for w in weights)))


def largest_of_rows(rows: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    r"""Return the places of the entries of largest \|score\| in each row, none of them 0.

    Parameters
    ----------
    rows : ndarray of int
        The row of each entry.
    scores : ndarray
        Its score.
    counts : ndarray of int
        How many to take of each row, at most.

    Returns
    -------
    ndarray of int64
        Places, sorted.
    """
    order = np.lexsort((-np.abs(scores), rows))
    first = np.searchsorted(rows[order], rows[order], side="left")
    rank = np.arange(len(order)) - first
    chosen = order[rank < counts[rows[order]]]
    return np.sort(chosen[scores[chosen] != 0])


def strongest(keys: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    r"""Return which entries have the largest \|score\|, none of them 0; ties go to smaller keys.

    Parameters
    ----------
    keys : ndarray of int64
        Distinct, in any order.
    scores : ndarray
        One for each.
    count : int
        How many, at most.

    Returns
    -------
    ndarray of bool
        Which.
    """
    magnitudes = np.abs(scores)
    chosen = magnitudes > 0
    if count <= 0:
        chosen[:] = False
    elif np.count_nonzero(chosen) > count:
        edge = np.partition(magnitudes, len(keys) - count)[len(keys) - count]
        np.greater(magnitudes, edge, out=chosen)
        tied = np.flatnonzero(magnitudes == edge)
        chosen[tied[smallest(keys[tied], count - int(np.count_nonzero(chosen)))]] = True
    return chosen


class RunningTop:
    """The entries of largest magnitude in a stream of keys and values, in O(count) memory.

    Parameters
    ----------
    count : int
        How many to keep. Entries of value 0 are never kept.
    dtype : dtype
        Of the values.
    threshold : float
        Magnitudes at or below it are known not to be among the largest.
    """

    def __init__(self, count: int, dtype: Any, threshold: float = 0.0) -> None:
        self.count, self.threshold = count, threshold
        room = count + count // 3 + 1024
        self._keys, self._values = np.empty(room, dtype=np.int64), np.empty(room, dtype=dtype)
        self._used = 0

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Offer entries; keys must be distinct over the whole stream.

        Parameters
        ----------
        keys : ndarray of int64
            Where.
        values : ndarray
            What.
        """
        taken = 0
        while taken < len(keys):
            if self._used == len(self._keys):
                self._shrink()
            part = slice(taken, taken + len(self._keys) - self._used)
            end = self._used + len(keys[part])
            self._keys[self._used : end] = keys[part]
            self._values[self._used : end] = values[part]
            self._used, taken = end, part.stop

    def offer(self, pattern: Pattern, tile: np.ndarray, row: int, column: int = 0) -> None:
        """Offer the inactive entries of a tile, which is overwritten.

        Parameters
        ----------
        pattern : Pattern
            What is active.
        tile : ndarray, shape (rows, columns)
            Scores, contiguous.
        row, column : int
            Where it begins.
        """
        from sparsecpu.kernels.select import clear_active, collect

        clear_active(tile, pattern.indptr[row : row + len(tile) + 1], pattern.indices, column)
        place, pitch = 0, pattern.shape[1]
        while place < tile.size:
            if len(self._keys) - self._used < 64:
                self._shrink()
            self._used, place = collect(
                tile, place, row * pitch + column, pitch, self.threshold,
                self._keys, self._values, self._used,
            )  # fmt: skip

    def _shrink(self) -> None:
        keys, values = self._keys[: self._used], self._values[: self._used]
        kept = strongest(keys, values, self.count)
        if len(keys) > self.count > 0 and np.count_nonzero(kept) == self.count:
            # Strictly below: an equal value at an earlier position may still come.
            edge = np.abs(values[kept]).min()
            self.threshold = max(self.threshold, float(np.nextafter(edge, edge.dtype.type(0))))
        self._used = int(kept.sum())
        self._keys[: self._used], self._values[: self._used] = keys[kept], values[kept]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return keys (sorted) and values of the entries kept."""
        self._shrink()
        order = np.argsort(self._keys[: self._used])
        return self._keys[order], self._values[order]


def grow_largest(
    inactive: tuple[np.ndarray, np.ndarray],
    dropped: tuple[np.ndarray, np.ndarray],
    pattern: Pattern,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, int]:
    r"""Choose the positions of largest \|score\| among inactive and just dropped ones.

    Parameters
    ----------
    inactive, dropped : tuple of ndarray
        Keys and scores; of the inactive ones, those of largest magnitude will do.
    pattern : Pattern
        What is active, the dropped included.
    count : int
        How many.
    rng : numpy.random.Generator
        Draws what is missing where too few have a score other than 0: first any free positions,
        then dropped ones.

    Returns
    -------
    keys : ndarray of int64
        ``count`` of them.
    scores : ndarray
        Theirs; 0 where drawn.
    shortfall : int
        How many were drawn, the last ones of ``keys``.
    """
    scores = np.concatenate([inactive[1], dropped[1]])
    keys = np.concatenate([inactive[0], dropped[0]])
    chosen = strongest(keys, scores, count)
    keys, scores = keys[chosen], scores[chosen]
    shortfall = count - len(keys)
    if shortfall:
        extra = random_free(pattern, shortfall, rng, keys)
        back = np.setdiff1d(np.sort(dropped[0]), keys, assume_unique=True)[: shortfall - len(extra)]
        keys = np.concatenate([keys, extra, back])
        scores = np.concatenate([scores, np.zeros(shortfall, scores.dtype)])
    return keys, scores, shortfall


def grow_random(
    pattern: Pattern, dropped: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw free positions; those just dropped only where there are too few others.

    Parameters
    ----------
    pattern : Pattern
        What is active, the dropped included.
    dropped : ndarray of int64
        Keys of what is dropped.
    count : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of int64
        Sorted keys, ``count`` of them.
    """
    keys = random_free(pattern, min(count, pattern.size - pattern.nnz), rng)
    if len(keys) < count:
        keys = np.concatenate([keys, rng.choice(dropped, count - len(keys), replace=False)])
    return np.sort(keys)


def random_free(
    pattern: Pattern, count: int, rng: np.random.Generator, taken: np.ndarray | None = None
) -> np.ndarray:
    """Draw distinct positions that are in neither the pattern nor ``taken``.

    Parameters
    ----------
    pattern : Pattern
        What is active.
    count : int
        How many; where there are fewer, all of them are returned.
    rng : numpy.random.Generator
        Source of randomness.
    taken : ndarray of int64, optional
        Keys that must not be drawn either.

    Returns
    -------
    ndarray of int64
        Sorted keys.
    """
    blocked = pattern.keys()
    if taken is not None and len(taken):
        blocked = sorted_once(blocked, taken)
    free = pattern.size - len(blocked)
    if count >= free or 2 * len(blocked) > pattern.size:  # few are free: list them
        left = np.delete(np.arange(pattern.size, dtype=np.int64), blocked)
        return left if count >= free else np.sort(rng.choice(left, count, replace=False))
    # The r-th free position is the r-th position plus the number of blocked ones before it.
    ranks = distinct_keys(free, count, rng) if 2 * count <= free else None
    if ranks is None:
        ranks = np.sort(rng.permutation(free)[:count])
    gaps = blocked - np.arange(len(blocked))  # free positions before each blocked one
    return ranks + np.searchsorted(gaps, ranks, side="right")
