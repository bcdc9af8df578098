"""Positions to grow at: drawn from the free ones, or those of largest score."""

from __future__ import annotations

import numpy as np

from sparsecpu.sparse.keys import SLAB, distinct_keys, sorted_once
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.selection import strongest


def random_free(
    pattern: Pattern, count: int, rng: np.random.Generator, taken: np.ndarray | None = None
) -> np.ndarray:
    """Draw ``count`` distinct positions that are in neither the pattern nor ``taken``.

    Sorted keys; where there are fewer, all of them.
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
    for first in range(0, len(blocked), SLAB):  # now: free positions before each blocked one
        part = blocked[first : first + SLAB]
        part -= np.arange(first, first + len(part))
    ranks += np.searchsorted(blocked, ranks, side="right")
    return ranks


def grow_random(
    pattern: Pattern, dropped: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw ``count`` free positions; the dropped keys only where there are too few others.

    The pattern has the dropped ones still. Sorted keys.
    """
    keys = random_free(pattern, min(count, pattern.size - pattern.nnz), rng)
    if len(keys) < count:
        keys = np.concatenate([keys, rng.choice(dropped, count - len(keys), replace=False)])
    return np.sort(keys)


def grow_largest(
    inactive: tuple[np.ndarray, np.ndarray],
    dropped: tuple[np.ndarray, np.ndarray],
    pattern: Pattern,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, int]:
    r"""Choose the ``count`` positions of largest \|score\| among inactive and just dropped ones.

    Both are keys and scores; of the inactive ones, those of largest magnitude will do. Where too
    few have a score other than 0, the rest is drawn: any free positions first, then dropped ones.
    Return keys, their scores (0 where drawn) and how many were drawn, the last ones.
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
