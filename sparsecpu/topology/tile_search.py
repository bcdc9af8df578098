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
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.shared_columns import SharedColumns, weights_of
from sparsecpu.topology.shared_view import view_of_weights

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

    They are ``count``, or fewer where fewer are not 0. ``whole``: tiles must have whole rows.
    """
    return search(pattern, count, dtype, form, whole=whole).result()


def search(
    pattern: Pattern, count: int, dtype: Any, form: Form, *, whole: bool = False,
    shared: SharedColumns | None = None,
) -> RunningTop:  # fmt: skip
    """Find what ``largest_inactive`` returns; of shared columns, tiles that are formed have rows.

    A few rows tell about which threshold ``1.3 count`` entries exceed; everything below it is
    passed over. Where that was too high, the search is done again without it.
    """
    group, (n_out, n_in) = (shared.group if shared else 1), pattern.shape
    rows = shared.weights.shape[0] if shared else n_out
    most = min(TILE_BYTES // np.dtype(dtype).itemsize, rows * n_in // TILE_FRACTION)
    most = max(group, most, min(_LEAST, rows * n_in // 4))
    width = n_in if whole else min(n_in, max(1, math.isqrt(most // 2)))
    height = min(n_out, max(1, most // (group * width)))
    threshold = 0.0
    if rows >= _ENOUGH and not whole:
        threshold = _guess(pattern, count, dtype, form, shared)
    buffer = aligned_empty(height * group * width, dtype)
    while True:
        top = RunningTop(count, dtype, threshold, shared)
        for row in range(0, n_out, height):
            here = slice(row * group, min((row + height) * group, rows))
            for column in range(0, n_in, width):
                shape = here.stop - here.start, min(width, n_in - column)
                tile = buffer[: shape[0] * shape[1]].reshape(shape)
                form(here, slice(column, column + shape[1]), tile)
                top.offer(pattern, tile, row, column)
        if threshold == 0.0 or len(top.result()[0]) == count:
            return top
        threshold = 0.0


def search_memory(shape: tuple[int, ...]) -> int:
    """Return the bytes that searching a layer of a shape takes: some rows of it, and a tile."""
    n_out, n_in = shape[0], math.prod(shape[1:])
    sampled = -(-n_out // _SAMPLED) if n_out >= _ENOUGH else 0
    return 4 * sampled * n_in + 3 * min(TILE_BYTES, 4 * n_out * n_in)


def _guess(
    pattern: Pattern, count: int, dtype: Any, form: Form, shared: SharedColumns | None = None
) -> float:
    """Return a threshold that somewhat more than ``count`` scores exceed, by some of the rows."""
    n_out, n_in = pattern.shape
    if shared is None:
        some = aligned_empty((len(range(0, n_out, _SAMPLED)), n_in), dtype)
        form(slice(0, n_out, _SAMPLED), slice(0, n_in), some)
        np.abs(some, out=some)
    else:
        parts = []
        for g in range(0, n_out, _SAMPLED // shared.group):
            rows = slice(g * shared.group, min((g + 1) * shared.group, shared.weights.shape[0]))
            part = aligned_empty((rows.stop - rows.start, n_in), dtype)
            form(rows, slice(0, n_in), part)
            parts.append(shared.fold_rows(part))
        some = np.concatenate(parts)
    wanted = int(1.3 * count * len(some) / n_out) + 100
    if wanted >= some.size:
        return 0.0
    scores = some.reshape(-1)
    scores.partition(scores.size - wanted)
    return float(scores[-wanted])


def largest_gradients(
    parameter: Any, view: GradientView, count: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|dW\| exactly: sorted keys, and dW there."""
    shared = parameter if isinstance(parameter, SharedColumns) else None
    form = view_of_weights(view).tile
    dtype, pattern = weights_of(parameter).data.dtype, parameter.pattern
    return search(pattern, count, dtype, form, whole=view.whole_rows, shared=shared).result()
