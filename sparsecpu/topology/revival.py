"""Outputs that have lost all their weights come back."""

from __future__ import annotations

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.selection import smallest
from sparsecpu.topology.shared_columns import shape_of_values, weights_of
from sparsecpu.topology.weight_counts import places_in_whole_groups


def revive_outputs(parameter: SparseParameter, rng: np.random.Generator) -> int:
    r"""Give every output without a weight one at a random input; nnz stays what it was.

    As many of the smallest \|w\| go, never an output's last. A new weight is drawn from a normal
    distribution of the deviation that the layer's weights have. Return how many came back: fewer
    than were dead where there are too few weights.

    Outputs that stand in groups come back together. A last group of fewer rows gives nothing up,
    and where it comes back itself, nnz is less by what it lacks.
    """
    pattern, n_in = parameter.pattern, parameter.shape[1]
    dead, rows = np.flatnonzero(pattern.fan_in == 0), pattern.rows()
    if not len(dead):
        return 0
    order = np.lexsort((-np.abs(parameter.data), rows))
    last = np.searchsorted(rows[order], np.flatnonzero(pattern.fan_in))  # the largest of each row
    most = places_in_whole_groups(parameter)
    spare = np.setdiff1d(np.arange(most), order[last], assume_unique=True)
    count = min(len(dead), len(spare))
    lost = spare[smallest(np.abs(parameter.data[spare]), count)]
    shape = shape_of_values(parameter, dead[:count])
    values = rng.normal(0.0, float(weights_of(parameter).data.std()) or 1.0, shape)
    parameter.rewire(lost, dead[:count], rng.integers(n_in, size=count), {"data": values})
    return count
