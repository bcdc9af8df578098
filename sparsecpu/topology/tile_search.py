"""The largest entries of a matrix that never exists as a whole, such as dW or the momentum.

Tiles of it are formed one after the other and searched; no more than one tile and the best entries
so far exist at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.running_top import RunningTop

#: A tile is at most this part of a matrix (one of so many): it must stay far from a dense one.
TILE_FRACTION = 32
#: Bytes of a tile. Twice as high as wide, BLAS packs its factors least often.
TILE_BYTES = 2 * 1024**2
#: Below so many numbers a tile is not worth a call, if it is no more than a quarter of the matrix.
_LEAST = 1 << 17
#: A first threshold comes from every so many-th row, where there are enough of them.
_SAMPLED, _ENOUGH = 128, 512

#: ``form(rows, columns, out)`` writes the tile at two slices.
Form = Callable[[slice, slice, np.ndarray], Any]


def largest_inactive(
    pattern: Pattern, count: int, dtype: Any, form: Form, *, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|score\|, exactly: sorted keys, and scores.

    They are ``count``, or fewer where fewer are not 0. ``whole``: tiles must have whole rows. A few
    rows tell about which threshold ``1.3 count`` entries exceed; everything below it is passed
    over. Where that was too high, the search is done again without it.
    """
    n_out, n_in = pattern.shape
    most = min(TILE_BYTES // np.dtype(dtype).itemsize, pattern.size // TILE_FRACTION)
    most = max(1, most, min(_LEAST, pattern.size // 4))
    width = n_in if whole else min(n_in, max(1, math.isqrt(most // 2)))
    height = min(n_out, max(1, most // width))
    threshold = 0.0
    if n_out >= _ENOUGH and not whole:
        threshold = _guess(pattern, count, dtype, form)
    buffer = aligned_empty(height * width, dtype)
    while True:
        top = RunningTop(count, dtype, threshold)
        for row in range(0, n_out, height):
            for column in range(0, n_in, width):
                shape = min(height, n_out - row), min(width, n_in - column)
                tile = buffer[: shape[0] * shape[1]].reshape(shape)
                form(slice(row, row + shape[0]), slice(column, column + shape[1]), tile)
                top.offer(pattern, tile, row, column)
        keys, scores = top.result()
        if len(keys) == count or threshold == 0.0:
            return keys, scores
        threshold = 0.0


def search_memory(shape: tuple[int, ...]) -> int:
    """Return the bytes that searching a layer of a shape takes: some rows of it, and a tile."""
    n_out, n_in = shape[0], math.prod(shape[1:])
    sampled = -(-n_out // _SAMPLED) if n_out >= _ENOUGH else 0
    return 4 * sampled * n_in + 3 * min(TILE_BYTES, 4 * n_out * n_in)


def _guess(pattern: Pattern, count: int, dtype: Any, form: Form) -> float:
    """Return a threshold that somewhat more than ``count`` scores exceed, by some of the rows."""
    n_out, n_in = pattern.shape
    some = aligned_empty((len(range(0, n_out, _SAMPLED)), n_in), dtype)
    form(slice(0, n_out, _SAMPLED), slice(0, n_in), some)
    wanted = int(1.3 * count * len(some) / n_out) + 100
    if wanted >= some.size:
        return 0.0
    scores = np.abs(some, out=some).reshape(-1)
    scores.partition(scores.size - wanted)
    return float(scores[-wanted])


def largest_gradients(
    parameter: SparseParameter, view: GradientView, count: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|dW\| exactly: sorted keys, and dW there."""
    pattern, dtype = parameter.pattern, parameter.data.dtype
    return largest_inactive(pattern, count, dtype, view.tile, whole=view.whole_rows)
