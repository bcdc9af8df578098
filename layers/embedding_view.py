"""What topology may read of the gradient of a sparse table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.layers.linear_view import summed
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView, check_places


class Occurrences(NamedTuple):
    """Which rows of a table occur in a batch, and in which lanes."""

    rows: np.ndarray  #: the rows, sorted
    bounds: np.ndarray  #: (rows + 1,), where the lanes of each begin in ``order``
    order: np.ndarray  #: the lanes, those of a row behind each other

    @classmethod
    def of(cls, tokens: np.ndarray) -> Occurrences:
        """Return them for the number of each lane's row."""
        order = np.argsort(tokens, kind="stable")
        rows, starts = np.unique(tokens[order], return_index=True)
        return cls(rows, np.append(starts, len(tokens)), order)


class TableView(GradientView):
    """``dE[i]`` is the sum of dy, (tiles, features, lanes), over the lanes of row i."""

    def __init__(self, tokens: np.ndarray, dy: np.ndarray, n_rows: int) -> None:
        self.tokens, self.dy, self.n_rows = tokens, dy, n_rows
        self.found = Occurrences.of(tokens)

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        from sparsecpu.kernels.embedding import sum_at

        out = np.empty(pattern.nnz, self.dy.dtype) if out is None else out
        check_places(pattern, (self.n_rows, self.dy.shape[1]), out, self.dy.dtype)
        out[...] = 0
        sum_at(*self.found, self.dy, pattern.indptr, pattern.indices, out)
        return out

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        place = np.full(self.n_rows, -1)
        place[rows] = np.arange(len(out))
        lanes = self.dy.shape[2]
        out[...] = 0
        for tile, dy in zip(
            place[self.tokens].reshape(-1, lanes), self.dy[:, columns], strict=True
        ):
            here = tile >= 0
            np.add.at(out, tile[here], dy[:, here].T)

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = self.dy.any(axis=1).astype(self.dy.dtype)  # 0 in padding: no gradient there
        if kind == "estimate":
            signs = np.array([-1, 1], dtype=self.dy.dtype)
            weights[weights != 0] = rng.choice(signs, size=np.count_nonzero(weights))
        of_lanes = np.abs(weights) if kind != "estimate" else weights
        rows = np.bincount(self.tokens, of_lanes.reshape(-1), self.n_rows)
        rows = np.sqrt(rows) if kind == "norm" else np.abs(rows)
        return rows, summed(self.dy, weights, kind)
