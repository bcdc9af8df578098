"""The largest entries of a stream, of which no more than those are ever held."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.selection import strongest


class RunningTop:
    """The ``count`` entries of largest magnitude in a stream of keys and values, never a 0.

    Magnitudes at or below ``threshold`` are known not to be among them. O(count) memory.
    """

    def __init__(self, count: int, dtype: Any, threshold: float = 0.0) -> None:
        self.count, self.threshold = count, threshold
        room = count + count // 3 + 1024
        self._keys, self._values = np.empty(room, dtype=np.int64), np.empty(room, dtype=dtype)
        self._used = 0

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Offer entries; keys must be distinct over the whole stream."""
        taken = 0
        while taken < len(keys):
            if self._used == len(self._keys):
                self._shrink()
            part = slice(taken, taken + len(self._keys) - self._used)
            end = self._used + len(keys[part])
            self._keys[self._used : end] = keys[part]
            self._values[self._used : end] = values[part]
            self._used, taken = end, part.stop

    def offer(self, pattern: Pattern, tile: np.ndarray, row: int, column: int = 0) -> None:
        """Offer the inactive entries of a contiguous tile that begins there; it is overwritten."""
        from sparsecpu.kernels.select import clear_active, collect

        clear_active(tile, pattern.indptr[row : row + len(tile) + 1], pattern.indices, column)
        place, pitch = 0, pattern.shape[1]
        while place < tile.size:
            if len(self._keys) - self._used < 64:
                self._shrink()
            self._used, place = collect(
                tile, place, row * pitch + column, pitch, self.threshold,
                self._keys, self._values, self._used,
            )  # fmt: skip

    def _shrink(self) -> None:
        keys, values = self._keys[: self._used], self._values[: self._used]
        kept = strongest(keys, values, self.count)
        if len(keys) > self.count > 0 and np.count_nonzero(kept) == self.count:
            # Strictly below: an equal value at an earlier position may still come.
            edge = np.abs(values[kept]).min()
            self.threshold = max(self.threshold, float(np.nextafter(edge, edge.dtype.type(0))))
        self._used = int(kept.sum())
        self._keys[: self._used], self._values[: self._used] = keys[kept], values[kept]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys kept, sorted, and their values."""
        self._shrink()
        order = np.argsort(self._keys[: self._used])
        return self._keys[order], self._values[order]
