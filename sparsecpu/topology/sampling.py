"""Drawing positions: by how active inputs and outputs are, in linear time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

#: Positions that are looked at at a time.
BLOCK = 1 << 16
#: What stands for the activity of an input or output; see ``activity``.
ACTIVITIES = ("norm", "bound", "estimate")


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


def activity(
    parameter: SparseParameter, x: Any, dy: Any, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return how active each output (row) and each input (column) was in a batch.

    * ``norm``: :math:`\sqrt{\sum_n v_n^2}`.
    * ``bound``: :math:`\sum_n |v_n|`; the product for row and column bounds \|gradient\| (GraBo).
    * ``estimate``: :math:`|\sum_n s_n v_n|` with random signs s, the same for rows and columns; the
      product of the sums without the bars is an unbiased estimate of the gradient (GraEst).

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    x, dy : ndarray, shape (tiles, features, lanes)
        Input and output gradient; for a convolution every output pixel is a sample.
    kind : {"norm", "bound", "estimate"}
        Which.
    rng : numpy.random.Generator
        Draws the signs, anew in each call.

    Returns
    -------
    rows : ndarray of float64, shape (n_out,)
        Of the outputs.
    columns : ndarray of float64, shape (n_in,)
        Of the inputs.

    Notes
    -----
    Heddes et al., Always-sparse training by growing connections with guided stochastic exploration
    (2024), section 3.2 and appendix E.
    """
    if parameter.spatial:
        return x.activity(kind, rng)
    real = dy.any(axis=1).astype(dy.dtype)  # padding lanes have no gradient
    if kind == "estimate":
        signs = rng.choice(np.array([-1, 1], dtype=dy.dtype), size=np.count_nonzero(real))
        real[real != 0] = signs
    return tuple(_summed(v, real, kind, "tfl,tl->f") for v in (dy, x))  # type: ignore[return-value]


def _summed(v: np.ndarray, weights: np.ndarray, kind: str, over: str) -> np.ndarray:
    """Sum over samples, as ``activity`` says; all but the feature's axis go."""
    if kind == "norm":
        names = over.split(",")[0]
        return np.sqrt(np.einsum(f"{names},{over}", v, v, np.abs(weights), dtype=np.float64))
    total = np.einsum(over, np.abs(v) if kind == "bound" else v, weights, dtype=np.float64)
    return np.abs(total)


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
