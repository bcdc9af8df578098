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
    """What became of the nonzeros when a pattern changed.

    What is held is that of shared columns; where rows stand in groups, the rest is made on demand.
    """

    old: Pattern  #: the pattern before
    pattern: Pattern  #: the new one
    stays: np.ndarray  #: bool: which shared columns of the old pattern stay
    stays_at: np.ndarray  #: bool: which of the new one these are, in the same order
    comes_at: np.ndarray  #: int64: places of new ones, in the order in which they were given
    order: np.ndarray | None = None  #: of new nonzeros, where these were given one by one

    @property
    def kept(self) -> np.ndarray:
        """Which nonzeros of the old pattern stay, bool."""
        return of_rows(self.old.groups, self.old.shape[0], self.old.group, self.stays)

    @property
    def kept_at(self) -> np.ndarray:
        """Which nonzeros of the new pattern these are, bool, in the same order."""
        new = self.pattern
        return of_rows(new.groups, new.shape[0], new.group, self.stays_at)

    @property
    def new_at(self) -> np.ndarray:
        """Places of the new positions, int64, in the order in which they were given."""
        new = self.pattern
        if new.group == 1:
            return self.comes_at
        places = places_of_rows(new.groups, new.shape[0], new.group, self.comes_at)
        places = places[places >= 0]
        return places if self.order is None else _as_given(np.sort(places), self.order)


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
    return Merge(old, Pattern(old.shape, *index, validate=False), keep, kept_at, new_at)


def merge_shared(old: Pattern, drop: np.ndarray, new_keys: np.ndarray) -> Merge:
    """Do as ``merge``, with shared columns; see ``Pattern.merge_shared``."""
    n_out, group, groups = old.shape[0], old.group, old.groups
    shared = merge(groups, drop, new_keys)
    if group == 1:
        return shared
    pattern = Pattern.of_groups(n_out, group, shared.pattern)
    return Merge(old, pattern, shared.stays, shared.stays_at, shared.comes_at)


def _merge_groups(
    old: Pattern, drop: np.ndarray, arrivals: np.ndarray, order: np.ndarray | None
) -> Merge:
    """Do as ``merge``, where drop and arrivals, which are sorted, must be whole shared columns."""
    n_out, n_in = old.shape
    gone = shared_places(drop, old.indptr, old.groups.indptr, old.group)
    found = merge_shared(old, gone, shared_keys(arrivals, n_out, n_in, old.group))
    return replace(found, order=np.arange(len(arrivals)) if order is None else order)


def _in_order(old: Pattern, new_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the keys of new positions in order, and where each was if not there; refuse others."""
    arrivals, order = integers(new_keys, "new positions"), None
    if (arrivals[1:] <= arrivals[:-1]).any():  # rules mostly give them in order
        order = np.argsort(arrivals, kind="stable")
        arrivals = arrivals[order]
    if len(arrivals) and (arrivals[0] < 0 or arrivals[-1] >= old.size):
        raise PatternError(f"new positions must lie in a {old.shape} matrix")
    if np.any(arrivals[1:] == arrivals[:-1]):
        raise PatternError("new positions must be distinct")
    return arrivals, order


def _as_given(places: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Return what sorted positions have, in the order in which they were given."""
    if order is None:
        return places
    found = np.empty_like(places)
    found[order] = places
    return found
