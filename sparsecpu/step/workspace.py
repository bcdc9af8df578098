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
    """Named arrays that are allocated once and handed out again at every step.

    ``bound`` keeps what a layer has prepared for the next pass like this one, by layer; it is out
    of date when ``growths`` has risen.
    """

    def __init__(self) -> None:
        self._memory: dict[tuple, np.ndarray] = {}
        self._views: dict[tuple, np.ndarray] = {}
        self._lent: list[np.ndarray] = []
        self.bound: dict[Any, Any] = {}
        #: How often memory was replaced by larger memory.
        self.growths = 0

    def array(self, owner: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an aligned array with unspecified contents: the same one for the same arguments.

        Two owners, or two names of one owner, never share memory. It grows to the largest shape
        that is asked for.
        """
        key = (owner, name, dtype, shape)
        view = self._views.get(key)
        if view is None:
            place = (owner, name, np.dtype(dtype))
            size = int(np.prod(shape, dtype=np.int64))
            memory = self._memory.get(place)
            if memory is None or memory.size < size:
                self.growths += memory is not None
                self._memory[place] = memory = aligned_empty(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:2] != key[:2]}
            self._views[key] = view = memory[:size].reshape(shape)
        return view

    def alternate(self, taken: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory that ``taken`` does not lie in: one of two arrays that take turns."""
        first = self.array("alternate", "even", shape, dtype)
        if not np.may_share_memory(first, taken):
            return first
        return self.array("alternate", "odd", shape, dtype)

    def lend(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for as long as anybody holds the array, or a view of it.

        A gradient of planes is read by the layers before it and then by nobody: a few such arrays
        serve a network of any depth. The smallest free memory that suffices is taken.
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
