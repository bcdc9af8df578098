"""How rows are shared out, and cut at columns so that what is in use stays in the level-2 cache.

A row's nonzeros read the tile at random. Where the whole tile is larger than the cache likes, a
*span* of rows goes through one block of columns before it goes on to the next: the block is read
from afar once for the span, and then from near, and so are the span's sums, which are read and
written for each block. Values and indices of a row are then read piece by piece; the kernels ask
for them ahead of time.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.cpu import level_two_cache

#: Rows are cut into at most this many runs of equal work, of at least this many nonzeros.
_MAX_CHUNKS, _CHUNK_WORK = 64, 2048
#: A block pays for loading and storing its row of sums once more with so many nonzeros per row.
_LEAST_PER_ROW = 10


def uncut_bytes() -> int:
    """Return how large a tile may be to be read as a whole, in bytes."""
    return level_two_cache() // 2


def block_bytes() -> int:
    """Return how much of a larger tile a block of columns should have, in bytes."""
    return level_two_cache() // 4


def span_bytes() -> int:
    """Return how large a span's sums should be, in bytes, where rows are cut into blocks.

    As large as they may be: each further span reads all blocks from afar once more, at random.
    """
    return level_two_cache() // 2


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
    _spans: dict[int, np.ndarray]

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
        count = self._count(row_bytes)
        if count not in self._cuts:
            self._cuts[count] = self._cut(len(self.indptr) - 1, count)
        return self._cuts[count]

    def spans(self, row_bytes: int) -> np.ndarray:
        """Return the runs of rows that a thread computes, each through all blocks.

        Parameters
        ----------
        row_bytes : int
            Bytes of a tile per column, and of its sums per row.

        Returns
        -------
        ndarray of int64
            Row numbers, from 0 to the number of rows: as many spans for each thread, whose number
            decides nothing but who computes what.
        """
        chunks: np.ndarray = self.chunks  # type: ignore[attr-defined]
        if self._count(row_bytes) == 1:
            return chunks
        from sparsecpu.kernels.machine.threads import current_threads

        team = current_threads()
        count = -(-(len(self.indptr) - 1) * row_bytes // (span_bytes() * team)) * team
        if count not in self._spans:
            self._spans[count] = cut_rows(self.indptr, count)
            self._spans[count].setflags(write=chunks.flags.writeable)
        return self._spans[count]

    def _count(self, row_bytes: int) -> int:
        """Return into how many blocks rows are cut."""
        rows, size = len(self.indptr) - 1, self.columns * row_bytes
        wanted = 1 if size <= uncut_bytes() else -(-size // block_bytes())
        return max(1, min(wanted, len(self.indices) // (_LEAST_PER_ROW * rows)))

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


def cut_rows(indptr: np.ndarray, runs: int = 0) -> np.ndarray:
    """Cut rows into runs of about equal work; storing an empty row costs like a few nonzeros.

    Parameters
    ----------
    indptr : ndarray of int64, shape (rows + 1,)
        Where each row starts.
    runs : int, optional
        How many; by default as many as have work enough.

    Returns
    -------
    ndarray of int64
        Row numbers, from 0 to the number of rows.
    """
    n_rows = len(indptr) - 1
    work = indptr + 4 * np.arange(n_rows + 1)
    runs = runs or int(np.clip(work[-1] // _CHUNK_WORK, 1, min(_MAX_CHUNKS, n_rows)))
    edges = np.searchsorted(work, np.linspace(0, work[-1], runs + 1))
    edges[0], edges[-1] = 0, n_rows
    return np.unique(edges).astype(np.int64)
