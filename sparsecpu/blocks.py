"""Rows cut at columns, so that the part of a tile that is in use stays in the level-2 cache.

A row's nonzeros read the tile at random. Where the whole tile is larger than the cache likes, all
rows go through one block of columns before any goes on to the next: each block is read from afar
once, and then from near. Values and indices of a row are then read piece by piece; the kernels ask
for them ahead of time.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.cpu import level_two_cache

#: A block pays for loading and storing its row of sums once more with so many nonzeros per row.
_LEAST_PER_ROW = 10


def uncut_bytes() -> int:
    """Return how large a tile may be to be read as a whole, in bytes."""
    return min(512 * 1024, level_two_cache() // 2)


def block_bytes() -> int:
    """Return how much of a larger tile a block of columns should have, in bytes.

    Much less than the cache holds, which rows of sums, values and indices pass through too.
    """
    return uncut_bytes() // 4


def effective_width(columns: int, nonzeros_per_row: float) -> int:
    """Return how many columns are in use at once, when as many blocks are cut as pay.

    Parameters
    ----------
    columns : int
        Of the matrix.
    nonzeros_per_row : float
        Mean of its rows.

    Returns
    -------
    int
        At most ``columns``.
    """
    return -(-columns // max(1, int(nonzeros_per_row / _LEAST_PER_ROW)))


class Blocked:
    """Mixin of a CSR index: where each row's part of each block starts and ends.

    Attributes
    ----------
    indptr, indices : ndarray
        CSR.
    columns : int
        Number of columns.
    """

    indptr: np.ndarray
    indices: np.ndarray
    columns: int
    _cuts: dict[int, tuple[np.ndarray, np.ndarray]]

    def blocks(self, row_bytes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the starts and ends of all rows in all blocks.

        Parameters
        ----------
        row_bytes : int
            Bytes of a tile per column.

        Returns
        -------
        starts, ends : ndarray of int64, shape (blocks, rows)
            Row i's nonzeros of block b are ``indices[starts[b, i]:ends[b, i]]``.
        """
        rows = len(self.indptr) - 1
        size = self.columns * row_bytes
        wanted = 1 if size <= uncut_bytes() else -(-size // block_bytes())
        count = max(1, min(wanted, len(self.indices) // (_LEAST_PER_ROW * rows)))
        if count not in self._cuts:
            self._cuts[count] = self._cut(rows, count)
        return self._cuts[count]

    def _cut(self, rows: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if count == 1:
            return self.indptr[None, :-1], self.indptr[None, 1:]
        width = -(-self.columns // count)
        first = np.arange(rows, dtype=np.int64) * self.columns
        keys = np.repeat(first, np.diff(self.indptr))
        keys += self.indices
        cuts = np.empty((count + 1, rows), dtype=np.int64)
        cuts[0], cuts[-1] = self.indptr[:-1], self.indptr[1:]
        for block in range(1, count):
            cuts[block] = np.searchsorted(keys, first + block * width)
        cuts.setflags(write=False)  # as all index arrays are, so that kernels compile once
        return cuts[:-1], cuts[1:]
