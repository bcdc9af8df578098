"""Exact momentum on a drawn set of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty, aligned_zeros
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.gradients import gradients_at
from sparsecpu.topology.sampling import activity, draw_pairs, inactive
from sparsecpu.topology.selection import largest, largest_of_rows
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.sources.lowrank import LowRank


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
    proposal : {"norms", "uniform", "lowrank"}
        How they are drawn: by the norms of rows and columns in one batch, all alike, or as the
        largest entries that ``LowRank`` finds in the K steps before. A convolution's are never
        ``lowrank``.
    rank : int
        Rank of that.
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
        proposal: str = "norms",
        rank: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(parameter, **options)
        self.proposal = "norms" if parameter.spatial and proposal == "lowrank" else proposal
        self._scout: LowRank | None = None
        if self.proposal == "lowrank":
            self._scout = LowRank(parameter, rank=rank, rng=rng, **options)
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
        if self._scout is not None and self.steps < left <= 2 * self.steps:
            self._scout.observe(step, left - self.steps, x, dy)
        if left == self.steps + 1:
            self._draw(x, dy)
        elif left <= self.steps and len(self.keys):
            self._accumulate(x, dy)

    def _draw(self, x: Any, dy: Any) -> None:
        """Choose the candidates; see ``proposal``."""
        pattern = self.parameter.pattern
        count = int(self.factor * pattern.nnz) + 1
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        if self._scout is not None:
            self.keys = self._scout.top(min(count, pattern.size - pattern.nnz), 0)[0]
        elif self.proposal == "uniform":
            self.keys = inactive(self.rng.integers(pattern.size, size=count), pattern)
        else:
            rows, columns = activity(self.parameter, x, dy, "norm", self.rng)
            if rows.any() and columns.any():
                self.keys = inactive(draw_pairs(rows, columns, count, self.rng), pattern)
        self.values = aligned_zeros(len(self.keys), self.dtype)

    def _accumulate(self, x: Any, dy: Any) -> None:
        if self._pattern is None:
            self._pattern = Pattern.from_keys(self.parameter.shape, self.keys)
        if len(self._scratch) != len(self.keys):
            self._scratch = aligned_empty(len(self.keys), self.dtype)
        fresh = self._scratch
        gradients_at(self.parameter, self._pattern, x, dy, fresh)
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
        self._forget()
        return found

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best candidates of each row, and forget all; see ``Source``.

        Parameters
        ----------
        counts : ndarray of int
            How many per row.
        steps_done : int
            Not looked at.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        places = largest_of_rows(self.keys // self.parameter.shape[1], self.values, counts)
        found = self.keys[places], self.values[places]
        self._forget()
        return found

    def state(self) -> dict[str, np.ndarray]:
        """Return the candidates, and what proposes them; see ``Source``."""
        scouted = self._scout.state() if self._scout is not None else {}
        return {**super().state(), **{f"scout {key}": array for key, array in scouted.items()}}

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned; see ``Source``.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By name.
        """
        super().load_state({key: arrays[key] for key in self.arrays if key in arrays})
        if self._scout is not None:
            held = {key[6:]: array for key, array in arrays.items() if key.startswith("scout ")}
            self._scout.load_state(held)

    def _forget(self) -> None:
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        self.values = self._scratch = np.empty(0, dtype=self.dtype)
