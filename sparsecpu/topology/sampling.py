"""Drawing positions: by how active inputs and outputs are, in linear time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern

#: Positions that are looked at at a time.
BLOCK = 1 << 16


class AliasTable:
    """Draws places with given probabilities, in constant time each.

    Parameters
    ----------
    weights : array_like, shape (n,)
        At least 0, in any scale; all alike where their sum is 0.

    Notes
    -----
    Vose, A linear algorithm for generating random numbers with a given distribution (1991).
    """

    def __init__(self, weights: Any) -> None:
        from sparsecpu.kernels.select import build_alias

        weights = np.array(weights, dtype=np.float64)
        total = weights.sum()
        if not (total > 0 and np.isfinite(total)):
            weights[:], total = 1.0, len(weights)
        self.chance = np.empty(len(weights))
        self.alias = np.zeros(len(weights), dtype=np.int64)
        build_alias(weights * (len(weights) / total), self.chance, self.alias)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw places, independently.

        Parameters
        ----------
        count : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray of int64
            The places.
        """
        places = rng.integers(len(self.chance), size=count)
        return np.where(rng.random(count) < self.chance[places], places, self.alias[places])


def draw_pairs(
    rows: np.ndarray, columns: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    r"""Draw positions with :math:`P(i, j) \propto r_i c_j`, independently.

    Parameters
    ----------
    rows, columns : ndarray
        r and c.
    count : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of int64, shape (count,)
        Keys ``i * n_in + j``, in the order in which they were drawn.
    """
    by_row, by_column = AliasTable(rows), AliasTable(columns)
    keys = np.empty(count, dtype=np.int64)
    for first in range(0, count, BLOCK):  # blocks, to keep temporary arrays small
        block = keys[first : first + BLOCK]
        block[:] = by_row.draw(len(block), rng)
        block *= len(columns)
        block += by_column.draw(len(block), rng)
    return keys


def inactive(keys: np.ndarray, pattern: Pattern) -> np.ndarray:
    """Return keys, sorted, without repeated ones and without active ones.

    Parameters
    ----------
    keys : ndarray of int64
        In any order; sorted in place.
    pattern : Pattern
        What is active.

    Returns
    -------
    ndarray of int64
        The keys that are left.
    """
    keys.sort()
    usable = ~pattern.contains(keys)
    usable[1:] &= keys[1:] != keys[:-1]
    return keys[usable]
