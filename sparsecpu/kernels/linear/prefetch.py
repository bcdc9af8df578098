"""What the kernels of a linear layer prefetch, where the CPU does not foresee it by itself.

In its caches, and for wide rows, the CPU looks far enough ahead. Two cases remain: x is larger than
the caches and its rows are narrow; or W's rows are cut into blocks, so that pieces that are read
one after the other lie apart.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import count
from sparsecpu.kernels.vectors.memory import at, prefetch, prefetch_like

#: From so many bytes of x on, its rows are prefetched so many nonzeros ahead.
_LARGE_X, _NONZEROS_AHEAD = 16 << 20, 64
#: Pieces of rows are prefetched so many rows ahead.
_ROWS_AHEAD = 8


@kernel(inlined=True)
def x_is_far(n_in, lanes, itemsize, blocks):
    """Return True if a tile of x is larger than the caches, and nothing else brings it nearer."""
    return blocks == 1 and n_in * lanes * itemsize >= _LARGE_X


@kernel(inlined=True)
def prefetch_x(x, base, indices, k, end, row):
    """Prefetch the rows of x, as wide as the vector ``row``, that nonzeros further on will read."""
    for ahead in range(k + _NONZEROS_AHEAD, end + _NONZEROS_AHEAD):
        j = np.int64(at(indices, min(ahead, indices.shape[0] - 1)))
        prefetch_like(x, base + j * count(row), row)


@kernel(inlined=True)
def prefetch_piece(starts, block, i, indices, values):
    """Prefetch the beginning of the piece of a row some rows further down."""
    rows = starts.shape[1]
    k = at(starts, np.int64(block) * rows + min(i + _ROWS_AHEAD, rows - 1))
    prefetch(indices, k, 32, 1)
    prefetch(values, k, 32, 1)
