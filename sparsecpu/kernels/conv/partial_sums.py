"""Partial sums of dW, as many on any number of threads, added up in their order."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share, stage
from sparsecpu.kernels.vectors.arithmetic import add
from sparsecpu.kernels.vectors.memory import load, store

#: Numbers that are added at a time.
_RUN = 32


@kernel(inlined=True)
def sum_onto_first(parts, begin, end):
    """Add to numbers of the first part those of the others, in their order."""
    whole = begin + (end - begin) // _RUN * _RUN
    for here in range(begin, whole, _RUN):
        total = load(parts, here, _RUN)
        for part in range(1, parts.shape[0]):
            total = add(total, load(parts, np.int64(part) * parts.shape[1] + here, _RUN))
        store(parts, here, total)
    for here in range(whole, end):
        for part in range(1, parts.shape[0]):
            parts[0, here] += parts[part, here]


@kernel(parallel=True, stages=2)
def add_parts(team, parts, places, out):
    """``out[k] = sum of parts[:, places[k]]``, the partial sums in their order.

    The first of them does not last.
    """
    size = parts.shape[1]
    for run in share(team, -(-size // _RUN) if stage(team) == 0 else 0):
        sum_onto_first(parts, np.int64(run) * _RUN, min(size, (np.int64(run) + 1) * _RUN))
    for k in share(team, out.shape[0] if stage(team) == 1 else 0):
        out[k] = parts[0, places[k]]
