"""Tensors of a file, read a bounded number of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.sparse.keys import among
from sparsecpu.sparse.pattern import Pattern

#: Bytes that are read at once, unless one row is larger.
TILE_BYTES = 1 << 22


class Tensor:
    """A dense tensor of a file.

    ``read(start, stop)`` returns rows as floats of shape (rows, columns): the first axis is rows,
    all others are flattened. It is called in order, from the first row to the last.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], read: Callable[[int, int], np.ndarray]
    ) -> None:
        self.name, self.shape, self._read = name, tuple(shape), read
        #: The tensors of the file that this one is made from, if it is made from several.
        self.parts: tuple[Tensor, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def tiles(self, group: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of a first row and the rows from there on, checked to be finite.

        The rows of a group are together.
        """
        if not self.size:  # and perhaps endless rows of nothing
            return
        rows = self.shape[0] if self.shape else 1
        columns = self.size // rows
        step = max(group, TILE_BYTES // (4 * max(columns, 1)) // group * group)
        for start in range(0, rows, step):
            tile = self._read(start, min(rows, start + step))
            if not np.isfinite(tile).all():
                raise FileFormatError(f"{self.name} has values that are not finite")
            yield start, tile

    def entries(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys ``i * columns + j`` (int64, rising) and values of the nonzeros."""
        columns = math.prod(self.shape[1:])
        for start, tile in self.tiles():
            flat = tile.reshape(-1)
            keys = np.flatnonzero(flat)
            yield keys + start * columns, flat[keys]

    def shared(self, group: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys of shared columns, and the sums of magnitudes in their rows, none of them 0.

        Where ``group`` is 1, what ``entries`` does.
        """
        if group == 1:
            yield from self.entries()
            return
        columns = math.prod(self.shape[1:])
        for start, tile in self.tiles(group):
            sums = np.zeros((-(-len(tile) // group), columns))
            for r in range(group):
                rows = np.abs(tile[r::group])
                sums[: len(rows)] += rows
            keys = np.flatnonzero(sums)
            yield keys + start // group * columns, sums.reshape(-1)[keys]

    def at(self, pattern: Pattern) -> np.ndarray:
        """Return the elements at the positions of a pattern, a row for each of the first axis."""
        parts = []
        for start, tile in self.tiles():
            first, stop = pattern.indptr[[start, start + len(tile)]]
            rows = np.repeat(np.arange(len(tile)), pattern.fan_in[start : start + len(tile)])
            parts.append(tile[rows, pattern.indices[first:stop]])
        return np.concatenate(parts)

    def values(self) -> np.ndarray:
        """Return all elements, flattened."""
        parts = [tile.reshape(-1) for _, tile in self.tiles()]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


class SparseTensor(Tensor):
    """A matrix of a file; stored zeros count as zeros, and filters keep their ``shape``.

    ``load()`` returns it as CSR, with sorted columns, each once; it is called when first needed.
    """

    def __init__(self, name: str, shape: tuple[int, ...], load: Callable[[], Any]) -> None:
        super().__init__(name, shape, self._rows)
        self._load = load

    @cached_property
    def _matrix(self) -> Any:
        return self._load()

    def _rows(self, start: int, stop: int) -> np.ndarray:
        part = self._matrix[start:stop].tocoo()
        wide = part.data.dtype.kind == "f" and part.data.itemsize >= 4
        tile = np.zeros(part.shape, dtype=part.data.dtype if wide else np.float32)
        tile[part.row, part.col] = part.data
        return tile

    def entries(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        matrix = self._matrix.tocoo()
        if not np.isfinite(matrix.data).all():
            raise FileFormatError(f"{self.name} has values that are not finite")
        keys = matrix.row.astype(np.int64) * matrix.shape[1] + matrix.col
        nonzero = matrix.data != 0
        yield keys[nonzero], matrix.data[nonzero]

    def shared(self, group: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        columns = math.prod(self.shape[1:])
        for keys, values in self.entries():
            if group > 1:
                shared = keys // columns // group * columns + keys % columns
                order = np.argsort(shared, kind="stable")
                starts = np.flatnonzero(np.diff(shared[order], prepend=-1))
                values = np.add.reduceat(np.abs(values[order]), starts, dtype=np.float64)
                keys = shared[order[starts]]
            yield keys, values

    def at(self, pattern: Pattern) -> np.ndarray:
        found = np.zeros(pattern.nnz, dtype=np.result_type(self._matrix.dtype, np.float32))
        for keys, values in self.entries():
            places, there = among(pattern.keys(), keys)
            found[there] = values[places[there]]
        return found


def sparse_tensor(name: str, matrix: Any) -> SparseTensor:
    """Return a CSR matrix in memory, with sorted columns, each once, as a tensor."""
    return SparseTensor(name, matrix.shape, lambda: matrix)


class MaskedTensor(Tensor):
    """A tensor with a mask of the same shape, which is 0 where there is no weight."""

    def __init__(self, tensor: Tensor, mask: Tensor) -> None:
        if tensor.shape != mask.shape:
            raise FileFormatError(
                f"{tensor.name} has shape {tensor.shape} and its mask {mask.shape}"
            )
        super().__init__(tensor.name, tensor.shape, lambda start, stop: np.empty(0))
        self.parts = tensor, mask

    def tiles(self, group: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        both = (part.tiles(group) for part in self.parts)
        for (start, tile), (_, mask) in zip(*both, strict=True):
            yield start, np.where(mask != 0, tile, np.float32(0))


def unreadable(name: str, shape: tuple[int, ...], reason: str) -> Tensor:
    """Return a tensor that is refused when its values are wanted; perhaps nobody wants them."""

    def read(start: int, stop: int) -> np.ndarray:
        raise FileFormatError(f"{name} {reason}")

    return Tensor(name, shape, read)


def array_tensor(name: str, array: np.ndarray) -> Tensor:
    """Return an array as a tensor; one of anything but numbers is refused when it is read."""
    if array.dtype.kind not in "fiub":
        reason = f"has elements of type {array.dtype}; expected numbers"
        return unreadable(name, array.shape, reason)
    rows = array.reshape((array.shape[0] if array.ndim else 1, -1)) if array.size else array

    def read(start: int, stop: int) -> np.ndarray:
        part = rows[start:stop]
        return part.astype(np.float32) if part.dtype.kind != "f" or part.itemsize < 4 else part

    return Tensor(name, array.shape, read)
