"""Memory that is used again at every step."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty
from sparsecpu.step.huge_pages import HugePages

_ALONE = aligned_empty(1, np.uint8)
#: References to what an array is a view of, where there is no other view.
_UNUSED = sys.getrefcount(_ALONE.base)
#: What a layer prepared for one of its passes is kept for so many kinds of batches: the last one of
#: an epoch may be smaller.
_KEPT = 4
#: The owner of arrays that take turns.
_TURNS = "alternate"


class Workspace:
    """Named arrays that are allocated once and handed out again at every step.

    ``prepared`` is what layers prepared for passes that come again, ``(layer, pass, …)`` to
    anything: look there first, and ``keep`` what was not found. It is emptied when memory moves.
    ``sequences`` is where the tokens stand that pass at the moment; see ``Context.sequences``.
    """

    sequences: Any = None

    def __init__(self) -> None:
        self._memory: dict[tuple, np.ndarray] = {}
        self._views: dict[tuple, np.ndarray] = {}
        self._lent: list[np.ndarray] = []
        self._pages = HugePages()
        self.prepared: dict[tuple, Any] = {}

    def keep(self, key: tuple, prepared: Any) -> Any:
        """Return what was prepared for ``(layer, pass, …)``, and hold it until memory moves."""
        self.prepared.pop(key, None)
        alike = [k for k in self.prepared if k[:2] == key[:2]]
        if len(alike) == _KEPT:
            del self.prepared[alike[0]]
        self.prepared[key] = prepared
        return prepared

    def array(self, owner: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an aligned array with unspecified contents: the same one for the same arguments.

        Two owners, or two names of one owner, never share memory. It grows to the largest shape
        that was needed.
        """
        key = (owner, name, dtype, shape)
        view = self._views.get(key)
        if view is None:
            place = (owner, name, np.dtype(dtype))
            size = math.prod(shape)
            memory = self._memory.get(place)
            if memory is None or memory.size < size:
                self._memory[place] = memory = self._pages.empty(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:2] != key[:2]}
                self.prepared.clear()  # it may hold the memory that is given up here
            self._views[key] = view = memory[:size].reshape(shape)
        return view

    def alternate(self, taken: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory that ``taken`` does not lie in: one of two arrays that take turns."""
        first = self.array(_TURNS, "even", shape, dtype)
        if not np.may_share_memory(first, taken):
            return first
        return self.array(_TURNS, "odd", shape, dtype)

    def lend(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for as long as anybody holds the array, or a view of it.

        A gradient of planes is read by the layers before it and by no other, and planes that no
        backward pass follows by the layers behind: a few such arrays serve a network of any depth.
        The smallest free memory that suffices is taken.
        """
        size, dtype = math.prod(shape), np.dtype(dtype)
        found = None
        for memory in self._lent:
            fits = memory.dtype == dtype and memory.size >= size
            least = found is None or memory.size < found.size
            if fits and least and sys.getrefcount(memory.base) == _UNUSED:
                found = memory
        if found is None:
            found = self._pages.empty(size, dtype)
            self._lent.append(found)
        return found[:size].reshape(shape)

    def beside(self) -> Workspace:
        """Return a workspace for a pass between two steps; arrays that take turns are the same.

        They hold gradients, which nobody needs by then.
        """
        other = Workspace()
        other._memory = {place: a for place, a in self._memory.items() if place[0] == _TURNS}
        return other

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in [*self._memory.values(), *self._lent])
