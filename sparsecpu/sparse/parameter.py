"""Trainable values: dense vectors, and vectors on a sparsity pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty, aligned_zeros
from sparsecpu.sparse.pattern import Pattern

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Parameter:
    """A vector of trainable values (bias, norm scale and shift): dense, never pruned.

    Parameters
    ----------
    data : array_like, shape (n,)
        Initial values.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    data : ndarray, shape (n,)
        The values.
    grad : ndarray, shape (n,)
        Their gradient, written by the layer's backward pass; its memory is taken at the first use.
    slots : dict of str to ndarray, shape (n,)
        What the optimizer remembers for each value, by name.
    """

    def __init__(self, data: Any, dtype: Any = np.float32) -> None:
        self.data = aligned_copy(data, dtype)
        self._grad: np.ndarray | None = None
        self.slots: dict[str, np.ndarray] = {}

    @property
    def grad(self) -> np.ndarray:
        """The gradient."""
        if self._grad is None:
            self._grad = aligned_zeros(self.data.shape, self.data.dtype)
        return self._grad

    @grad.setter
    def grad(self, values: np.ndarray) -> None:
        """Put another array in its place.

        Parameters
        ----------
        values : ndarray, shape (n,)
            The array.
        """
        self._grad = values

    @property
    def nnz(self) -> int:
        """Number of values."""
        return self.data.size

    def slot(self, name: str) -> np.ndarray:
        """Return a slot, created with zeros at the first use.

        Parameters
        ----------
        name : str
            For example ``"momentum"``.

        Returns
        -------
        ndarray, shape (n,)
            One number per value.
        """
        found = self.slots.get(name)
        if found is None:
            found = self.slots[name] = aligned_zeros(self.data.shape, self.data.dtype)
        return found

    def vectors(self) -> dict[str, np.ndarray]:
        """Return everything of length n that there is, by name: data, grad and every slot."""
        held = {} if self._grad is None else {"grad": self._grad}
        return {"data": self.data, **held, **self.slots}


class SparseParameter(Parameter):
    """Trainable values on a sparsity pattern; gradient and slots are vectors of length nnz too.

    Parameters
    ----------
    pattern : Pattern
        Where the values are.
    data : array_like, shape (nnz,)
        Initial values, in the pattern's order.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    spatial : bool
        Whether its gradient is summed over pixels too, as a convolution's.
    fixed : bool
        Whether topology leaves the pattern alone.
    uses : int
        Multiplications per weight and sample: 1, or the pixels that a convolution puts out.

    Raises
    ------
    PatternError
        If there is not one value per nonzero.
    """

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
        """The values in the order of ``pattern.transposed``.

        A copy that an optimizer step refreshes (``transposed_target``) and everything else
        refreshes on demand, after ``touch``.
        """
        if self._stale:
            perm = self.pattern.transposed.perm
            np.take(self.data, perm, out=self.transposed_target(), mode="clip")
            self._stale = False
        assert self._transposed_data is not None
        return self._transposed_data

    @property
    def is_transposed(self) -> bool:
        """Whether its layer multiplies by ``transposed_data``, so that steps should refresh it."""
        return not (self.spatial or self.pattern.suits_blas)

    @property
    def holds_transposed(self) -> bool:
        """Whether memory is held for ``transposed_data``."""
        return self._transposed_data is not None

    def transposed_target(self) -> np.ndarray:
        """Return the memory of ``transposed_data``, for a kernel that refreshes it."""
        if self._transposed_data is None or self._transposed_data.shape != self.data.shape:
            self._transposed_data = aligned_empty(self.data.shape, self.data.dtype)
        return self._transposed_data

    def touch(self, *, refreshed: bool = False) -> None:
        """Say that ``data`` changed.

        Parameters
        ----------
        refreshed : bool
            Whether ``transposed_target`` was brought up to date along with it.
        """
        self._stale = not refreshed

    def full_view(self) -> np.ndarray:
        """Return the values of a full pattern as a matrix, without a copy.

        Returns
        -------
        ndarray, shape (n_out, n_in)
            A view of ``data``.

        Raises
        ------
        PatternError
            If the pattern is not full.
        """
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
        """Change the pattern; the one place where that happens.

        Values, gradient and every slot of the nonzeros that stay move along.

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
        """Do what ``rewire`` does, with new positions as keys ``i * n_in + j``.

        Parameters
        ----------
        drop : ndarray of int
            Places of the nonzeros that go.
        keys : ndarray of int64
            Positions that come.
        values : dict of str to ndarray, optional
            What they start with.

        Raises
        ------
        PatternError
            If a position is out of range, there already, or comes twice.
        """
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
        if self._grad is not None or "grad" in values:
            self._grad = move("grad", self.grad)
        for name, old in self.slots.items():  # one after the other: an old one goes before the next
            self.slots[name] = move(name, old)
        self.pattern = merge.pattern

    def restore(self, pattern: Pattern, vectors: dict[str, np.ndarray]) -> None:
        """Put back a pattern with all its vectors, as ``vectors`` named them: data, grad, slots.

        The arrays are taken over, not copied; a gradient that is not among them starts at 0.

        Parameters
        ----------
        pattern : Pattern
            Of this parameter's shape.
        vectors : dict of str to ndarray, shape (nnz,)
            At least ``"data"``.

        Raises
        ------
        PatternError
            If the shapes do not fit.
        """
        lengths = {name: array.shape for name, array in vectors.items()}
        if pattern.shape != self.shape or set(lengths.values()) != {(pattern.nnz,)}:
            raise PatternError(f"vectors of {lengths} do not fit {pattern!r} in {self.shape}")
        slots = dict(vectors)
        self.data, self._grad = slots.pop("data"), slots.pop("grad", None)
        self.pattern, self.slots = pattern, slots
        self._transposed_data = None
        self.touch()

    def to_scipy(self) -> csr_array:
        """Return a copy as a SciPy CSR array of shape (n_out, n_in)."""
        return self.pattern.to_scipy(self.data)

    @classmethod
    def from_scipy(cls, matrix: Any, dtype: Any = np.float32) -> SparseParameter:
        """Return the parameter of a SciPy sparse matrix; stored zeros stay in the pattern.

        Parameters
        ----------
        matrix : scipy.sparse matrix or array, shape (n_out, n_in)
            Any format; duplicates are summed and indices sorted.
        dtype : dtype
            float32 or float64.

        Returns
        -------
        SparseParameter
            With copies of its arrays.
        """
        csr = matrix.tocsr(copy=True)
        csr.sum_duplicates()
        return cls(Pattern(csr.shape, csr.indptr, csr.indices), csr.data, dtype)
