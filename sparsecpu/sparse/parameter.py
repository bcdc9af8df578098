"""Trainable values: dense vectors, and vectors on a sparsity pattern."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty, aligned_zeros
from sparsecpu.sparse.pattern import Pattern

if TYPE_CHECKING:
    from scipy.sparse import csr_array


#: In place of an order, where there is no second copy; read-only as all index arrays are, so that
#: kernels compile once.
NO_ORDER = np.empty(0, dtype=np.int32)
NO_ORDER.setflags(write=False)


class Parameter:
    """A vector of trainable values (bias, norm scale and shift): dense, never pruned.

    ``data`` are the values, shape (n,); ``slots`` hold what the optimizer remembers for each of
    them, by name.
    """

    #: True if weight decay acts on the values.
    decays: ClassVar[bool] = False

    def __init__(self, data: Any, dtype: Any = np.float32) -> None:
        self.data = aligned_copy(data, dtype)
        self.slots: dict[str, np.ndarray] = {}

    @cached_property
    def grad(self) -> np.ndarray:
        """The gradient, shape (n,); its memory is taken at the first use."""
        return aligned_zeros(self.data.shape, self.data.dtype)

    @property
    def nnz(self) -> int:
        """Number of values."""
        return self.data.size

    def slot(self, name: str) -> np.ndarray:
        """Return a slot, such as ``"momentum"``, shape (n,); zeros at the first use."""
        found = self.slots.get(name)
        if found is None:
            found = self.slots[name] = aligned_zeros(self.data.shape, self.data.dtype)
        return found

    def vectors(self) -> dict[str, np.ndarray]:
        """Return everything of length n that there is, by name: data, grad and every slot."""
        held = {"grad": self.grad} if "grad" in self.__dict__ else {}
        return {"data": self.data, **held, **self.slots}

    def second_copy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the order and the memory of a second copy that an update of ``data`` writes too.

        The copy is ``data[order]``; both are empty where there is none, as here.
        """
        return NO_ORDER, self.data[:0]


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
        True for filters of a convolution, whose gradient is summed over pixels too.
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

    def __init__(self, pattern: Pattern, data: Any, dtype: Any = np.float32) -> None:
        super().__init__(data, dtype)
        if self.data.shape != (pattern.nnz,):
            raise PatternError(f"{pattern.nnz} values were expected, got shape {self.data.shape}")
        self.pattern = pattern
        self.spatial, self.fixed, self.uses = False, False, 1
        self._transposed_data: np.ndarray | None = None
        self._stale = True

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
    def transposed_data(self) -> np.ndarray:
        """A second copy of the values, in the order of ``pattern.transposed``.

        An optimizer's step writes it along with ``data``; after ``touch`` it is made anew here.
        """
        if self._stale or self._transposed_data is None:
            perm = self.pattern.transposed.perm
            np.take(self.data, perm, out=self.transposed_memory(), mode="clip")
            self._stale = False
        return self._transposed_data  # type: ignore[return-value]

    def transposed_memory(self) -> np.ndarray:
        """Return where ``transposed_data`` is written."""
        if self._transposed_data is None or self._transposed_data.shape != self.data.shape:
            self._transposed_data = aligned_empty(self.data.shape, self.data.dtype)
        return self._transposed_data

    @property
    def holds_transposed(self) -> bool:
        """True if memory is held for ``transposed_data``."""
        return self._transposed_data is not None

    def touch(self) -> None:
        """Say that ``data`` changed, so that ``transposed_data`` is out of date."""
        self._stale = True

    def second_copy(self) -> tuple[np.ndarray, np.ndarray]:
        if self._transposed_data is None:  # not read yet on this pattern
            self._stale = True
            return NO_ORDER, self.data[:0]
        self._stale = False
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
            If a position is out of range, there already, or comes twice.
        """
        n_out, n_in = self.shape
        rows, cols = np.asarray(rows, dtype=np.int64), np.asarray(cols, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < n_out):
            raise PatternError(f"rows of new positions must lie in [0, {n_out})")
        if cols.size and not (cols.min() >= 0 and cols.max() < n_in):
            raise PatternError(f"columns of new positions must lie in [0, {n_in})")
        self.rewire_keys(drop, rows * n_in + cols, values)

    def rewire_keys(
        self, drop: np.ndarray, keys: np.ndarray, values: dict[str, np.ndarray] | None = None
    ) -> None:
        """Do what ``rewire`` does, with new positions as keys ``i * n_in + j``."""
        self._transposed_data = None  # what follows needs the memory
        self.pattern.forget_transposed()
        self.touch()
        merge = self.pattern.merge(drop, keys)
        values = values or {}

        def move(name: str, old: np.ndarray) -> np.ndarray:
            new = aligned_zeros(merge.pattern.nnz, old.dtype)
            new[merge.kept_at] = old[merge.kept]
            if name in values:
                new[merge.new_at] = values[name]
            return new

        for name in values:
            if name not in ("data", "grad"):
                self.slot(name)
        self.data = move("data", self.data)
        if "grad" in self.__dict__ or "grad" in values:
            self.grad = move("grad", self.grad)
        for name, old in self.slots.items():  # one after the other: an old one goes before the next
            self.slots[name] = move(name, old)
        self.pattern = merge.pattern

    def restore(self, pattern: Pattern, vectors: dict[str, np.ndarray]) -> None:
        """Put back a pattern with all its vectors, as ``vectors`` named them: data, grad, slots.

        The arrays are taken over, not copied; a gradient that is not among them starts at 0.
        Beside ``rewire``, the one place where a pattern changes.
        """
        lengths = {name: array.shape for name, array in vectors.items()}
        if pattern.shape != self.shape or set(lengths.values()) != {(pattern.nnz,)}:
            raise PatternError(f"vectors of {lengths} do not fit {pattern!r} in {self.shape}")
        slots = dict(vectors)
        self.data, self.pattern, self.slots = slots.pop("data"), pattern, slots
        self.__dict__.pop("grad", None)
        if "grad" in slots:
            self.grad = slots.pop("grad")
        self._transposed_data = None
        self.touch()

    def to_scipy(self) -> csr_array:
        """Return a copy as a SciPy CSR array of shape (n_out, n_in)."""
        return self.pattern.to_scipy(self.data)

    @classmethod
    def from_scipy(cls, matrix: Any, dtype: Any = np.float32) -> SparseParameter:
        """Return the parameter of a SciPy sparse matrix; stored zeros stay in the pattern."""
        csr = matrix.tocsr(copy=True)
        csr.sum_duplicates()
        return cls(Pattern(csr.shape, csr.indptr, csr.indices), csr.data, dtype)
