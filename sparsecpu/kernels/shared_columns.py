"""What goes to and fro between shared columns and the nonzeros of their rows.

``indptr`` is that of the groups; with n columns in group g, the value of its row r and of shared
column k lies at ``k + (G - 1) * indptr[g] + r * n``, for all groups before it have G rows.
"""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share


@kernel(parallel=True)
def to_rows(team, indptr, values, group, n_out, out):
    """Write what each shared column has to all of its rows: ``out`` is as long as they are."""
    for g in share(team, indptr.shape[0] - 1):
        first, end = indptr[g], indptr[g + 1]
        for r in range(min(group, n_out - g * group)):
            to = first + (group - 1) * first + r * (end - first)
            for k in range(first, end):
                out[to + k - first] = values[k]


@kernel(parallel=True)
def magnitudes(team, indptr, values, group, n_out, squares, out):
    """Write the sum of magnitudes (or of squares) that each shared column has in its rows."""
    for g in share(team, indptr.shape[0] - 1):
        first, end = indptr[g], indptr[g + 1]
        for k in range(first, end):
            out[k] = 0
        for r in range(min(group, n_out - g * group)):
            at = first + (group - 1) * first + r * (end - first)
            for k in range(first, end):
                value = values[at + k - first]
                out[k] += value * value if squares else abs(value)


@kernel()
def move(old, new, stays, stays_at, indptr, new_indptr, group, n_out):
    """Write what of a vector stays when shared columns go and others come; 0 for these.

    ``stays`` says which of the columns of ``indptr`` do, ``stays_at`` which of the columns of
    ``new_indptr`` these are, in the same order.
    """
    most = 0
    for g in range(indptr.shape[0] - 1):
        most = max(most, indptr[g + 1] - indptr[g])
    source, target = np.empty(most + 1, np.int32), np.empty(most + 1, np.int32)
    for g in range(indptr.shape[0] - 1):
        first, begin = indptr[g], new_indptr[g]
        n, new_n, kept, here = indptr[g + 1] - first, new_indptr[g + 1] - begin, 0, 0
        for k in range(n):  # without a branch that nobody could foretell
            source[kept] = k
            kept += stays[first + k]
        for k in range(new_n):
            target[here] = k
            here += stays_at[begin + k]
        for r in range(min(group, n_out - g * group)):
            at, to = group * first + r * n, group * begin + r * new_n
            for k in range(to, to + new_n):
                new[k] = 0
            for k in range(kept):
                new[to + target[k]] = old[at + source[k]]


@kernel()
def fold(tile, group, squares, out):
    """Write the mean magnitude (or the root of the mean square) of each group of a tile's rows.

    A last group may have fewer rows.
    """
    for g in range(out.shape[0]):
        rows = min(group, tile.shape[0] - g * group)
        part = tile.dtype.type(1) / tile.dtype.type(rows)
        for c in range(out.shape[1]):
            out[g, c] = 0
        for r in range(g * group, g * group + rows):
            for c in range(out.shape[1]):
                value = tile[r, c]
                out[g, c] += value * value if squares else abs(value)
        for c in range(out.shape[1]):
            out[g, c] = math.sqrt(out[g, c] * part) if squares else out[g, c] * part


def plain_fold(tile: np.ndarray, group: int, squares: bool) -> np.ndarray:
    """Return what ``fold`` writes."""
    parts = [tile[first : first + group] for first in range(0, len(tile), group)]
    if squares:
        return np.array([np.sqrt((part * part).mean(axis=0)) for part in parts])
    return np.array([np.abs(part).mean(axis=0) for part in parts])


def plain_to_rows(indptr: np.ndarray, values: np.ndarray, group: int, n_out: int) -> np.ndarray:
    """Return what ``to_rows`` writes."""
    parts = [values[indptr[i // group] : indptr[i // group + 1]] for i in range(n_out)]
    return np.concatenate(parts)


def plain_magnitudes(
    indptr: np.ndarray, values: np.ndarray, group: int, n_out: int, squares: bool
) -> np.ndarray:
    """Return what ``magnitudes`` writes."""
    out, at = np.zeros(indptr[-1], values.dtype), 0
    for i in range(n_out):
        first, end = indptr[i // group], indptr[i // group + 1]
        part = values[at : at + end - first]
        out[first:end] += part * part if squares else np.abs(part)
        at += end - first
    return out


def plain_move(
    old: np.ndarray, stays: np.ndarray, stays_at: np.ndarray, indptr: np.ndarray,
    new_indptr: np.ndarray, group: int, n_out: int,
) -> np.ndarray:  # fmt: skip
    """Return what ``move`` writes."""
    kept, here = (plain_to_rows(*given, group, n_out) for given in
                  ((indptr, stays), (new_indptr, stays_at)))  # fmt: skip
    new = np.zeros(len(here), old.dtype)
    new[here] = old[kept]
    return new
