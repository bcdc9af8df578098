"""Memory that is used again at every step."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty


def _holders(memory: np.ndarray) -> int:
    """Return how many references there are to what an array is a view of."""
    return sys.getrefcount(memory.base)


_NOBODY = _holders(aligned_empty(1, np.uint8))


class Workspace:
    """Named arrays that are allocated once and handed out again at every step."""

    def __init__(self) -> None:
        self._memory: dict[tuple, np.ndarray] = {}
        self._views: dict[tuple, np.ndarray] = {}
        self._lent: list[np.ndarray] = []

    def array(self, owner: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an aligned array with unspecified contents.

        Parameters
        ----------
        owner : object
            Who asks; two owners never share memory.
        name : str
            What for; two names of one owner never share memory.
        shape : tuple of ints
            Its shape. Memory grows to the largest shape asked for.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            The same memory for the same owner, name and dtype.
        """
        key = (owner, name, dtype, shape)
        view = self._views.get(key)
        if view is None:
            place = (owner, name, np.dtype(dtype))
            size = int(np.prod(shape, dtype=np.int64))
            memory = self._memory.get(place)
            if memory is None or memory.size < size:
                self._memory[place] = memory = aligned_empty(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:2] != key[:2]}
            self._views[key] = view = memory[:size].reshape(shape)
        return view

    def other(self, taken: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for what replaces an array: one of two that are used in turn.

        Parameters
        ----------
        taken : ndarray
            What is still being read.
        shape : tuple of ints
            Its shape.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            Memory that ``taken`` does not lie in.
        """
        first = self.array("in turn", "even", shape, dtype)
        if not np.may_share_memory(first, taken):
            return first
        return self.array("in turn", "odd", shape, dtype)

    def lend(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for as long as anybody holds the array, or a view of it.

        A gradient of planes is read by the layers before it and then by nobody: a few such arrays
        serve a network of any depth.

        Parameters
        ----------
        shape : tuple of ints
            Its shape.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            Of the least memory that nobody holds and that suffices, or of new memory.
        """
        size, dtype = int(np.prod(shape, dtype=np.int64)), np.dtype(dtype)
        fitting = (
            memory
            for memory in self._lent
            if memory.dtype == dtype and memory.size >= size and _holders(memory) == _NOBODY
        )
        memory = min(fitting, key=np.size, default=None)
        if memory is None:
            memory = aligned_empty(size, dtype)
            self._lent.append(memory)
        return memory[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in [*self._memory.values(), *self._lent])
