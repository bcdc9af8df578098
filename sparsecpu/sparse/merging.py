"""What becomes of a pattern when nonzeros go and new positions come."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.sparse.format import check_range, integers
from sparsecpu.sparse.groups import of_rows, places_of_rows, shared_keys, shared_places
from sparsecpu.sparse.keys import merge_rows
from sparsecpu.sparse.pattern import Pattern


@dataclass(frozen=True)
class Merge:
    """What became of the nonzeros when a pattern changed."""

    pattern: Pattern  #: the new one
    kept: np.ndarray  #: bool: which nonzeros of the old pattern stay
    kept_at: np.ndarray  #: bool: which nonzeros of the new one these are, in the same order
    new_at: np.ndarray  #: int64: places of the new positions, in the order in which they were given


def merge(old: Pattern, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
    """Return the pattern without some nonzeros and with new positions; see ``Pattern.merge``."""
    arrivals, order = _in_order(old, new_keys)
    drop = integers(drop, "places to drop")
    check_range(drop, old.nnz, "places to drop")
    if old.group > 1:
        return _merge_groups(old, drop, arrivals, order)
    keep = np.ones(old.nnz, dtype=bool)
    keep[drop] = False
    *index, kept_at, places = merge_rows(old.indptr, old.indices, old.shape[1], keep, arrivals)
    new_at = _as_given(places, order)
    return Merge(Pattern(old.shape, *index, validate=False), keep, kept_at, new_at)


def merge_shared(old: Pattern, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
    """Do as ``merge``, with shared columns; see ``Pattern.merge_shared``."""
    n_out, group, groups = old.shape[0], old.group, old.groups
    shared = merge(groups, drop, new_keys)
    if group == 1:
        return shared
    pattern = Pattern.of_groups(n_out, group, shared.pattern)
    kept = of_rows(groups, n_out, group, shared.kept)
    kept_at = of_rows(shared.pattern, n_out, group, shared.kept_at)
    places = places_of_rows(shared.pattern, n_out, group, shared.new_at)
    return Merge(pattern, kept, kept_at, places[places >= 0])


def _merge_groups(old: Pattern, drop: np.ndarray, arrivals: np.ndarray, order: np.ndarray) -> Merge:
    """Do as ``merge``, where drop and arrivals, which are sorted, must be whole shared columns."""
    n_out, n_in = old.shape
    gone = shared_places(drop, old.indptr, old.groups.indptr, old.group)
    found = merge_shared(old, gone, shared_keys(arrivals, n_out, n_in, old.group))
    return replace(found, new_at=_as_given(np.sort(found.new_at), order))


def _in_order(old: Pattern, new_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of new positions in order, and where each was; refuse what is none."""
    arrivals = integers(new_keys, "new positions")
    order = np.argsort(arrivals, kind="stable")
    arrivals = arrivals[order]
    if len(arrivals) and (arrivals[0] < 0 or arrivals[-1] >= old.size):
        raise PatternError(f"new positions must lie in a {old.shape} matrix")
    if np.any(arrivals[1:] == arrivals[:-1]):
        raise PatternError("new positions must be distinct")
    return arrivals, order


def _as_given(places: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return what sorted positions have, in the order in which they were given."""
    found = np.empty_like(places)
    found[order] = places
    return found
