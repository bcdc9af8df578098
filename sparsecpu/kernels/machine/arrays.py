"""Arrays that start on a cache line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64  # one cache line; a load that straddles two runs at half speed
_HUGE_PAGE = 2 * 1024**2
#: From so many bytes on NumPy asks Linux for huge pages.
_ASKED_FOR = 4 * 1024**2


def aligned_empty(shape: Any, dtype: Any) -> np.ndarray:
    """Return an uninitialised C-contiguous array that starts on a cache line."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    nbytes = dtype.itemsize * math.prod(map(int, shape))
    raw = np.empty(nbytes + _ALIGNMENT, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % _ALIGNMENT  # sooner than by ctypes
    return raw[start : start + nbytes].view(dtype).reshape(shape)


def empty_in_huge_pages(size: int, dtype: Any) -> np.ndarray:
    """Return an uninitialised vector that begins with a huge page, where the system has them.

    What is read here and there, a few lines at a time, is on more pages of 4 KB than the CPU has at
    hand the addresses of. Memory behind the vector that nobody touches costs nothing.
    """
    dtype = np.dtype(dtype)
    nbytes = dtype.itemsize * size
    if nbytes < _HUGE_PAGE // 4:
        return aligned_empty(size, dtype)
    raw = np.empty(max(nbytes + _HUGE_PAGE, _ASKED_FOR), dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % _HUGE_PAGE
    return raw[start : start + nbytes].view(dtype)


def aligned_zeros(shape: Any, dtype: Any) -> np.ndarray:
    """Return ``aligned_empty`` filled with zeros."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array


def aligned_copy(values: Any, dtype: Any = None) -> np.ndarray:
    """Return a copy that starts on a cache line, by default of the type of ``values``."""
    values = np.asarray(values, dtype=dtype)
    array = aligned_empty(values.shape, values.dtype)
    array[...] = values
    return array
