"""The largest entries of a stream, of which no more than those are ever held."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.selection import strongest
from sparsecpu.topology.shared_columns import SharedColumns


class RunningTop:
    """The ``count`` entries of largest magnitude in a stream of keys and values, never a 0.

    Magnitudes at or below ``threshold`` are known not to be among them. O(count) memory. Where
    entries are shared columns, their values are scores, and ``rows`` has what each row has there,
    if that is kept.
    """

    def __init__(
        self, count: int, dtype: Any, threshold: float = 0.0, shared: SharedColumns | None = None,
        *, rows_kept: bool = True,
    ) -> None:  # fmt: skip
        self.count, self.threshold, self.shared = count, threshold, shared
        room = count + count // 3 + 1024
        self._keys, self._values = np.empty(room, dtype=np.int64), np.empty(room, dtype=dtype)
        self._kept = 0 if shared is None or not rows_kept else shared.group
        self._rows = np.empty((room, self._kept), dtype=dtype)
        self._used = 0

    @property
    def rows(self) -> np.ndarray:
        """What the rows of each entry have there, 0 where there is no row."""
        return self._rows[: self._used]

    def add(self, keys: np.ndarray, values: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Offer entries; keys must be distinct over the whole stream."""
        taken = 0
        while taken < len(keys):
            if self._used == len(self._keys):
                self._shrink()
            part = slice(taken, taken + len(self._keys) - self._used)
            end = self._used + len(keys[part])
            self._keys[self._used : end] = keys[part]
            self._values[self._used : end] = values[part]
            if rows is not None:
                self._rows[self._used : end] = rows[part]
            self._used, taken = end, part.stop

    def offer(self, pattern: Pattern, tile: np.ndarray, row: int, column: int = 0) -> None:
        """Offer the inactive entries of a contiguous tile that begins there; it is overwritten.

        Of shared columns the tile has all rows, and ``row`` is the first group.
        """
        from sparsecpu.kernels.select import clear_active, collect

        scores = tile if self.shared is None else self.shared.fold_rows(tile)
        clear_active(scores, pattern.indptr[row : row + len(scores) + 1], pattern.indices, column)
        place, pitch = 0, pattern.shape[1]
        while place < scores.size:
            if len(self._keys) - self._used < 64:
                self._shrink()
            before = self._used
            self._used, place = collect(
                scores, place, row * pitch + column, pitch, self.threshold,
                self._keys, self._values, self._used,
            )  # fmt: skip
            if self._kept:
                groups, columns = np.divmod(self._keys[before : self._used], pitch)
                rows = (groups - row)[:, None] * self._kept + np.arange(self._kept)
                there = rows < len(tile)
                found = tile[np.where(there, rows, 0), (columns - column)[:, None]]
                self._rows[before : self._used] = np.where(there, found, 0)

    def _shrink(self) -> None:
        keys, values = self._keys[: self._used], self._values[: self._used]
        kept = strongest(keys, values, self.count)
        if len(keys) > self.count > 0 and np.count_nonzero(kept) == self.count:
            # Strictly below: an equal value at an earlier position may still come.
            edge = np.abs(values[kept]).min()
            self.threshold = max(self.threshold, float(np.nextafter(edge, edge.dtype.type(0))))
        used, self._used = self._used, int(kept.sum())
        self._keys[: self._used], self._values[: self._used] = keys[kept], values[kept]
        if self._kept:
            self._rows[: self._used] = self._rows[:used][kept]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys kept, sorted, and their values; ``rows`` are in their order, too."""
        self._shrink()
        order = np.argsort(self._keys[: self._used])
        keys, values = self._keys[order], self._values[order]
        self._keys[: self._used], self._values[: self._used] = keys, values
        if self._kept:
            self._rows[: self._used] = self._rows[order]
        return keys, values
