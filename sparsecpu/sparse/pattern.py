"""Where the nonzeros are: patterns in CSR, without their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.sparse.format import (
    check_count,
    check_index,
    check_range,
    integers,
    matrix_shape,
)
from sparsecpu.sparse.groups import (
    checked_group,
    contained_in_rows,
    indptr_of_rows,
    of_rows,
    shared_index,
)
from sparsecpu.sparse.keys import contained, keys_of_rows, slabs
from sparsecpu.sparse.row_blocks import RowIndex, sealed
from sparsecpu.sparse.transposed import TransposedPattern

if TYPE_CHECKING:
    from scipy.sparse import bsr_array, csr_array

    from sparsecpu.sparse.merging import Merge

#: Full matrices with fewer elements go through the sparse kernels: these fuse bias, ReLU and its
#: gate, which cost more than the products there (1000 -> 10 at batch 128: 0.08 ms against 0.8).
BLAS_SIZE = 65_536


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
    group : {1, 2, 4, 8}
        So many neighbouring rows share their columns; the last group may have fewer rows.
    validate : bool
        Check all of that, and copy; False only for arrays that were made here, and that nobody
        else holds.

    Raises
    ------
    PatternError
        If the arrays do not describe such a pattern.
    """

    shape: tuple[int, int]
    group: int
    _shared: Pattern | None = None

    def __init__(
        self, shape: Any, indptr: Any, indices: Any, *, group: int = 1, validate: bool = True
    ) -> None:
        shape = matrix_shape(shape)
        if validate:
            check_index(shape, indptr, indices)
        own = np.array if validate else np.ascontiguousarray
        indptr, indices = own(indptr, dtype=np.int64), own(indices, dtype=np.int32)
        group = checked_group(group)
        more: dict[str, Any] = {"shape": shape, "group": group}
        if group > 1:
            rows = -(-shape[0] // group), shape[1]
            more["_shared"] = Pattern(rows, *shared_index(indptr, indices, group), validate=False)
            indices = None  # made where they are needed; the groups have them
        super().__init__(indptr, indices, shape[1], **more)

    @classmethod
    def of_groups(cls, n_out: int, group: int, groups: Pattern) -> Pattern:
        """Return the pattern of ``n_out`` rows that stand in groups with these columns."""
        if groups.shape[0] != -(-n_out // checked_group(group)):
            raise PatternError(f"{n_out} rows do not stand in {groups.shape[0]} groups of {group}")
        if group == 1:
            return groups
        self, indptr = cls.__new__(cls), indptr_of_rows(groups, n_out, group)
        check_count(int(indptr[-1]))
        RowIndex.__init__(
            self, indptr, None, groups.shape[1],
            shape=(n_out, groups.shape[1]), group=group, _shared=groups,
        )  # fmt: skip
        return self

    @property
    def groups(self) -> Pattern:
        """The pattern of the groups, (groups, n_in); this one, where each row stands alone."""
        # Not kept: a pattern that holds itself stays in memory until garbage is searched for.
        return self if self._shared is None else self._shared

    @cached_property
    def indices(self) -> np.ndarray:  # type: ignore[override]
        """Column of every nonzero, int32, shape (nnz,)."""
        return sealed(self._columns())

    def _columns(self) -> np.ndarray:
        """Return ``indices``, which nobody keeps where rows stand in groups."""
        if self.group == 1:
            return self.indices
        return of_rows(self.groups, self.shape[0], self.group, self.groups.indices)

    def __copy__(self) -> Pattern:
        return self  # it never changes

    def __deepcopy__(self, memo: Any) -> Pattern:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.group > 1:
            return Pattern.of_groups, (self.shape[0], self.group, self.groups)
        return Pattern, (self.shape, self.indptr, self.indices)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was pickled before ``__reduce__`` was there."""
        Pattern.__init__(self, *(state[name] for name in ("shape", "indptr", "indices")))

    @classmethod
    def random(cls, shape: Any, nnz: int, rng: np.random.Generator, *, group: int = 1) -> Pattern:
        """Draw a pattern uniformly among all with exactly ``nnz`` nonzeros.

        Where rows stand in groups, these are drawn so, as near to ``nnz`` as whole groups come.

        Time and memory are O(nnz) at any shape.
        """
        from sparsecpu.sparse.drawing import random_pattern

        return random_pattern(shape, nnz, rng, group)

    @classmethod
    def full(cls, shape: Any) -> Pattern:
        """Return the pattern that keeps everything, in dense row-major order."""
        n_out, n_in = matrix_shape(shape)
        indptr = np.arange(n_out + 1, dtype=np.int64) * n_in
        indices = np.tile(np.arange(n_in, dtype=np.int32), n_out)
        return cls((n_out, n_in), indptr, indices, validate=False)

    @classmethod
    def from_keys(cls, shape: Any, keys: np.ndarray, *, group: int = 1) -> Pattern:
        """Return the pattern of sorted, distinct keys ``i * n_in + j``; refuse others.

        With ``group``, of rows that stand in groups and share their columns.
        """
        n_out, n_in = shape = matrix_shape(shape)
        keys = integers(keys, "keys")
        check_range(keys, n_out * n_in, "keys")
        if (keys[1:] <= keys[:-1]).any():
            raise PatternError("keys must be sorted and distinct")
        edges = np.arange(n_out + 1, dtype=np.int64) * n_in
        indptr = np.searchsorted(keys, edges)
        indices = np.empty(len(keys), dtype=np.int32)
        np.remainder(keys, n_in, out=indices, casting="unsafe")
        return cls(shape, indptr, indices, group=group, validate=False)

    @cached_property
    def nnz(self) -> int:
        """Number of nonzeros."""
        return int(self.indptr[-1])

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
        groups, last = self.groups, self.groups.indptr[-2]
        missing = -self.shape[0] % self.group  # rows that the last group has not
        found = self.group * np.bincount(groups.indices, minlength=self.shape[1])
        return found - missing * np.bincount(groups.indices[last:], minlength=self.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the index, which holds each shared column once."""
        return self.groups.indptr.nbytes + self.groups.indices.nbytes

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
        return keys_of_rows(self.indptr, self._columns(), self.shape[1], slice(0, self.shape[0]))

    def merge(self, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
        """Return the pattern without the nonzeros at places ``drop`` and with new positions.

        ``new_keys`` are distinct, in any order; one that is dropped may come back. ``PatternError``
        if a new position is already there, is out of range, or comes twice; or if either is not
        whole shared columns, where rows stand in groups.
        """
        from sparsecpu.sparse.merging import merge

        return merge(self, drop, new_keys)

    def merge_shared(self, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
        """Do as ``merge``, with shared columns: places and keys are those of ``groups``.

        The places of what is new are row by row of each key's group, as they were given.
        """
        from sparsecpu.sparse.merging import merge_shared

        return merge_shared(self, drop, new_keys)

    def slabs(self) -> Iterator[tuple[slice, slice]]:
        """Yield the rows of each slab, and the places of their nonzeros."""
        yield from slabs(self.indptr)

    def contains(self, keys: np.ndarray) -> np.ndarray:
        """Return which of some sorted keys are in the pattern, bool, one per key."""
        if self.group > 1:
            return contained_in_rows(self.groups, self.shape[1], self.group, keys)
        return contained(self.indptr, self.indices, self.shape[1], keys)

    def to_scipy(self, data: np.ndarray, format: str = "csr") -> csr_array | bsr_array:
        """Return a SciPy array with these values (copies), in CSR or in blocks of (group, 1)."""
        from sparsecpu.sparse.matrices import blocks_of_groups

        if format == "bsr":
            return blocks_of_groups(self, data)
        if format != "csr":
            raise ParameterError("format", format, "'csr' or 'bsr'")
        from scipy.sparse import csr_array

        parts = (np.array(data), np.array(self._columns()), self.indptr.copy())
        return csr_array(parts, shape=self.shape)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Pattern)
            and (self.shape, self.group) == (other.shape, other.group)
            and np.array_equal(self.groups.indptr, other.groups.indptr)
            and np.array_equal(self.groups.indices, other.groups.indices)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        group = f", group={self.group}" if self.group > 1 else ""
        return f"Pattern(shape={self.shape}, nnz={self.nnz}, density={self.density:.4g}{group})"

    def _repr_html_(self) -> str:
        from sparsecpu.sparse.picture import image

        return f"<div><p>{self!r}</p>{image(self)}</div>"
