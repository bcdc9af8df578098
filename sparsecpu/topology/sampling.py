"""Drawing positions by how active inputs and outputs are, in linear time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView

#: Positions that are drawn at a time, to keep temporary arrays small.
_AT_ONCE = 1 << 16


class AliasTable:
    """Draws places with given probabilities (weights in any scale), in constant time each.

    Vose, A linear algorithm for generating random numbers with a given distribution (1991).
    """

    def __init__(self, weights: Any) -> None:
        from sparsecpu.kernels.select import build_alias

        weights = np.array(weights, dtype=np.float64)
        total = weights.sum()
        if not (total > 0 and np.isfinite(total)):  # then all places alike
            weights[:], total = 1.0, len(weights)
        self.chance = np.empty(len(weights))
        self.alias = np.zeros(len(weights), dtype=np.int64)
        build_alias(weights * (len(weights) / total), self.chance, self.alias)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``count`` places, independently."""
        places = rng.integers(len(self.chance), size=count)
        return np.where(rng.random(count) < self.chance[places], places, self.alias[places])


def draw_pairs(
    rows: np.ndarray, columns: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    r"""Draw keys of positions with :math:`P(i, j) \propto r_i c_j`, independently."""
    by_row, by_column = AliasTable(rows), AliasTable(columns)
    keys = np.empty(count, dtype=np.int64)
    for first in range(0, count, _AT_ONCE):
        part = keys[first : first + _AT_ONCE]
        part[:] = by_row.draw(len(part), rng)
        part *= len(columns)
        part += by_column.draw(len(part), rng)
    return keys


def draw_inactive(
    pattern: Pattern, count: int, view: GradientView, kind: str | None, rng: np.random.Generator
) -> np.ndarray:
    """Draw ``count`` positions by one kind of activity, or all alike; return the usable keys.

    They are sorted and distinct. Where half of all positions are active or more, none is drawn in
    vain: then they are a random part of the inactive ones.
    """
    if 2 * pattern.nnz >= pattern.size:
        free = np.delete(np.arange(pattern.size, dtype=np.int64), pattern.keys())
        return free if count >= len(free) else np.sort(rng.choice(free, count, replace=False))
    if kind is None:
        return inactive(rng.integers(pattern.size, size=count), pattern)
    return inactive(draw_pairs(*view.activity(kind, rng), count, rng), pattern)


def inactive(keys: np.ndarray, pattern: Pattern) -> np.ndarray:
    """Sort keys in place; return them without repeated ones and without active ones."""
    keys.sort()
    usable = ~pattern.contains(keys)
    usable[1:] &= keys[1:] != keys[:-1]
    return keys[usable]
