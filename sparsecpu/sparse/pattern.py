"""Where the nonzeros are: patterns in CSR, without their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.sparse.keys import (
    SLAB,
    contained,
    distinct_keys,
    draw_rows,
    keys_of_rows,
    merge_rows,
    slabs,
)
from sparsecpu.sparse.row_blocks import RowIndex, freeze

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_INT32_MAX = 2**31 - 1
#: Full matrices with fewer elements go through the sparse kernels: these fuse bias, ReLU and its
#: gate, which cost more than the products there (1000 -> 10 at batch 128: 0.08 ms against 0.8).
BLAS_SIZE = 65_536


class TransposedPattern(RowIndex):
    """The same nonzeros, column by column; ``perm`` has the place of each in the pattern.

    ``transposed_data = data[perm]``; ``perm`` is int32, shape (nnz,).
    """

    def __init__(self, pattern: Pattern) -> None:
        from scipy.sparse import csr_array

        order = np.arange(pattern.nnz, dtype=np.int32)
        rows = csr_array((order, pattern.indices, pattern.indptr), shape=pattern.shape)
        columns = rows.tocsc()
        indices = columns.indices.astype(np.int32, copy=False)
        super().__init__(columns.indptr.astype(np.int64), indices, pattern.shape[0])
        self.perm = columns.data
        freeze(self.perm)


@dataclass(frozen=True)
class Merge:
    """What became of the nonzeros when a pattern changed."""

    pattern: Pattern  #: the new one
    kept: np.ndarray  #: bool: which nonzeros of the old pattern stay
    kept_at: np.ndarray  #: bool: which nonzeros of the new one these are, in the same order
    new_at: np.ndarray  #: int64: places of the new positions, in the order in which they were given


class Pattern(RowIndex):
    """An immutable CSR sparsity pattern; rows are outputs, columns are inputs.

    Parameters
    ----------
    shape : tuple of two ints
        ``(n_out, n_in)``.
    indptr : array_like of int, shape (n_out + 1,)
        ``indices[indptr[i]:indptr[i + 1]]`` are the columns of row i.
    indices : array_like of int, shape (nnz,)
        Columns, sorted and unique within each row.
    validate : bool
        Check all of that; False only for arrays that were made here.

    Raises
    ------
    PatternError
        If the arrays do not describe such a pattern.
    """

    def __init__(self, shape: Any, indptr: Any, indices: Any, *, validate: bool = True) -> None:
        self.shape = _check_shape(shape)
        if validate:
            _validate(self.shape, indptr, indices)
        super().__init__(
            np.ascontiguousarray(indptr, dtype=np.int64),
            np.ascontiguousarray(indices, dtype=np.int32),
            columns=self.shape[1],
        )

    @classmethod
    def random(cls, shape: Any, nnz: int, rng: np.random.Generator) -> Pattern:
        """Draw a pattern uniformly among all with exactly ``nnz`` nonzeros.

        Distinct 64-bit keys ``i * n_in + j`` are drawn (their complement, where more than half
        are kept), so time and memory are O(nnz) at any shape. Where there are very many, slab by
        slab: draws with replacement are divided among the slabs, repeated ones are dropped, and
        what is missing then is drawn again, which is uniform, too.
        """
        shape = _check_shape(shape)
        size = shape[0] * shape[1]
        if not 0 <= nnz <= min(size, _INT32_MAX):
            raise ParameterError("nnz", nnz, f"an integer from 0 to {min(size, _INT32_MAX)}")
        if nnz > SLAB and 2 * nnz <= size:
            return _random_in_slabs(shape, nnz, rng)
        if 2 * nnz <= size:
            return cls.from_keys(shape, distinct_keys(size, nnz, rng))
        left_out = distinct_keys(size, size - nnz, rng)
        return cls.from_keys(shape, np.delete(np.arange(size, dtype=np.int64), left_out))

    @classmethod
    def full(cls, shape: Any) -> Pattern:
        """Return the pattern that keeps everything, in dense row-major order."""
        n_out, n_in = _check_shape(shape)
        indptr = np.arange(n_out + 1, dtype=np.int64) * n_in
        indices = np.tile(np.arange(n_in, dtype=np.int32), n_out)
        return cls((n_out, n_in), indptr, indices, validate=False)

    @classmethod
    def from_keys(cls, shape: Any, keys: np.ndarray) -> Pattern:
        """Return the pattern of sorted, distinct keys ``i * n_in + j``."""
        n_out, n_in = _check_shape(shape)
        edges = np.arange(n_out + 1, dtype=np.int64) * n_in
        indptr = np.searchsorted(keys, edges)
        indices = np.empty(len(keys), dtype=np.int32)
        np.remainder(keys, n_in, out=indices, casting="unsafe")
        return cls((n_out, n_in), indptr, indices, validate=False)

    @cached_property
    def nnz(self) -> int:
        """Number of nonzeros."""
        return len(self.indices)

    @cached_property
    def size(self) -> int:
        """Number of positions, ``n_out * n_in``."""
        return self.shape[0] * self.shape[1]

    @property
    def density(self) -> float:
        """Fraction of the positions that is kept."""
        return self.nnz / self.size

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return 1.0 - self.density

    @cached_property
    def is_full(self) -> bool:
        """True if every position is kept, so that values lie in dense row-major order."""
        return self.nnz == self.size

    @cached_property
    def suits_blas(self) -> bool:
        """True if it is full, and large enough for BLAS to be faster than sparse kernels."""
        return self.is_full and self.nnz >= BLAS_SIZE

    @property
    def fan_in(self) -> np.ndarray:
        """Nonzeros per row (output)."""
        return np.diff(self.indptr)

    @property
    def fan_out(self) -> np.ndarray:
        """Nonzeros per column (input)."""
        return np.bincount(self.indices, minlength=self.shape[1])

    @cached_property
    def transposed(self) -> TransposedPattern:
        """The column-by-column index of the same nonzeros."""
        return TransposedPattern(self)

    def forget_transposed(self) -> None:
        """Free the column-by-column index; it is made anew where it is needed."""
        self.__dict__.pop("transposed", None)

    def rows(self) -> np.ndarray:
        """Return the row of every nonzero, int64, shape (nnz,)."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int64), self.fan_in)

    def keys(self) -> np.ndarray:
        """Return ``i * n_in + j`` of every nonzero, sorted, int64, shape (nnz,)."""
        return keys_of_rows(self.indptr, self.indices, self.shape[1], slice(0, self.shape[0]))

    def merge(self, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
        """Return the pattern without the nonzeros at places ``drop`` and with new positions.

        ``new_keys`` are distinct, in any order; one that is dropped may come back. ``PatternError``
        if a new position is already there, is out of range, or comes twice.
        """
        arrivals = np.asarray(new_keys, dtype=np.int64)
        order = np.argsort(arrivals, kind="stable")
        arrivals = arrivals[order]
        if len(arrivals) and (arrivals[0] < 0 or arrivals[-1] >= self.size):
            raise PatternError(f"new positions must lie in a {self.shape} matrix")
        if np.any(arrivals[1:] == arrivals[:-1]):
            raise PatternError("new positions must be distinct")
        keep = np.ones(self.nnz, dtype=bool)
        keep[drop] = False
        *index, kept_at, places = merge_rows(
            self.indptr, self.indices, self.shape[1], keep, arrivals
        )
        new_at = np.empty_like(places)
        new_at[order] = places
        return Merge(Pattern(self.shape, *index, validate=False), keep, kept_at, new_at)

    def slabs(self) -> Iterator[tuple[slice, slice]]:
        """Yield the rows of each slab, and the places of their nonzeros."""
        yield from slabs(self.indptr)

    def contains(self, keys: np.ndarray) -> np.ndarray:
        """Return which of some sorted keys are in the pattern, bool, one per key."""
        return contained(self.indptr, self.indices, self.shape[1], keys)

    def to_scipy(self, data: np.ndarray) -> csr_array:
        """Return a SciPy CSR array with these values (copies)."""
        from scipy.sparse import csr_array

        parts = (np.array(data), self.indices.copy(), self.indptr.copy())
        return csr_array(parts, shape=self.shape)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Pattern)
            and self.shape == other.shape
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Pattern(shape={self.shape}, nnz={self.nnz}, density={self.density:.4g})"


def _random_in_slabs(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> Pattern:
    """Draw a large sparse pattern; see ``Pattern.random``."""
    pattern = Pattern(shape, *draw_rows(shape, nnz, rng), validate=False)
    while pattern.nnz < nnz:
        fresh = distinct_keys(pattern.size, nnz - pattern.nnz, rng)
        fresh = fresh[~pattern.contains(fresh)]
        pattern = pattern.merge(np.empty(0, dtype=np.int64), fresh).pattern
    return pattern


def _check_shape(shape: Any) -> tuple[int, int]:
    try:
        n_out, n_in = (int(n) for n in shape)
    except (TypeError, ValueError):
        raise ParameterError("shape", shape, "two positive integers") from None
    if not (1 <= n_out <= _INT32_MAX and 1 <= n_in <= _INT32_MAX):
        raise ParameterError("shape", shape, f"two integers from 1 to {_INT32_MAX}")
    return n_out, n_in


def _validate(shape: tuple[int, int], indptr: Any, indices: Any) -> None:
    n_out, n_in = shape
    indptr, indices = np.asarray(indptr), np.asarray(indices)
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise PatternError(f"{name} must be a one-dimensional array of integers")
    if len(indptr) != n_out + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise PatternError(
            f"indptr must have {n_out + 1} entries and run from 0 to nnz = {len(indices)}"
        )
    if np.any(np.diff(indptr.astype(np.int64)) < 0):
        raise PatternError("indptr must not decrease")
    if len(indices) > _INT32_MAX:
        raise PatternError(f"at most {_INT32_MAX} nonzeros fit, got {len(indices)}")
    if len(indices) and (indices.min() < 0 or indices.max() >= n_in):
        raise PatternError(f"indices must lie in [0, {n_in})")
    rises = indices[1:] > indices[:-1]
    starts = indptr[1:-1].astype(np.int64)
    rises[starts[(starts > 0) & (starts < len(indices))] - 1] = True  # between rows
    if not rises.all():
        raise PatternError("indices must be sorted and unique within each row")
