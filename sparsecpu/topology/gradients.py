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
from sparsecpu.topology.selection import RunningTop

#: A tile has at most this fraction of a matrix: it must stay far from a dense one.
TILE_SHARE = 32
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
    most = min(TILE_BYTES // np.dtype(dtype).itemsize, pattern.size // TILE_SHARE)
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
    parameter: SparseParameter, x: Any, dy: Any, count: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|gradient\| in one batch, exactly.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    x, dy : ndarray, shape (tiles, features, lanes)
        Its input and the gradient of its output; see ``sources.Source.observe``.
    count : int
        How many.

    Returns
    -------
    tuple of ndarray
        Sorted keys, and their gradients.
    """

    def form(rows: slice, columns: slice, out: np.ndarray) -> None:
        if parameter.spatial:
            out[...] = x.at(whole_rows(parameter.shape, rows)).reshape(out.shape)
            return
        np.matmul(dy[0, rows], x[0, columns].T, out=out)
        for t in range(1, len(x)):
            out += np.matmul(dy[t, rows], x[t, columns].T)

    pattern, dtype = parameter.pattern, parameter.data.dtype
    return largest_inactive(pattern, count, dtype, form, whole=parameter.spatial)


def whole_rows(shape: tuple[int, int], rows: slice) -> Pattern:
    """Return the pattern that has all of some rows, and nothing else.

    Parameters
    ----------
    shape : tuple of two ints
        ``(n_out, n_in)``.
    rows : slice
        Which rows.

    Returns
    -------
    Pattern
        The pattern.
    """
    fan_in = np.zeros(shape[0], dtype=np.int64)
    fan_in[rows] = shape[1]
    indptr = np.concatenate([[0], np.cumsum(fan_in)])
    indices = np.tile(np.arange(shape[1], dtype=np.int32), indptr[-1] // shape[1])
    return Pattern(shape, indptr, indices, validate=False)


def gradients_at(
    parameter: SparseParameter, pattern: Pattern, x: Any, dy: Any, out: np.ndarray
) -> None:
    """Write the gradient of one batch at the positions of another pattern.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    pattern : Pattern
        Shaped like the layer's.
    x, dy : ndarray, shape (tiles, features, lanes)
        See ``largest_gradients``.
    out : ndarray, shape (nnz of the pattern,)
        Where to.
    """
    from sparsecpu.kernels.linear import gradient_kernel

    if parameter.spatial:
        np.copyto(out, x.at(pattern))
    elif pattern.nnz:
        size = x.shape[2] * x.itemsize
        gradient_kernel(x.shape[2])(
            *pattern.blocks(size), pattern.indices, x, dy, out, out[:0], pattern.chunks_of(size)
        )
