"""Arrays that start on a cache line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ALIGNMENT = 64  # one cache line; a load that straddles two runs at half speed


def aligned_empty(shape: Any, dtype: Any) -> np.ndarray:
    """Return an uninitialised C-contiguous array that starts on a cache line."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    nbytes = dtype.itemsize * math.prod(map(int, shape))
    raw = np.empty(nbytes + ALIGNMENT, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT  # sooner than by ctypes
    return raw[start : start + nbytes].view(dtype).reshape(shape)


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
