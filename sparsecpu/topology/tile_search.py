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
#: Bytes of a tile, and its least width: as high as it may be, its columns are turned once; see
#: ``kernels.linear.outer``.
TILE_BYTES, _WIDTH = 2 * 1024**2, 64
#: Below so many numbers a tile is not worth a call, if it is no more than a quarter of the matrix.
_LEAST = 1 << 17
#: A first threshold comes from every so many-th row and column, at least, where there are enough.
_APART, _ENOUGH = 8, 128
#: It is to rest on so many of the scores that are wanted.
_WANTED = 300

#: ``form(rows, columns, out)`` writes the tile at two slices (or at some rows).
Form = Callable[[Any, slice, np.ndarray], Any]


def largest_inactive(
    pattern: Pattern, count: int, dtype: Any, form: Form, *, whole: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the inactive positions of largest \|score\|, exactly: sorted keys, and scores.

    They are ``count``, or fewer where fewer are not 0. ``whole``: tiles must have whole rows.
    """
    return search(pattern, count, dtype, form, whole=whole).result()


def search(
    pattern: Pattern, count: int, dtype: Any, form: Form, *, whole: bool = False,
    shared: SharedColumns | None = None, rows_kept: bool = True, tall: bool = True,
) -> RunningTop:  # fmt: skip
    """Find what ``largest_inactive`` returns; of shared columns, tiles that are formed have rows.

    Some positions tell about which threshold ``2 count`` entries exceed; everything below it is
    passed over. Where that was too high, the search is done again without it. Tiles that are not
    ``tall`` are twice as high as wide, as BLAS likes them, whose sums depend on shapes.
    """
    group, (n_out, n_in) = (shared.group if shared else 1), pattern.shape
    rows = shared.weights.shape[0] if shared else n_out
    most = min(TILE_BYTES // np.dtype(dtype).itemsize, rows * n_in // TILE_FRACTION)
    most = max(group, most, min(_LEAST, rows * n_in // 4))
    narrow = _WIDTH if tall else max(1, math.isqrt(most // 2))
    height = min(n_out, max(1, most // (group * (n_in if whole else min(n_in, narrow)))))
    width = n_in if whole else min(n_in, narrow)
    if tall and not whole:
        width = min(n_in, max(1, most // (group * height)))
        width = width // _WIDTH * _WIDTH if _WIDTH < width < n_in else width
    threshold = 0.0
    if min(rows, n_in) >= _ENOUGH and not whole:
        threshold = _guess(pattern, count, dtype, form, shared)
    buffer = aligned_empty(height * group * width, dtype)
    while True:
        top = RunningTop(count, dtype, threshold, shared, rows_kept=rows_kept)
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
    """Return the bytes that searching a layer of a shape takes: some positions, and a tile.

    A position that is looked at has a score, a key, and a mark where it is active.
    """
    n_out, n_in = shape[0], math.prod(shape[1:])
    sampled = n_out * n_in // _APART**2 if min(n_out, n_in) >= _ENOUGH else 0
    return 13 * sampled + 3 * min(TILE_BYTES, 4 * n_out * n_in)


def _guess(
    pattern: Pattern, count: int, dtype: Any, form: Form, shared: SharedColumns | None = None
) -> float:
    """Return a threshold that about twice ``count`` inactive scores exceed, by some of them.

    Rows differ: a threshold that turns out too high costs more than entries that are not needed.
    """
    (n_out, n_in), group = pattern.shape, shared.group if shared else 1
    apart = max(_APART, min(math.isqrt(count // _WANTED), n_out // 16, n_in // 16))
    chosen: Any = slice(0, n_out, apart)
    if shared is not None:
        chosen = (np.arange(0, n_out, apart)[:, None] * group + np.arange(group)).reshape(-1)
        chosen = chosen[chosen < shared.weights.shape[0]]
    height = len(range(0, n_out, apart)) if shared is None else len(chosen)
    some = aligned_empty((height, len(range(0, n_in, apart))), dtype)
    form(chosen, slice(0, n_in, apart), some)
    some = np.abs(some, out=some) if shared is None else shared.fold_rows(some)
    places = np.arange(0, n_out, apart)[:, None] * n_in + np.arange(0, n_in, apart)
    some.reshape(-1)[pattern.contains(places.reshape(-1))] = 0  # they hold most of the largest
    wanted = int(2 * count * some.size / pattern.size) + 100
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
    own, dtype = view_of_weights(view), weights_of(parameter).data.dtype
    form: Form = own.tile
    factors = own.factors()
    if shared is not None and factors is not None:
        form = _product_of_samples(*factors)
    return search(
        parameter.pattern, count, dtype, form, whole=view.whole_rows, shared=shared, rows_kept=False
    ).result()


def _product_of_samples(x: np.ndarray, dy: np.ndarray) -> Form:
    """Return a function that forms ``dy x'`` in one sum over all samples, which is fastest.

    The sums of views go tile by tile, as they always did.
    """
    from sparsecpu.kernels.linear.outer import outer

    a, b = (np.ascontiguousarray(v.swapaxes(0, 1)).reshape(v.shape[1], -1) for v in (dy, x))

    def form(rows: Any, columns: slice, out: np.ndarray) -> None:
        outer(a[rows], b[columns], out)

    return form
