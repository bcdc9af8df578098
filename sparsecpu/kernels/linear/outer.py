"""Products ``a b'`` of tall factors, for topology: every sum in one order.

BLAS would do, but its sums depend on the CPU that it takes this one for, on its version, and on how
many threads it may use.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.linear.full import product
from sparsecpu.kernels.machine.arrays import aligned_empty

#: Lanes of the tiles into which the columns are turned; a few rows are turned instead.
_LANES, _FEW = 64, 4


def outer(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write ``out = a b'``; ``a`` is ``(rows, samples)`` and ``b`` is ``(columns, samples)``."""
    if len(a) < _FEW <= len(b):
        turned = np.empty((1, len(b), len(a)), out.dtype)
        _multiply(b, np.ascontiguousarray(a.T)[None], turned)
        out[...] = turned[0].T
        return
    tiles = -(-len(b) // _LANES)
    x = aligned_empty((tiles, b.shape[1], _LANES), out.dtype)
    y = aligned_empty((tiles, len(a), _LANES), out.dtype)
    for t in range(tiles):
        part = b[t * _LANES : (t + 1) * _LANES]
        x[t, :, : len(part)], x[t, :, len(part) :] = part.T, 0
    _multiply(a, x, y)
    for t in range(tiles):
        part = out[:, t * _LANES : (t + 1) * _LANES]
        part[...] = y[t, :, : part.shape[1]]


def _multiply(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    product(np.ascontiguousarray(matrix), x, y.reshape(-1)[:0], y, False)
