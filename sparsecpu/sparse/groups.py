"""Rows in groups: what becomes of positions and vectors when neighbouring rows share their columns.

Rows ``g * group`` to ``g * group + group - 1`` are group g; the last one may have fewer. A *shared
column* is a nonzero of the pattern of groups, ``(groups, n_in)``; it stands for a nonzero in each
row of its group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
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
    from sparsecpu.kernels.shared_columns import to_rows

    count = int(rows_of_groups(n_out, group) @ np.diff(groups.indptr))
    out = np.empty(count, values.dtype)
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


def keys_of_rows(keys: np.ndarray, n_out: int, n_in: int, group: int) -> np.ndarray:
    """Return the keys of the nonzeros that some keys of groups stand for, row by row of each."""
    g, column = np.divmod(keys, n_in)
    rows = g[:, None] * group + np.arange(group)
    found = rows * n_in + column[:, None]
    return found[rows < n_out]


def shared_keys(keys: np.ndarray, n_out: int, n_in: int, group: int) -> np.ndarray:
    """Return the keys of groups that stand for keys of nonzeros, sorted; refuse parts of groups."""
    rows, column = np.divmod(keys, n_in)
    shared = np.sort(rows[rows % group == 0] // group * n_in + column[rows % group == 0])
    if not np.array_equal(np.sort(keys), np.sort(keys_of_rows(shared, n_out, n_in, group))):
        raise PatternError(
            f"rows stand in groups of {group}, which share their columns; expected whole groups"
        )
    return shared


def checked_group(group: Any) -> int:
    """Return the size of a group; refuse what is none."""
    if isinstance(group, bool) or group not in SIZES:
        raise ParameterError("group", group, f"one of {', '.join(map(str, SIZES))}")
    return int(group)


def with_group(options: dict[str, Any], group: int) -> dict[str, Any]:
    """Return a layer's options with a group; rows that stand alone go without saying."""
    rest = {name: value for name, value in options.items() if name != "group"}
    return rest if checked_group(group) == 1 else {**rest, "group": int(group)}


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
