r"""The gradient where there are no weights: at drawn positions, or its largest entries.

For a linear layer the gradient of one batch is :math:`dY X^T`. Tiles of it are formed one after the
other and searched; no more than one tile and the best entries so far exist at a time.
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

#: A tile has at most this fraction of a matrix: it must stay far from a dense one.
TILE_FRACTION = 32
#: Bytes of a tile. Twice as high as wide, BLAS packs its factors least often.
TILE_BYTES = 2 * 1024**2
#: Below so many numbers a tile is not worth a call, if it is no more than a quarter of the matrix.
_LEAST = 1 << 17
#: A first threshold comes from every so many-th row, where there are enough of them.
_SAMPLED, _ENOUGH = 128, 512

Form = Callable[[slice, slice, np.ndarray], Any]


def largest_inactive(
    pattern: Pattern, count: int, dtype: Any, form: Form, *, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|score\|, of a matrix that is formed in tiles.

    A few rows tell about which threshold ``1.3 count`` entries exceed; everything below it is
    passed over. Where that was too high, the search is done again without it, so the result is
    exact.

    Parameters
    ----------
    pattern : Pattern
        What is active.
    count : int
        How many; fewer are returned where fewer are not 0.
    dtype : dtype
        Of the scores.
    form : callable
        ``form(rows, columns, out)`` writes the scores of a tile, whose places are slices.
    whole : bool
        Whether tiles must have whole rows.

    Returns
    -------
    keys : ndarray of int64
        Sorted.
    scores : ndarray
        Theirs.
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
