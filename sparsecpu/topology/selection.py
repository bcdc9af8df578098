"""Choosing the smallest and the largest; ties go to the first position. Scores are never NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the ``count`` smallest scores, sorted; all where there are fewer."""
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
    """Return the places of the ``count`` largest scores, sorted; all where there are fewer."""
    return smallest(-scores, count)


def choose_together(
    choose: Callable[[np.ndarray, int], np.ndarray], scores: list[np.ndarray], count: int
) -> list[np.ndarray]:
    """Choose ``count`` places among several arrays as if they were one; return those in each."""
    ends = np.cumsum([len(part) for part in scores])
    chosen = choose(np.concatenate(scores), count)
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [part - (end - len(own)) for part, end, own in zip(parts, ends, scores, strict=True)]


def smallest_of_all(weights: list[np.ndarray], count: int) -> list[np.ndarray]:
    r"""Return the places of the smallest \|w\| over several layers; each keeps its largest."""
    magnitudes = [np.abs(layer) for layer in weights]
    for layer in magnitudes:
        layer[np.argmax(layer)] = np.inf
    return choose_together(smallest, magnitudes, min(count, sum(len(w) - 1 for w in weights)))


def largest_of_rows(rows: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    r"""Return the places of the largest \|score\| of each row, at most ``counts[row]``, none 0.

    ``rows`` has the row of each entry; places are sorted.
    """
    order = np.lexsort((-np.abs(scores), rows))
    first = np.searchsorted(rows[order], rows[order], side="left")
    rank = np.arange(len(order)) - first
    chosen = order[rank < counts[rows[order]]]
    return np.sort(chosen[scores[chosen] != 0])


def strongest(keys: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    r"""Return True for the entries of largest \|score\|, at most ``count`` and none of them 0.

    Keys are distinct, in any order; ties go to smaller ones.
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
