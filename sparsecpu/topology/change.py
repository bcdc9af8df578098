"""What an update does to one layer: weights that go, positions that come."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.sparse.format import check_range, integers
from sparsecpu.sparse.keys import among, in_order
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.vectors import numbers
from sparsecpu.topology.selection import largest
from sparsecpu.topology.settling import settle
from sparsecpu.topology.shared_columns import SharedColumns, by_rows, weights_of
from sparsecpu.topology.weight_counts import count_at_keys, count_at_places


@dataclass
class Growth:
    """Positions to activate in one layer.

    Parameters
    ----------
    keys : ndarray of int64
        ``i * n_in + j``, distinct; positions that were dropped in the same update are allowed.
    values : dict of str to ndarray
        What they start with, by name (``"data"`` or a slot); 0 where not named. For shared columns
        one for all weights of a position, or a row of them; see ``shape_of_values``.
    facts : dict
        For the report.
    """

    keys: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Change:
    """What an update does to one layer.

    Parameters
    ----------
    drop : ndarray of int
        Places in ``parameter.data`` of the weights that go, distinct.
    growth : Growth
        The positions that come.
    """

    drop: np.ndarray
    growth: Growth


def keys_of(pattern: Pattern, places: np.ndarray) -> np.ndarray:
    """Return the keys ``i * n_in + j`` of some nonzeros."""
    keys = np.searchsorted(pattern.indptr, places, side="right")
    keys -= 1  # now their rows
    keys *= pattern.shape[1]
    keys += pattern.indices[places]
    return keys


def sorted_places(parameter: SparseParameter, places: np.ndarray) -> np.ndarray:
    """Return places in order; refuse what is no place, or there twice."""
    places = integers(places, "places of weights to drop")
    if (places[1:] <= places[:-1]).any():
        places = np.sort(places)
    if (places[1:] == places[:-1]).any():
        raise PatternError("places of weights to drop must be distinct")
    check_range(places, parameter.nnz, "places of weights to drop")
    return places.astype(np.int32, copy=False)


def checked_growth(parameter: SparseParameter, growth: Any) -> Growth:
    """Return what a rule grows, if it is a growth: keys in range and distinct, a value for each."""
    if not isinstance(growth, Growth):
        raise PatternError(f"a rule must grow a Growth, not a {type(growth).__name__}")
    keys = integers(growth.keys, "positions that grow")
    check_range(keys, parameter.pattern.size, "positions that grow")
    if not isinstance(growth.values, dict):
        raise PatternError("first values of what grows must be vectors by name")
    values = {n: _first_values(parameter, keys, v, n) for n, v in growth.values.items()}
    return replace(growth, keys=keys.astype(np.int64, copy=False), values=values)


def _first_values(parameter: SparseParameter, keys: np.ndarray, values: Any, name: str) -> Any:
    what = f"first values of {name}"
    if not isinstance(parameter, SharedColumns):
        return numbers(values, what, keys.shape)
    return by_rows(parameter, keys, numbers(np.ravel(values), what).reshape(np.shape(values)))


def fill_up(parameter: SparseParameter, change: Change, count: int) -> Change:
    r"""Return a change after which ``count`` positions came: dropped weights stay for missing ones.

    Those of largest \|w\| stay, of the dropped ones that do not come back anyway.
    """
    keys = change.growth.keys
    missing = count - len(keys)
    if not missing:
        return change
    gone = ~among(keys_of(parameter.pattern, change.drop), in_order(keys))[1]
    if not 0 < missing <= np.count_nonzero(gone):
        raise PatternError(
            f"{len(keys)} positions are to grow instead of {count}, "
            f"and {np.count_nonzero(gone)} dropped weights could stay for missing ones"
        )
    magnitudes = np.abs(parameter.data[change.drop])
    stay = np.flatnonzero(gone)[largest(magnitudes[gone], missing)]
    return replace(change, drop=np.delete(change.drop, stay))


def apply_change(
    parameter: SparseParameter, change: Change, rng: np.random.Generator, *,
    regrow_keeps_value: bool, keeps_nnz: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Rewire a layer and return the facts; a weight that goes and comes may keep its value.

    ``keeps_nnz``: it is to have exactly as many weights as the change wants; see ``settle``.
    """
    if not isinstance(change, Change):
        raise PatternError(f"a rule must decide a Change, not a {type(change).__name__}")
    growth = checked_growth(parameter, change.growth)
    drop, keys, values = sorted_places(parameter, change.drop), growth.keys, growth.values
    ordered = in_order(keys)
    if (ordered[1:] == ordered[:-1]).any():
        raise PatternError("positions that grow must be distinct")
    if keeps_nnz and (settled := settle(parameter, drop, keys, rng)) is not None:
        drop, keys, came = settled
        ordered = in_order(keys)
        values = {n: np.concatenate([v, np.zeros_like(v, shape=(1, *v.shape[1:]))])[came]
                  for n, v in values.items()}  # fmt: skip
    dropped_keys = keys_of(parameter.pattern, drop)
    returning = among(dropped_keys, ordered)[1]
    facts = {
        "dropped": count_at_places(parameter, drop),
        "grown": count_at_keys(parameter, keys),
        "regrown": count_at_places(parameter, drop[returning]),
    }
    if regrow_keeps_value:
        back = among(keys, dropped_keys[returning])[1]
        drop, keys = drop[~returning], keys[~back]
        values = {name: value[~back] for name, value in values.items()}
    del dropped_keys, returning, ordered  # in large layers every array counts
    parameter.rewire_keys(drop, keys, values)
    return {**facts, **growth.facts, "nnz": weights_of(parameter).nnz}
