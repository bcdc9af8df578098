"""Exact momentum on a drawn set of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.csr import Pattern
from sparsecpu.parameters import SparseParameter
from sparsecpu.topology.selection import largest
from sparsecpu.topology.sources.base import BLOCK, Source
from sparsecpu.workspace import aligned_empty, aligned_zeros


class Candidates(Source):
    """Exact momentum on a drawn set of positions; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    factor : float
        Candidates per active weight.
    rng : numpy.random.Generator
        Draws them.
    **options : object
        See ``Source``.
    """

    name = "candidates"
    arrays = ("keys", "values")

    def __init__(
        self,
        parameter: SparseParameter,
        *,
        factor: float,
        rng: np.random.Generator,
        **options: Any,
    ) -> None:
        super().__init__(parameter, **options)
        self.factor, self.rng = factor, rng
        self.keys = np.empty(0, dtype=np.int64)
        self.values = np.empty(0, dtype=self.dtype)
        self._pattern: Pattern | None = None
        self._scratch = np.empty(0, dtype=self.dtype)

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """Draw the candidates one step before the window, then follow them; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : ndarray
            See ``Source``.
        """
        if left == self.steps + 1:
            self._draw(x, dy)
        elif left <= self.steps and len(self.keys):
            self._accumulate(x, dy)

    def _draw(self, x: Any, dy: Any) -> None:
        r"""Draw pairs with :math:`P(i, j) \propto \|dY_i\| \|X_j\|`; drop active and repeated."""
        pattern = self.parameter.pattern
        if self.parameter.spatial:
            rows, columns = dy.squares()
        else:
            real = dy.any(axis=1).astype(self.dtype)  # padding lanes have no gradient
            rows = np.einsum("til,til->i", dy, dy, dtype=np.float64)
            columns = np.einsum("tjl,tjl,tl->j", x, x, real, dtype=np.float64)
        by_row, by_column = np.cumsum(np.sqrt(rows)), np.cumsum(np.sqrt(columns))
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        if by_row[-1] > 0 and by_column[-1] > 0:
            keys = np.empty(int(self.factor * pattern.nnz) + 1, dtype=np.int64)
            for first in range(0, len(keys), BLOCK):  # blocks, to keep temporary arrays small
                block = keys[first : first + BLOCK]
                block[:] = self._places(by_row, len(block))
                block *= pattern.shape[1]
                block += self._places(by_column, len(block))
            keys.sort()
            self.keys = keys[self._usable(keys)]
        self.values = aligned_zeros(len(self.keys), self.dtype)

    def _places(self, cumulated: np.ndarray, count: int) -> np.ndarray:
        """Draw places with probabilities given by their running sum."""
        drawn = self.rng.random(count)
        drawn *= cumulated[-1]
        places = np.searchsorted(cumulated, drawn, side="right")
        return np.minimum(places, len(cumulated) - 1, out=places)

    def _usable(self, keys: np.ndarray) -> np.ndarray:
        """Return which of sorted keys are neither repeated nor active."""
        active, usable = self.parameter.pattern.keys(), np.ones(len(keys), dtype=bool)
        usable[1:] = keys[1:] != keys[:-1]
        for first in range(0, len(keys), BLOCK):
            block = slice(first, first + BLOCK)
            at = np.searchsorted(active, keys[block])
            np.minimum(at, len(active) - 1, out=at)
            usable[block] &= active[at] != keys[block]
        return usable

    def _accumulate(self, x: Any, dy: Any) -> None:
        from sparsecpu.kernels.linear import gradient_kernel

        if self._pattern is None:
            self._pattern = Pattern.from_keys(self.parameter.shape, self.keys)
        if len(self._scratch) != len(self.keys):
            self._scratch = aligned_empty(len(self.keys), self.dtype)
        p, fresh = self._pattern, self._scratch
        if self.parameter.spatial:
            np.copyto(fresh, x.at(p))
        else:
            cuts = p.blocks(x.shape[2] * x.itemsize)
            gradient_kernel(x.shape[2])(*cuts, p.indices, x, dy, fresh, fresh[:0], p.chunks)
        np.multiply(self.values, self.dtype.type(self.momentum), out=self.values)
        np.multiply(fresh, self.dtype.type(self.share), out=fresh)
        np.add(self.values, fresh, out=self.values)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of the candidates, and forget them; see ``Source``.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        chosen = largest(np.abs(self.values), count)
        chosen = chosen[self.values[chosen] != 0]
        found = self.keys[chosen], self.values[chosen]
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        self.values = self._scratch = np.empty(0, dtype=self.dtype)
        return found
