"""Row tiles of the momentum, one after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, take
from sparsecpu.step.gradient_view import GradientView, whole_rows
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.shared_columns import shape_of_values, weights_of
from sparsecpu.topology.shared_view import view_of_weights
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.tile_search import TILE_FRACTION

#: Columns of a tile that are added to at a time, so that no second tile exists.
_COLUMNS = 256


class Tiles(Source):
    """M in ``parts`` row tiles; each has its turn of K steps before the update."""

    name = "tiles"

    def __init__(self, parameter: Any, *, parts: int, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = self.weights.shape
        group = self.weights.pattern.group
        self.rows = -(-n_out // (parts * group)) * group  # whole groups
        self.parts = -(-n_out // self.rows)
        self.tile = aligned_zeros((self.rows, n_in), self.dtype)
        self._whole: tuple[int, Pattern] | None = None
        self._found: RunningTop | None = None  # made when the first part has had its turn

    @staticmethod
    def parts_for(parameter: Any, memory: float) -> int:
        """Return how many parts make a tile and its search fit in ``memory`` bytes.

        They are enough to stay far from a dense matrix.
        """
        weights = weights_of(parameter)
        n_out, n_in = weights.shape
        per_row = n_in * (2 * weights.data.itemsize + 1)  # the tile, its magnitudes and a mask
        fitting = math.ceil(n_out / max(1, int(memory // per_row)))
        return min(max(min(TILE_FRACTION, n_out), fitting), n_out)

    def observe(self, step: int, left: int, view: GradientView) -> None:
        turn, remaining = divmod(left - 1, self.steps)
        part = self.parts - 1 - turn
        if part < 0:
            return
        first = part * self.rows
        tile = self.tile[: self.weights.shape[0] - first]
        self._accumulate(tile, first, 0.0 if remaining == self.steps - 1 else self.momentum, view)
        if remaining == 0:
            self._found = self._found or self._nothing()
            group = self.weights.pattern.group
            self._found.offer(self.parameter.pattern, tile, first // group)

    def _accumulate(self, tile: np.ndarray, first: int, beta: float, view: GradientView) -> None:
        """Let the tile be beta times itself, plus this step's gradient, of rows from first on."""
        from sparsecpu.kernels.linear.outer import outer

        view = view_of_weights(view)
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
            self._whole = first, whole_rows(self.weights.shape, slice(first, first + count))
        return self._whole[1]

    def _nothing(self) -> RunningTop:
        pattern = self.parameter.pattern
        most = min(pattern.nnz, pattern.size - pattern.nnz)
        return RunningTop(most, self.dtype, shared=self.shared)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        found, self._found = self._found or self._nothing(), None
        found.count = min(count, found.count)
        return self._tell(found)

    def state(self) -> dict[str, np.ndarray]:
        found = self._found or self._nothing()
        keys, values = found.result()
        if self.shared is not None:  # scores are made of them
            values = found.rows
        return {"tile": self.tile, "keys": keys, "values": values}

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        found = self._nothing()
        tile = take(arrays, "tile", self.dtype, self.tile.shape)
        keys, values = self._take_inactive(
            arrays, found.count, lambda keys: shape_of_values(self.parameter, keys)
        )
        if self.shared is None:
            found.add(keys, values)
        else:
            found.add(keys, self.shared.fold_values(keys, values), values)
        self.tile, self._found = aligned_copy(tile), found
