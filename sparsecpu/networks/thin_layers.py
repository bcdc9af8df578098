"""Layers that have too few weights for their neurons, told before anybody trains them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter

#: Layers that are named; a deep network may have many.
_NAMED = 3


def thin_layers(weights: Mapping[str, SparseParameter]) -> str:
    """Say which layers leave most neurons without a weight, "" if none does.

    These are layers that compute most outputs from nothing, or read less than half of what the
    layer before computes; of the last one, each output must have a weight. ``weights`` are those of
    a network by name, in order.
    """
    found = []
    for place, (name, weight) in enumerate(weights.items()):
        first, last = place == 0, place == len(weights) - 1
        words = _lacking(weight, reads_all=first, needs_all=last)
        if words:
            found.append(f"{name} has {_counted(weight.nnz)}, none for {words}")
    more = [f"{len(found) - _NAMED} more layers"] if len(found) > _NAMED else []
    return "; ".join([*found[:_NAMED], *more])


def _lacking(weight: SparseParameter, *, reads_all: bool, needs_all: bool) -> str:
    """Return which of a layer's outputs and inputs have no weight, "" if few enough do."""
    pattern = weight.pattern
    n_out, n_in = pattern.shape
    if pattern.is_full or weight.nnz > 16 * max(n_out, n_in):  # hardly any is left out by chance
        return ""
    rows = n_out - int(np.count_nonzero(np.diff(pattern.indptr)))
    read = np.zeros(n_in, dtype=bool)
    read[pattern.groups.indices] = True  # not those of all rows, which would be kept
    columns = n_in - int(np.count_nonzero(read))
    parts = []
    if 2 * rows > n_out or (needs_all and rows):
        parts.append(f"{rows:,} of {n_out:,} outputs")
    if 2 * columns > n_in and not reads_all:
        parts.append(f"{columns:,} of {n_in:,} inputs")
    return " and ".join(parts)


def least_density(weights: Mapping[str, SparseParameter]) -> float:
    """Return the density at which a network has as many weights as outputs or inputs of layers."""
    shapes = [weight.shape for weight in weights.values()]
    size = sum(math.prod(shape) for shape in shapes)
    return min(1.0, sum(max(shape) for shape in shapes) / size)


def _counted(nnz: int) -> str:
    return "1 weight" if nnz == 1 else f"{nnz:,} weights"
