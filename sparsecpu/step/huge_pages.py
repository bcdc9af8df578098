"""Memory in huge pages, of which arrays are cut one behind the other.

A CPU has the addresses of few pages at hand: of 4 KB each, these are a few MB of what a step goes
through, read here and there. Linux gives pages of 2 MB to memory that asks for them, as NumPy does
for arrays of 4 MB or more; the many arrays below that would have none, and those above only where
a huge page happens to begin.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import ALIGNMENT, aligned_empty

_HUGE_PAGE = 2 * 1024**2
#: Smaller arrays lie anywhere, and so does what is asked for first: a small network should not hold
#: memory that it does not use.
_LEAST, _FIRST = 256 * 1024, 8 * 1024**2
#: Memory is asked for by so many bytes, at least and where arrays are smaller at most; between
#: them, by a quarter of what arrays have asked for.
_CHUNK, _LARGE_CHUNK = 4 * 1024**2, 16 * 1024**2


class HugePages:
    """Where arrays come from: memory that nothing lies in any more is given out again."""

    def __init__(self) -> None:
        self._asked = 0
        self._free: list[np.ndarray] = []

    def empty(self, size: int, dtype: Any) -> np.ndarray:
        """Return an uninitialised vector that starts on a cache line.

        All views of it have the ``base`` that it has, and nothing else has.
        """
        nbytes = size * np.dtype(dtype).itemsize
        self._asked += nbytes
        if nbytes < _LEAST or self._asked <= _FIRST:
            return aligned_empty(size, dtype)
        # arrays do not begin at the same places of caches, which powers of 2 would have them do
        taken = -(-nbytes // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        fitting = [n for n, memory in enumerate(self._free) if len(memory) >= taken]
        n = min(fitting, key=lambda n: len(self._free[n]), default=None)
        memory = self._more(taken) if n is None else self._free.pop(n)
        self._keep(memory[taken:])
        base = np.frombuffer(memory[:nbytes].data, np.uint8)
        weakref.finalize(base, _give_back, weakref.ref(self), memory[:taken]).atexit = False
        return base.view(dtype)

    def _more(self, least: int) -> np.ndarray:
        """Return new memory, whole huge pages. Those that nobody touches cost nothing."""
        nbytes = max(least, _CHUNK, min(self._asked // 4, _LARGE_CHUNK))
        nbytes = -(-nbytes // _HUGE_PAGE) * _HUGE_PAGE
        raw = np.empty(nbytes + _HUGE_PAGE, dtype=np.uint8)
        start = -raw.__array_interface__["data"][0] % _HUGE_PAGE
        return raw[start : start + nbytes]

    def _keep(self, memory: np.ndarray) -> None:
        if len(memory) >= _LEAST:
            self._free.append(memory)


def _give_back(pages: weakref.ref, memory: np.ndarray) -> None:
    """Keep memory that nothing lies in any more, if its owner is still there."""
    owner = pages()
    if owner is not None:
        owner._keep(memory)
