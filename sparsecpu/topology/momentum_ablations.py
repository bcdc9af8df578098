"""What sparse momentum is compared with: other shares, other growth, pruning over all layers.

The code of Dettmers and Zettlemoyer, Sparse networks from scratch (2019), has the same choices.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.quotas import growth_quotas
from sparsecpu.topology.run import Run
from sparsecpu.topology.selection import largest_of_rows, smallest_of_all
from sparsecpu.topology.shared_columns import weights_of
from sparsecpu.topology.weight_counts import unit_of


class MomentumRule(Protocol):
    """What these ways to grow need of sparse momentum."""

    run: Run
    slot: str
    steps_done: int
    sources: dict[str, Any]

    def grown(self, name, parameter, best, dropped, count) -> Growth:
        """Return the growth at the largest momenta; see ``SparseMomentum.grown``."""
        ...


def mean_magnitude(parameter: SparseParameter, slot: str) -> float:
    r"""Return the mean \|w\| of a layer."""
    return float(np.abs(weights_of(parameter).data).mean())


def nonzeros(parameter: SparseParameter, slot: str) -> float:
    """Return the number of weights of a layer."""
    return float(weights_of(parameter).nnz)


def drop_together(parameters: dict[str, SparseParameter], rate: float) -> dict[str, np.ndarray]:
    """Return the places of the smallest weights of all layers together."""
    weights = [p.data for p in parameters.values()]
    units = [unit_of(p) for p in parameters.values()]
    held = sum(len(w) * unit for w, unit in zip(weights, units, strict=True))
    count = min(units) * math.ceil(rate * held / min(units))
    return dict(zip(parameters, smallest_of_all(weights, count, units), strict=True))


def at_random(
    rule: MomentumRule, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
) -> Growth:
    """Grow by chance."""
    pattern = parameter.pattern
    keys = grow_random(pattern, keys_of(pattern, dropped), count, rule.run.rng)
    return Growth(keys, facts={"shortfall": 0})


def by_neuron(
    rule: MomentumRule, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
) -> Growth:
    r"""Grow by \|m\|, with a quota for each output in proportion to its mean \|m\|."""
    pattern, n_out = parameter.pattern, parameter.shape[0]
    rows, momentum = pattern.rows(), parameter.slot(rule.slot)
    total = np.bincount(rows, np.abs(momentum), minlength=n_out)
    free = parameter.shape[1] - pattern.fan_in + np.bincount(rows[dropped], minlength=n_out)
    counts = growth_quotas(total / np.maximum(pattern.fan_in, 1), free, count)
    gone = keys_of(pattern, dropped)
    found = rule.sources[name].top_of_rows(counts, rule.steps_done)
    keys = np.concatenate([found[0], gone])
    values = np.concatenate([found[1], momentum[dropped]])
    chosen = largest_of_rows(keys // parameter.shape[1], values, counts)
    # What was dropped and not chosen grows only where too few have any momentum.
    left = gone, np.zeros(len(gone), values.dtype)
    return rule.grown(name, parameter, (keys[chosen], values[chosen]), left, count)


#: What a layer's share may be proportional to, instead of its mean momentum. With ``none``, a layer
#: grows what it dropped itself.
REDISTRIBUTIONS = {"magnitude": mean_magnitude, "nonzero": nonzeros, "none": nonzeros}
#: How a layer may grow, instead of by momentum.
GROWTHS = {"momentum-neuron": by_neuron, "random": at_random}
