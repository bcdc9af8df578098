"""Row tiles of the momentum, one after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, take
from sparsecpu.step.gradient_view import GradientView, whole_rows
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.tile_search import TILE_FRACTION

#: Columns of a tile that are added to at a time, so that no second tile exists.
_COLUMNS = 256


class Tiles(Source):
    """M in ``parts`` row tiles; each has its turn of K steps before the update."""

    name = "tiles"

    def __init__(self, parameter: SparseParameter, *, parts: int, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = parameter.shape
        self.rows = -(-n_out // parts)
        self.parts = -(-n_out // self.rows)
        self.tile = aligned_zeros((self.rows, n_in), self.dtype)
        self._whole: tuple[int, Pattern] | None = None
        self._found: RunningTop | None = None  # made when the first part has had its turn

    @staticmethod
    def parts_for(parameter: SparseParameter, memory: float) -> int:
        """Return how many parts make a tile and its search fit in ``memory`` bytes.

        They are enough to stay far from a dense matrix.
        """
        n_out, n_in = parameter.shape
        per_row = n_in * (2 * parameter.data.itemsize + 1)  # the tile, its magnitudes and a mask
        fitting = math.ceil(n_out / max(1, int(memory // per_row)))
        return min(max(min(TILE_FRACTION, n_out), fitting), n_out)

    def observe(self, step: int, left: int, view: GradientView) -> None:
        turn, remaining = divmod(left - 1, self.steps)
        part = self.parts - 1 - turn
        if part < 0:
            return
        first = part * self.rows
        tile = self.tile[: self.parameter.shape[0] - first]
        self._accumulate(tile, first, 0.0 if remaining == self.steps - 1 else self.momentum, view)
        if remaining == 0:
            self._found = self._found or self._nothing()
            self._found.offer(self.parameter.pattern, tile, first)

    def _accumulate(self, tile: np.ndarray, first: int, beta: float, view: GradientView) -> None:
        """Let the tile be beta times itself, plus this step's gradient, of rows from first on."""
        from sparsecpu.kernels.linear.outer import outer

        factors = view.factors()
        if factors is None:
            fresh = view.at(self._rows(first, len(tile))).reshape(tile.shape)
            np.multiply(tile, self.dtype.type(beta), out=tile)
            tile += self.dtype.type(self.gradient_weight) * fresh
            return
        np.multiply(tile, self.dtype.type(beta), out=tile)
        part = np.empty((len(tile), min(_COLUMNS, tile.shape[1])), self.dtype)
        for x, dy in zip(*factors, strict=True):
            for column in range(0, tile.shape[1], _COLUMNS):
                here = tile[:, column : column + _COLUMNS]
                fresh = part[:, : here.shape[1]]
                outer(dy[first : first + len(tile)], x[column : column + _COLUMNS], fresh)
                np.multiply(fresh, self.dtype.type(self.gradient_weight), out=fresh)
                np.add(here, fresh, out=here)

    def _rows(self, first: int, count: int) -> Pattern:
        if self._whole is None or self._whole[0] != first:
            self._whole = first, whole_rows(self.parameter.shape, slice(first, first + count))
        return self._whole[1]

    def _nothing(self) -> RunningTop:
        pattern = self.parameter.pattern
        return RunningTop(min(pattern.nnz, pattern.size - pattern.nnz), self.dtype)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        found, self._found = self._found or self._nothing(), None
        found.count = min(count, found.count)
        return found.result()

    def state(self) -> dict[str, np.ndarray]:
        keys, values = (self._found or self._nothing()).result()
        return {"tile": self.tile, "keys": keys, "values": values}

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        found = self._nothing()
        tile = take(arrays, "tile", self.dtype, self.tile.shape)
        found.add(*self._take_inactive(arrays, found.count))
        self.tile, self._found = aligned_copy(tile), found
