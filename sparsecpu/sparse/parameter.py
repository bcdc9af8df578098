"""Trainable values on a sparsity pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError, brief
from sparsecpu.kernels.machine.arrays import aligned_empty
from sparsecpu.kernels.machine.interrupts import uninterrupted
from sparsecpu.registries.words import in_weights
from sparsecpu.sparse.dense_parameter import NO_ORDER, Parameter
from sparsecpu.sparse.format import check_range, integers
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.matrices import canonical_csr, group_of_blocks
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.vectors import Slots, move, numbers, owned_vector

if TYPE_CHECKING:
    from scipy.sparse import bsr_array, csr_array


class SparseParameter(Parameter):
    """Trainable values on a sparsity pattern; gradient and slots are vectors of length nnz too.

    Parameters
    ----------
    pattern : Pattern
        Where the values are.
    data : array_like, shape (nnz,)
        First values, in the pattern's order.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    spatial : bool
        True where the gradient is no product of two arrays that could be kept: for filters of a
        convolution, which is summed over pixels too, and for tables of tokens.
    fixed : bool
        True if topology is to leave the pattern alone.
    uses : int
        How often a sample meets each weight: once, or at each pixel that a convolution puts out.

    Raises
    ------
    PatternError
        If there is not one value per nonzero.
    """

    decays = True

    pattern: Pattern
    _transposed_data: np.ndarray | None
    _stale: bool

    def __init__(self, pattern: Pattern, data: Any, dtype: Any = np.float32) -> None:
        super().__init__(data, dtype)
        if not isinstance(pattern, Pattern):
            raise ParameterError("pattern", pattern, "a Pattern")
        if self.data.shape != (pattern.nnz,):
            raise PatternError(f"{pattern.nnz} values were expected, got shape {self.data.shape}")
        self.spatial, self.fixed, self.uses = False, False, 1
        self._set(pattern=pattern, _transposed_data=None, _stale=True)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "pattern":
            return super().__setattr__(name, value)
        same = isinstance(value, Pattern) and (value.shape, value.nnz) == (self.shape, self.nnz)
        if not same:
            expected = f"a Pattern of shape {self.shape} with {self.nnz} nonzeros; or use rewire"
            raise ParameterError("pattern", value, expected)
        self._set(pattern=value, _transposed_data=None, _stale=True)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape))
        words = in_weights(self.nnz, self.pattern.size)
        return f"{type(self).__name__}({shape}, {words}, {self.data.dtype})"

    def _repr_html_(self) -> str:
        return self.pattern._repr_html_()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_transposed_data": None, "_stale": True}

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_out, n_in)``."""
        return self.pattern.shape

    @property
    def density(self) -> float:
        """Fraction of the positions that is kept."""
        return self.pattern.density

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return self.pattern.sparsity

    @property
    def stored_bytes(self) -> int:
        """Bytes of the values and their index, which rows in a group have in common."""
        return self.data.nbytes + self.pattern.nbytes

    @property
    def transposed_data(self) -> np.ndarray:
        """A second copy of the values, in the order of ``pattern.transposed``.

        An optimizer's step writes it along with ``data``; after ``touch`` it is made anew here.
        """
        if self._stale or self._transposed_data is None:
            perm = self.pattern.transposed.perm
            np.take(self.data, perm, out=self.transposed_memory(), mode="clip")
            self._set(_stale=False)
        return self._transposed_data  # type: ignore[return-value]

    def transposed_memory(self) -> np.ndarray:
        """Return where ``transposed_data`` is written."""
        if self._transposed_data is None or self._transposed_data.shape != self.data.shape:
            self._set(_transposed_data=aligned_empty(self.data.shape, self.data.dtype))
        return self._transposed_data  # type: ignore[return-value]

    @property
    def holds_transposed(self) -> bool:
        """True if memory is held for ``transposed_data``."""
        return self._transposed_data is not None

    def touch(self) -> None:
        """Say that ``data`` changed, so that ``transposed_data`` is out of date."""
        self.__dict__["_stale"] = True

    def second_copy(self) -> tuple[np.ndarray, np.ndarray]:
        state = self.__dict__  # assigning would cost a call at every step
        if self._transposed_data is None:  # not read yet on this pattern
            state["_stale"] = True
            return NO_ORDER, self.data[:0]
        state["_stale"] = False
        return self.pattern.transposed.perm, self.transposed_memory()

    def full_view(self) -> np.ndarray:
        """Return the values of a full pattern as a matrix, a view of shape (n_out, n_in)."""
        if not self.pattern.is_full:
            raise PatternError(f"only a full pattern is a matrix; {self.pattern!r} is not")
        return self.data.reshape(self.shape)

    def rewire(
        self,
        drop: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        values: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Change the pattern; values, gradient and every slot of the nonzeros that stay move along.

        Nothing has changed where an error is raised.

        Parameters
        ----------
        drop : ndarray of int
            Places of the nonzeros that go.
        rows, cols : ndarray of int
            Positions that come, distinct, in any order. One that is dropped in the same call may
            come back (as a new one).
        values : dict of str to ndarray, optional
            What the new positions start with, by name (``"data"``, ``"grad"`` or a slot);
            whatever is not named starts at 0.

        Raises
        ------
        PatternError
            If a position is out of range, there already, or comes twice; or if there is not one
            value for each.
        """
        n_out, n_in = self.shape
        rows, cols = integers(rows, "rows"), integers(cols, "columns")
        if len(rows) != len(cols):
            raise PatternError(f"{len(rows)} rows and {len(cols)} columns of new positions")
        check_range(rows, n_out, "rows of new positions")
        check_range(cols, n_in, "columns of new positions")
        self.rewire_keys(drop, rows.astype(np.int64) * n_in + cols, values)

    def rewire_keys(
        self, drop: np.ndarray, keys: np.ndarray, values: dict[str, np.ndarray] | None = None,
        *, shared: bool = False,
    ) -> None:  # fmt: skip
        """Do what ``rewire`` does, with new positions as keys ``i * n_in + j``.

        ``shared``: places and keys are those of ``pattern.groups``; values come row by row of each.
        """
        self._set(_transposed_data=None, _stale=True)  # what follows needs the memory
        self.pattern.forget_transposed()
        merge = (self.pattern.merge_shared if shared else self.pattern.merge)(drop, keys)
        kind, old, values = self.data.dtype, self.vectors(), values or {}
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise PatternError("values of new positions must be vectors by name")
        count = merge.pattern.nnz - int(np.count_nonzero(merge.kept)) if values else 0
        first = {name: numbers(values[name], name, (count,)) for name in values}
        # All memory first, then all assignments: what fails in between would leave a pattern that
        # does not fit its values. Memory is not in use before it is written.
        names = dict.fromkeys([*old, *first])
        new = {name: aligned_empty(merge.pattern.nnz, kind) for name in names}
        with uninterrupted():
            self.slots.shape = (merge.pattern.nnz,)
            for name, array in new.items():  # each old vector goes before the next one moves
                move(old.pop(name, None), array, first.get(name), merge)
                if name in ("data", "grad"):
                    self._set(**{name: array})
                else:
                    self.slots.hold(name, array)
            self._set(pattern=merge.pattern)

    def restore(self, pattern: Pattern, vectors: dict[str, np.ndarray]) -> None:
        """Put back a pattern with all its vectors, as ``vectors`` named them: data, grad, slots.

        Arrays are taken over where they are of the parameter's type, else copied; a gradient that
        is not among them starts at 0. Beside ``rewire``, the one place where a pattern changes.
        """
        if not isinstance(pattern, Pattern) or pattern.shape != self.shape:
            raise PatternError(
                f"pattern is {brief(pattern)}; expected a Pattern of shape {self.shape}"
            )
        if "data" not in vectors:
            raise PatternError(f"vectors are {', '.join(vectors) or 'none'}; expected data, too")
        kind, shape = self.data.dtype, (pattern.nnz,)
        own = {name: owned_vector(v, name, shape, kind) for name, v in vectors.items()}
        new = {name: own.pop(name) for name in ("data", "grad") if name in own}
        slots = Slots(shape, kind, own)
        with uninterrupted():
            self.__dict__.pop("grad", None)
            self._set(**new, slots=slots, pattern=pattern, _transposed_data=None, _stale=True)

    def to_scipy(self, format: str = "csr") -> csr_array | bsr_array:
        """Return a copy as a SciPy array of shape (n_out, n_in).

        ``format`` is ``"csr"``, or ``"bsr"`` of blocks of (group, 1), which has each shared column
        once; the groups must all have as many rows then.
        """
        return self.pattern.to_scipy(self.data, format)

    @classmethod
    def from_scipy(cls, matrix: Any, dtype: Any = np.float32, *, group: int = 1) -> SparseParameter:
        """Return the parameter of a SciPy sparse matrix; stored zeros stay in the pattern.

        So many neighbouring rows as ``group`` says must share their columns; those of one in BSR
        with blocks of (2, 1), (4, 1) or (8, 1) are in such groups without being asked. A full
        matrix has none. Raises ``PatternError`` if the matrix is broken, holds no real numbers, or
        has rows that do not share.
        """
        csr = canonical_csr(matrix)
        if checked_group(group) == 1:
            group = group_of_blocks(matrix)
        pattern = Pattern(csr.shape, csr.indptr, csr.indices, group=group)
        return cls(Pattern.full(csr.shape) if pattern.is_full else pattern, csr.data, dtype)
