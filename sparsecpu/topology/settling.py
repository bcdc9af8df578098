"""Where a layer's last group has fewer rows than the others: how numbers of weights stay exact.

A shared column of that group stands for fewer weights than one of another. So as many come there as
go, and as many in all other groups as a rule wants; what it chose is mended where it has it
otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.keys import among
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.selection import largest, smallest
from sparsecpu.topology.shared_columns import weights_of
from sparsecpu.topology.weight_counts import places_in_whole_groups, unit_of


def settle(
    parameter: Any, drop: np.ndarray, keys: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    r"""Return what goes (places) and what comes (keys), so that the last group keeps its number.

    Where too many come in one part of the layer, the smallest \|w\| there go, too (where none are
    left, the last positions do not come), and as many that were dropped in the other part stay, or
    random positions grow there. Also return where the keys stood that come still, -1 for new ones.
    None if all is well as it is.
    """
    if weights_of(parameter).shape[0] % unit_of(parameter) == 0:
        return None
    edge, n_in = places_in_whole_groups(parameter), parameter.shape[1]
    beyond = keys >= (parameter.shape[0] - 1) * n_in
    more = int(np.count_nonzero(beyond)) - int(np.count_nonzero(drop >= edge))
    if more == 0:
        return None
    came = np.arange(len(keys))
    scores, dropped = parameter.data, np.zeros(parameter.nnz, dtype=bool)
    dropped[drop] = True
    last = np.arange(parameter.nnz) >= edge
    grows, shrinks = (last, ~last) if more > 0 else (~last, last)
    wide, count = beyond == (more > 0), abs(more)
    # The part that would win: its smallest go, too; where there are none, fewer come.
    staying = np.flatnonzero(grows & ~dropped)
    dropped[staying[smallest(scores[staying], count)]] = True
    if count > len(staying):
        wide = came[wide][np.argsort(keys[wide])]
        came = np.delete(came, wide[len(staying) - count :])
    # The part that would lose: its largest stay; where there are none, others come.
    returning = among(parameter.pattern.keys(), np.sort(keys[came]))[1]
    gone = np.flatnonzero(shrinks & dropped & ~returning)
    dropped[gone[largest(scores[gone], count)]] = False
    keys = keys[came]
    if count > len(gone):
        whole = _whole_part(parameter.pattern)
        taken = np.sort(keys[keys < whole.size])
        fresh = random_free(whole, count - len(gone), rng, taken)
        keys = np.concatenate([keys, fresh])
        came = np.concatenate([came, np.full(len(fresh), -1)])
    return np.flatnonzero(dropped), keys, came


def _whole_part(pattern: Pattern) -> Pattern:
    """Return the pattern of all groups but the last."""
    indptr = pattern.indptr[:-1]
    return Pattern(
        (pattern.shape[0] - 1, pattern.shape[1]), indptr, pattern.indices[: indptr[-1]],
        validate=False,
    )  # fmt: skip
