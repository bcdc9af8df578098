"""How rows are divided among threads, and cut at columns so that what is in use stays in the cache.

A row's nonzeros read the tile at random. Where the whole tile is larger than the level-2 cache
likes, a *chunk* of rows goes through one *block* of columns before it goes on to the next: the
block is read from memory once for the chunk, and then from the cache, and so are the chunk's sums,
which are read and written for each block. Values and indices of a row are then read piece by piece;
the kernels prefetch them.

Rows that stand alone have a load for each multiply-add, which has to come from near. A group's
columns are loaded once for all of its rows: it suffices that they come from level 3, where that is
near, and blocks are as large. (4096 x 4096 at 90 %, on a CPU with 1 MiB of level 2: blocks of 64
KiB, not 256, take y from 11.9 to 8.2 ms for rows alone; 8192 x 8192 at 95 % in groups of four,
uncut, from 20 to 11 ms.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.kernels.machine.cpu import level_one_cache, level_two_cache, near_level_three

#: Rows are cut into at most this many chunks, of at least this many nonzeros.
_MAX_CHUNKS, _CHUNK_WORK = 64, 2048
#: A block pays for loading and storing its row of sums once more with so many nonzeros per row.
_LEAST_PER_ROW = 10


def uncut_bytes(in_groups: bool = False) -> int:
    """Return how large a tile may be to be read as a whole, in bytes, by rows alone or groups."""
    return max(level_two_cache() // 2, near_level_three() if in_groups else 0)


def block_bytes(in_groups: bool = False) -> int:
    """Return how much of a larger tile a block of columns should have, in bytes."""
    usual, near = level_two_cache() // 4, near_level_three()
    if in_groups:
        return max(usual, near)
    return min(usual, 2 * level_one_cache()) if near else usual


def sums_bytes(in_groups: bool = False) -> int:
    """Return how large the sums of a chunk should be, in bytes, where rows are cut into blocks.

    As large as they may be: each further chunk reads all blocks from memory once more, at random.
    """
    return uncut_bytes(in_groups)


def effective_width(columns: int, nonzeros_per_row: float) -> int:
    """Return how many columns are in use at once, when as many blocks are cut as pay."""
    return -(-columns // max(1, int(nonzeros_per_row / _LEAST_PER_ROW)))


class RowIndex:
    """A CSR index: base of a pattern, and of the same nonzeros column by column.

    ``columns`` is the number of columns, whichever way it is turned.
    """

    indptr: np.ndarray
    indices: np.ndarray
    columns: int
    _blocks: dict[int, tuple[np.ndarray, np.ndarray]]
    _chunks: dict[int, np.ndarray]

    def __init__(
        self, indptr: np.ndarray, indices: np.ndarray | None, columns: int, **more: Any
    ) -> None:
        if indices is not None:
            more["indices"] = sealed(indices)
        self.__dict__.update(indptr=sealed(indptr), columns=columns, _blocks={}, _chunks={}, **more)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: kernels read wherever an index says, so that it stays what was checked."""
        raise PatternError(f"an index never changes, so its {name} cannot be set; make a new one")

    @cached_property
    def chunks(self) -> np.ndarray:
        """Row numbers, from 0 to the number of rows, between which the work is about equal."""
        return chunks_of_equal_work(self.indptr)

    def blocks(self, row_bytes: int, in_groups: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and ends, int64, shape (blocks, rows), of all rows in all blocks.

        Row i's nonzeros of block b are ``indices[starts[b, i]:ends[b, i]]``; ``row_bytes`` are the
        bytes of a tile per column. ``in_groups`` if each row stands for a group of them.
        """
        return self.cut(self._block_count(row_bytes, in_groups))

    def cut(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what ``blocks`` does, for so many blocks."""
        if count not in self._blocks:
            self._blocks[count] = self._cut(count)
        return self._blocks[count]

    def chunks_of(self, row_bytes: int, in_groups: bool = False) -> np.ndarray:
        """Return the chunks of rows that go through these blocks, int64 row numbers.

        Each thread gets as many; how many threads there are decides only who computes what.
        """
        if self._block_count(row_bytes, in_groups) == 1:
            return self.chunks
        from sparsecpu.kernels.machine.threads import current_threads

        team, room = current_threads(), sums_bytes(in_groups)
        count = -(-(len(self.indptr) - 1) * row_bytes // (room * team)) * team
        if count not in self._chunks:
            chunks = self._chunks[count] = chunks_of_equal_work(self.indptr, count)
            chunks.setflags(write=self.chunks.flags.writeable)  # of one type for the kernels
        return self._chunks[count]

    def _block_count(self, row_bytes: int, in_groups: bool) -> int:
        rows, size = len(self.indptr) - 1, self.columns * row_bytes
        wanted = 1 if size <= uncut_bytes(in_groups) else -(-size // block_bytes(in_groups))
        return max(1, min(wanted, len(self.indices) // (_LEAST_PER_ROW * rows)))

    def _cut(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        if count == 1:
            return self.indptr[None, :-1], self.indptr[None, 1:]
        rows, width = len(self.indptr) - 1, -(-self.columns // count)
        first = np.arange(rows, dtype=np.int64) * self.columns
        keys = np.repeat(first, np.diff(self.indptr))
        keys += self.indices
        cuts = np.empty((count + 1, rows), dtype=np.int64)
        cuts[0], cuts[-1] = self.indptr[:-1], self.indptr[1:]
        for block in range(1, count):
            cuts[block] = np.searchsorted(keys, first + min(block * width, self.columns))
        freeze(cuts)
        return cuts[:-1], cuts[1:]


def sealed(array: np.ndarray) -> np.ndarray:
    """Return an array that can never be written; not even the flag that forbids it can be set."""
    return np.asarray(memoryview(array).toreadonly())  # type: ignore[arg-type]


def freeze(*arrays: np.ndarray) -> None:
    """Make index arrays read-only; all of them, for kernels compile once per array type."""
    for array in arrays:
        array.setflags(write=False)


def chunks_of_equal_work(indptr: np.ndarray, chunks: int = 0) -> np.ndarray:
    """Return row numbers, int64, that cut rows into chunks; by default as many as pay.

    Storing an empty row costs like a few nonzeros.
    """
    n_rows = len(indptr) - 1
    work = indptr + 4 * np.arange(n_rows + 1)
    chunks = chunks or int(np.clip(work[-1] // _CHUNK_WORK, 1, min(_MAX_CHUNKS, n_rows)))
    edges = np.searchsorted(work, np.linspace(0, work[-1], chunks + 1))
    edges[0], edges[-1] = 0, n_rows
    return np.unique(edges).astype(np.int64)
