"""Rows in groups: what becomes of positions and vectors when neighbouring rows share their columns.

Rows ``g * group`` to ``g * group + group - 1`` are group g; the last one may have fewer. A *shared
column* is a nonzero of the pattern of groups, ``(groups, n_in)``; it stands for a nonzero in each
row of its group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.registries.numbers import is_number
from sparsecpu.sparse.keys import contained, sorted_once
from sparsecpu.sparse.row_blocks import RowIndex

#: Sizes that a group may have.
SIZES = (1, 2, 4, 8)


def rows_of_groups(n_out: int, group: int) -> np.ndarray:
    """Return how many rows each group has, int64."""
    rows = np.full(-(-n_out // group), group, dtype=np.int64)
    rows[-1] -= len(rows) * group - n_out
    return rows


def indptr_of_rows(groups: RowIndex, n_out: int, group: int) -> np.ndarray:
    """Return the ``indptr`` of the rows of some groups, int64, shape (n_out + 1,)."""
    fan_in = np.repeat(np.diff(groups.indptr), rows_of_groups(n_out, group))
    indptr = np.zeros(n_out + 1, dtype=np.int64)
    np.cumsum(fan_in, out=indptr[1:])
    return indptr


def of_rows(groups: RowIndex, n_out: int, group: int, values: np.ndarray) -> np.ndarray:
    """Return what the shared columns have, for each nonzero of their rows."""
    if group == 1:
        return values
    from sparsecpu.kernels.shared_columns import to_rows

    out = np.empty(int(rows_of_groups(n_out, group) @ np.diff(groups.indptr)), values.dtype)
    to_rows(groups.indptr, values, group, n_out, out)
    return out


def shared_index(
    indptr: np.ndarray, indices: np.ndarray, group: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the groups of some rows; refuse rows that do not share their columns."""
    n_out = len(indptr) - 1
    firsts = np.arange(0, n_out, group)
    fan_in = np.diff(indptr)
    leader = np.repeat(firsts, rows_of_groups(n_out, group))
    unlike = np.flatnonzero(fan_in != fan_in[leader])
    if not len(unlike):
        # Each nonzero beside that of the first row of its group.
        back = np.repeat(indptr[:-1] - indptr[leader], fan_in)
        wrong = np.flatnonzero(indices != indices[np.arange(len(indices)) - back])
        unlike = np.searchsorted(indptr, wrong[:1], side="right") - 1
    if len(unlike):
        row = int(unlike[0])
        raise PatternError(
            f"rows {leader[row]} and {row} have other columns; expected the same in each group of "
            f"{group} rows"
        )
    shared = np.zeros(len(firsts) + 1, dtype=np.int64)
    np.cumsum(fan_in[firsts], out=shared[1:])
    keep = np.repeat(leader == np.arange(n_out), fan_in)
    return shared, indices[keep]


def shared_keys(keys: np.ndarray, n_out: int, n_in: int, group: int) -> np.ndarray:
    """Return the keys of groups that stand for sorted, distinct keys of nonzeros, sorted.

    Refuses what is not whole shared columns.
    """
    rows, column = np.divmod(keys, n_in)
    g = rows // group
    return _each_once(g * n_in + column, g, n_out, group)


def shared_places(
    places: np.ndarray, indptr: np.ndarray, indptr_of_groups: np.ndarray, group: int
) -> np.ndarray:
    """Return the places of the shared columns that some nonzeros are of, sorted.

    Refuses what is not whole shared columns. ``indptr`` is that of the rows.
    """
    n_out, places = len(indptr) - 1, sorted_once(places.astype(np.int64))
    rows = np.searchsorted(indptr, places, side="right") - 1
    g = rows // group
    return _each_once(indptr_of_groups[g] + places - indptr[rows], g, n_out, group)


def _each_once(shared: np.ndarray, g: np.ndarray, n_out: int, group: int) -> np.ndarray:
    """Return numbers of shared columns once each, of which there is one per row of a group g."""
    order = np.argsort(shared, kind="stable")
    shared, g = shared[order], g[order]
    first = np.ones(len(shared), dtype=bool)
    np.not_equal(shared[1:], shared[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    held = np.diff(starts, append=len(shared))
    if not np.array_equal(held, np.minimum(group, n_out - g[starts] * group)):
        raise PatternError(
            f"rows stand in groups of {group}, which share their columns; expected whole groups"
        )
    return shared[starts]


def checked_group(group: Any) -> int:
    """Return the size of a group; refuse what is none."""
    if not is_number(group) or group not in SIZES:
        raise ParameterError("group", group, f"one of {', '.join(map(str, SIZES))}")
    return int(group)


def with_group(options: dict[str, Any], group: int) -> dict[str, Any]:
    """Return a layer's options with a group; rows that stand alone go without saying."""
    rest = {name: value for name, value in options.items() if name != "group"}
    return rest if checked_group(group) == 1 else {**rest, "group": int(group)}


def nearest_columns(nnz: int, n_out: int, n_in: int, group: int) -> tuple[int, int]:
    """Return how many shared columns come nearest to so many nonzeros, but not to none.

    Those of all groups of full size together, and those of a last group that has fewer rows, which
    gets as many as its rows have elsewhere.
    """
    full, rest = divmod(n_out, group)
    few = min(round(nnz / n_out), n_in) if rest else 0
    count = min(round((nnz - few * rest) / group), full * n_in)
    if nnz and not count and not few:
        return (1, 0) if full else (0, 1)
    return count, few


def nearest_nnz(nnz: int, n_out: int, n_in: int, group: int) -> int:
    """Return the number of nonzeros nearest to a wanted one that a pattern in groups can have."""
    count, few = nearest_columns(nnz, n_out, n_in, group)
    return count * group + few * (n_out % group)


def places_of_rows(groups: RowIndex, n_out: int, group: int, places: np.ndarray) -> np.ndarray:
    """Return where the values of some shared columns lie: a row of the result for each.

    int64, shape (len(places), group); -1 where the last group has no such row.
    """
    g = np.searchsorted(groups.indptr, places, side="right") - 1
    first, n = groups.indptr[g], groups.indptr[g + 1] - groups.indptr[g]
    r = np.arange(group)
    found = (places + (group - 1) * first)[:, None] + r * n[:, None]
    found[(g * group)[:, None] + r >= n_out] = -1
    return found


def contained_in_rows(groups: RowIndex, n_in: int, group: int, keys: np.ndarray) -> np.ndarray:
    """Return which of some sorted keys of nonzeros the groups have, bool, one per key."""
    rows, column = np.divmod(keys, n_in)
    found = np.zeros(len(keys), dtype=bool)
    for r in range(group):  # keys of the r-th rows of all groups are in order
        here = rows % group == r
        shared = rows[here] // group * n_in + column[here]
        found[here] = contained(groups.indptr, groups.indices, n_in, shared)
    return found
