"""Exact momentum on a drawn set of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty, aligned_zeros
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, behind
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.sampling import draw_pairs, inactive
from sparsecpu.topology.selection import largest, largest_of_rows
from sparsecpu.topology.shared_view import view_of_weights
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.sources.lowrank import LowRank
from sparsecpu.topology.weight_counts import count_at_keys


class Candidates(Source):
    """Exact momentum on ``factor`` positions per weight, drawn one step before the window.

    ``proposal`` says how they are drawn: by the ``norms`` of rows and columns in one batch;
    ``uniform``; or ``lowrank``, the largest entries that a sketch of this rank finds in the K steps
    before.
    """

    name = "candidates"

    def __init__(
        self,
        parameter: Any,
        *,
        factor: float,
        rng: np.random.Generator,
        proposal: str = "norms",
        rank: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(parameter, **options)
        self.factor, self.proposal, self.rng = factor, proposal, rng
        self._scout: LowRank | None = None
        if proposal == "lowrank":
            self._scout = LowRank(parameter, rank=rank, rng=rng, **options)
        self.keys, self.values = np.empty(0, dtype=np.int64), np.empty(0, dtype=self.dtype)
        self._pattern: Pattern | None = None
        self._scratch = self.values

    def observe(self, step: int, left: int, view: GradientView) -> None:
        if self._scout is not None and self.steps < left <= 2 * self.steps:
            self._scout.observe(step, left - self.steps, view)
        if left == self.steps + 1:
            self.keys, self._pattern = self._draw(view), None
            self.values = aligned_zeros(self._shape_of(self.keys), self.dtype)
        elif left <= self.steps and len(self.keys):
            self._accumulate(view)

    def _draw(self, view: GradientView) -> np.ndarray:
        pattern = self.parameter.pattern
        count = int(self.factor * pattern.nnz) + 1
        if self._scout is not None:
            return self._scout.top(min(count, pattern.size - pattern.nnz), 0)[0]
        if self.proposal == "uniform":
            return inactive(self.rng.integers(pattern.size, size=count), pattern)
        rows, columns = view.activity("norm", self.rng)
        if not (rows.any() and columns.any()):
            return np.empty(0, dtype=np.int64)
        return inactive(draw_pairs(rows, columns, count, self.rng), pattern)

    def _shape_of(self, keys: np.ndarray) -> tuple[int]:
        """Return the shape of the values of some candidates: one for each of their weights."""
        return (count_at_keys(self.parameter, keys),)

    def _candidates(self) -> Pattern:
        """Return the pattern of all their weights."""
        if self._pattern is None:
            n_out, group = self.weights.shape[0], self.weights.pattern.group
            columns = Pattern.from_keys(self.parameter.shape, self.keys)
            self._pattern = Pattern.of_groups(n_out, group, columns)
        return self._pattern

    def _accumulate(self, view: GradientView) -> None:
        if len(self._scratch) != len(self.values):
            self._scratch = aligned_empty(len(self.values), self.dtype)
        fresh = view_of_weights(view).at(self._candidates(), self._scratch)
        np.multiply(self.values, self.dtype.type(self.momentum), out=self.values)
        np.multiply(fresh, self.dtype.type(self.gradient_weight), out=fresh)
        np.add(self.values, fresh, out=self.values)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        scores = self._scores()
        chosen = largest(np.abs(scores), count)
        return self._take(scores, chosen[scores[chosen] != 0])

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.keys // self.parameter.shape[1]
        scores = self._scores()
        return self._take(scores, largest_of_rows(rows, scores, counts))

    def _scores(self) -> np.ndarray:
        if self.shared is None:
            return self.values
        return self.shared.fold(self.values, self._candidates().groups)

    def _take(self, scores: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return some of the candidates, and forget all."""
        found = self.keys[chosen], scores[chosen]
        if self.shared is not None:
            groups = self._candidates().groups
            self._told = found[0], self.shared.take(self.values, chosen, groups)
        self._forget()
        return found

    def _forget(self) -> None:
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        self.values = self._scratch = np.empty(0, dtype=self.dtype)

    def state(self) -> dict[str, np.ndarray]:
        scouted = self._scout.state() if self._scout is not None else {}
        own = {"keys": self.keys, "values": self.values}
        return {**own, **{f"scout {key}": array for key, array in scouted.items()}}

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        pattern = self.parameter.pattern
        keys, values = self._take_inactive(arrays, pattern.size - pattern.nnz, self._shape_of)
        if self._scout is not None:
            self._scout.load_state(behind(arrays, "scout "), steps_done)
        self.keys, self.values, self._pattern = keys, values, None
        self._scratch = self.values[:0]
