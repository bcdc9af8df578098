"""What lies in the order of taps where filters stand in groups, and in that of their pattern.

Taps are taken side by side of the filter, row by row; values, of which a filter has its own, lie in
the order of the pattern. ``kernels.conv.operands.GroupIndex`` says where.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.conv.grouped_parts import group_of
from sparsecpu.kernels.conv.partial_sums import sum_onto_first
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.memory import at, load
from sparsecpu.kernels.vectors.pairs import store_rounded


@kernel(parallel=True)
def sum_parts(team, taps, group, filters, parts, out):
    """Write the partial sums of dW, added up in their order, in the order of the pattern.

    The first of them does not last.
    """
    for g in share(team, taps.starts.shape[0]):
        own = group_of(taps, filters, g, group)
        begin = own.apart + own.first
        sum_onto_first(parts, begin, begin + own.filters * own.each)
        for r in range(own.filters):
            apart = own.apart + r * own.each
            for k in range(own.first, own.end):
                out[apart + at(taps.order, k)] = parts[0, apart + k]


@kernel(parallel=True)
def round_in_order(team, taps, group, filters, data, out):
    """Write values rounded to bf16, in the order of taps."""
    for g in share(team, taps.starts.shape[0]):
        own = group_of(taps, filters, g, group)
        for r in range(own.filters):
            apart = own.apart + r * own.each
            for k in range(own.first, own.end):
                value = load(data, apart + np.int64(at(taps.order, k)), 1)
                store_rounded(out, apart + np.int64(k), value)
