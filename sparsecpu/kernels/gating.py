"""Products of two arrays, one of them through an activation, and their gradients."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.activations import activated, times_slope
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import multiply
from sparsecpu.kernels.vectors.memory import load, store

#: Numbers that are computed at once, and those that a thread takes at a time.
_AT_ONCE, _CHUNK = 64, 1 << 14


def plain_gated(a, b):
    """Return ``silu(a) b``."""
    return a / (1 + np.exp(-a)) * b


@kernel(parallel=True)
def gate(team, a, b, y):
    """Write ``y = silu(a) b``; all are vectors."""
    size = a.shape[0]
    for chunk in share(team, (size + _CHUNK - 1) // _CHUNK):
        i, end = np.int64(chunk) * _CHUNK, min(np.int64(chunk + 1) * _CHUNK, size)
        while i + _AT_ONCE <= end:
            opened = activated(load(a, i, _AT_ONCE), "silu")
            store(y, i, multiply(opened, load(b, i, _AT_ONCE)))
            i += _AT_ONCE
        while i < end:
            opened = activated(load(a, i, 1), "silu")
            store(y, i, multiply(opened, load(b, i, 1)))
            i += 1


@kernel(parallel=True)
def gate_gradients(team, a, b, dy, da, db):
    """Write ``da = silu'(a) b dy`` and ``db = silu(a) dy``."""
    size = a.shape[0]
    for chunk in share(team, (size + _CHUNK - 1) // _CHUNK):
        i, end = np.int64(chunk) * _CHUNK, min(np.int64(chunk + 1) * _CHUNK, size)
        while i + _AT_ONCE <= end:
            v, d = load(a, i, _AT_ONCE), load(dy, i, _AT_ONCE)
            store(db, i, multiply(activated(v, "silu"), d))
            store(da, i, times_slope(multiply(d, load(b, i, _AT_ONCE)), v, "silu"))
            i += _AT_ONCE
        while i < end:
            w, e = load(a, i, 1), load(dy, i, 1)
            store(db, i, multiply(activated(w, "silu"), e))
            store(da, i, times_slope(multiply(e, load(b, i, 1)), w, "silu"))
            i += 1
