"""Choosing the smallest and the largest; ties go to the first position. Scores are never NaN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
    if len(scores) == 1:
        return [choose(scores[0], count)]
    ends = np.cumsum([len(part) for part in scores])
    chosen = choose(np.concatenate(scores), count)
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [part - (end - len(own)) for part, end, own in zip(parts, ends, scores, strict=True)]


def smallest_of_all(
    weights: Sequence[np.ndarray], count: int, units: Sequence[Any] | None = None
) -> list[np.ndarray]:
    r"""Return the places of the smallest \|w\| over several layers; each keeps its largest.

    Where places stand for more than one weight, ``count`` is of weights; see ``choose_weights``.
    """
    magnitudes = [np.abs(layer) for layer in weights]
    for layer in magnitudes:
        if len(layer):
            layer[np.argmax(layer)] = np.inf
    if units is None:
        units = [1] * len(weights)
    return choose_weights(smallest, magnitudes, count, units)


def choose_weights(
    choose: Callable[[np.ndarray, int], np.ndarray], scores: list[np.ndarray], total: int,
    units: Sequence[Any],
) -> list[np.ndarray]:  # fmt: skip
    """Choose places among several arrays that stand for ``total`` weights, or a few less.

    Places of an array stand for ``units`` weights: a number, or one for each place. The next one
    that still fits is chosen, until none does; a smallest one is never infinite.
    """
    if all(isinstance(unit, int) and unit == units[0] for unit in units):
        most = sum(int(np.isfinite(s).sum()) if choose is smallest else len(s) for s in scores)
        return choose_together(choose, scores, min(total // units[0], most))
    sizes = np.concatenate([np.broadcast_to(u, len(s)) for u, s in zip(units, scores, strict=True)])
    flat = np.concatenate(scores)
    ranks = flat if choose is smallest else -flat
    chosen, left = np.zeros(len(flat), dtype=bool), np.flatnonzero(ranks < np.inf)
    left = left[np.argsort(ranks[left], kind="stable")]
    while len(left := left[sizes[left] <= total]):
        ends = np.cumsum(sizes[left])
        fitting = left[: np.searchsorted(ends, total, side="right")]
        chosen[fitting] = True
        total -= int(sizes[fitting].sum())
        left = left[len(fitting) :]
    parts = np.split(chosen, np.cumsum([len(part) for part in scores])[:-1])
    return [np.flatnonzero(part) for part in parts]


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
