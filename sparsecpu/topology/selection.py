"""Choosing weights and positions: smallest, largest, at random. Ties go to the first position."""

from __future__ import annotations

import numpy as np

from sparsecpu.csr import Pattern, distinct_keys


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


class RunningTop:
    """The entries of largest magnitude in a stream of keys and values, in O(count) memory.

    Parameters
    ----------
    count : int
        How many to keep. Entries of value 0 are never kept.
    dtype : dtype
        Of the values.
    """

    def __init__(self, count: int, dtype: np.dtype) -> None:
        self.count = count
        self.keys = np.empty(0, dtype=np.int64)
        self.values = np.empty(0, dtype=dtype)
        self.threshold = 0.0  # nothing at or below it can be among the largest

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Offer entries; keys must be distinct over the whole stream.

        Parameters
        ----------
        keys : ndarray of int64
            Where.
        values : ndarray
            What.
        """
        self.keys = np.concatenate([self.keys, keys])
        self.values = np.concatenate([self.values, values])
        if len(self.keys) > 2 * self.count + 1024:
            self._shrink()

    def _shrink(self) -> None:
        order = np.argsort(self.keys, kind="stable")  # ties go to the first position
        keys, values = self.keys[order], self.values[order]
        magnitudes = np.abs(values)
        kept = largest(magnitudes, self.count)
        kept = kept[magnitudes[kept] > 0]
        self.keys, self.values = keys[kept], values[kept]
        if len(kept) == self.count and self.count:
            # Strictly below: an equal value at an earlier position may still come.
            self.threshold = float(np.nextafter(magnitudes[kept].min(), 0))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return keys (sorted) and values of the entries kept."""
        self._shrink()
        return self.keys, self.values


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
        blocked = np.union1d(blocked, taken)
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
