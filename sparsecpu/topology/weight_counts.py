"""How many weights positions stand for: one each, or a group's where rows share their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsecpu.topology.shared_columns import SharedColumns, weights_of


def unit_of(parameter: Any) -> int:
    """Return how many weights a position stands for, but for those of a last, smaller group."""
    return parameter.group if isinstance(parameter, SharedColumns) else 1


def positions_of(counts: Sequence[int], groups: Sequence[int] = ()) -> list[float]:
    """Return how many positions layers of so many weights have, whose rows stand in groups."""
    return [count / group for count, group in zip(counts, groups or [1] * len(counts), strict=True)]


def sizes_of_places(parameter: Any) -> Any:
    """Return how many weights places stand for: a number, or one for each where they differ."""
    unit, few = unit_of(parameter), weights_of(parameter).shape[0] % unit_of(parameter)
    if not few:
        return unit
    places = np.full(parameter.nnz, unit)
    places[places_in_whole_groups(parameter) :] = few
    return places


def whole_groups(parameter: Any) -> int:
    """Return how many groups have all their rows: all but perhaps the last one."""
    n_out = weights_of(parameter).shape[0]
    return n_out // unit_of(parameter)


def places_in_whole_groups(parameter: Any) -> int:
    """Return how many nonzeros lie in groups that have all their rows; they are the first ones."""
    return int(parameter.pattern.indptr[whole_groups(parameter)])


def room(parameter: Any) -> int:
    """Return how many weights could still grow in groups that have all their rows."""
    positions = whole_groups(parameter) * parameter.shape[1]
    return unit_of(parameter) * (positions - places_in_whole_groups(parameter))


def count_at_places(parameter: Any, places: np.ndarray) -> int:
    """Return how many weights some places have together."""
    return _count(parameter, len(places), places >= places_in_whole_groups(parameter))


def count_at_keys(parameter: Any, keys: np.ndarray) -> int:
    """Return how many weights some positions have together."""
    return _count(parameter, len(keys), keys >= (parameter.shape[0] - 1) * parameter.shape[1])


def _count(parameter: Any, number: int, in_last: np.ndarray) -> int:
    if not isinstance(parameter, SharedColumns):
        return number
    missing = parameter.shape[0] * parameter.group - parameter.weights.shape[0]
    return number * parameter.group - int(np.count_nonzero(in_last)) * missing
