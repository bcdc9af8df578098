r"""The gradient where there are no weights: at drawn positions, or its largest entries.

For a linear layer the gradient of one batch is :math:`dY X^T`. Row tiles of it are formed one after
the other and searched; no more than one tile and the best entries so far exist at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.csr import Pattern
from sparsecpu.parameters import SparseParameter
from sparsecpu.topology.selection import RunningTop
from sparsecpu.workspace import aligned_empty

#: A tile has at most this fraction of the rows: it must stay far from a dense matrix.
TILE_SHARE = 32
#: Bytes of a row tile.
TILE_BYTES = 4 * 1024**2
#: A first threshold comes from every so many-th row, where there are this many tiles or more.
_SAMPLED, _WORTH_SAMPLING = 128, 8

Form = Callable[[slice, np.ndarray], Any]


def largest_inactive(
    pattern: Pattern, count: int, dtype: Any, form: Form
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
        ``form(rows, out)`` writes the scores of some rows, a slice.

    Returns
    -------
    keys : ndarray of int64
        Sorted.
    scores : ndarray
        Theirs.
    """
    n_out, n_in = pattern.shape
    small = pattern.size <= 1 << 18
    most = max(1, n_out // (4 if small else TILE_SHARE))
    rows = int(np.clip(TILE_BYTES // (n_in * np.dtype(dtype).itemsize), 1, most))
    buffer = aligned_empty((rows, n_in), dtype)
    threshold = 0.0
    if n_out // rows >= _WORTH_SAMPLING and n_out >= 4 * _SAMPLED:
        some = buffer[: len(range(0, n_out, _SAMPLED))]
        form(slice(0, n_out, _SAMPLED), some)
        wanted = int(1.3 * count * len(some) / n_out) + 100
        if wanted < some.size:
            scores = np.abs(some).reshape(-1)
            threshold = float(np.partition(scores, -wanted)[-wanted])
    while True:
        top = RunningTop(count, dtype, threshold)
        for first in range(0, n_out, rows):
            tile = buffer[: min(rows, n_out - first)]
            form(slice(first, first + len(tile)), tile)
            top.offer(pattern, tile, first)
        keys, scores = top.result()
        if len(keys) == count or threshold == 0.0:
            return keys, scores
        threshold = 0.0


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

    def form(rows: slice, out: np.ndarray) -> None:
        if parameter.spatial:
            out[...] = x.at(whole_rows(parameter.shape, rows)).reshape(out.shape)
            return
        np.matmul(dy[0, rows], x[0].T, out=out)
        for t in range(1, len(x)):
            out += np.matmul(dy[t, rows], x[t].T)

    return largest_inactive(parameter.pattern, count, parameter.data.dtype, form)


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
        cuts = pattern.blocks(x.shape[2] * x.itemsize)
        gradient_kernel(x.shape[2])(*cuts, pattern.indices, x, dy, out, out[:0], pattern.chunks)
