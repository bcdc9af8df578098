"""Rows of tables, written into lanes: what tokens mean, and where they stand."""

from __future__ import annotations

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share

#: Features that a thread takes at once: a cache line of them.
_FEATURES = 16


def plain_embedding(tokens, table):
    """Return the rows of a table that tokens stand for, as (features, tokens)."""
    return table[tokens].T


@kernel(parallel=True)
def add_rows(team, tokens, table, y, adds):
    """Write ``y[t, f, l] = table[tokens[t * lanes + l], f]``, or add it if ``adds``."""
    tiles, features, lanes = y.shape
    for tile in share(team, tiles):
        for lane in range(lanes):
            row = tokens[tile * lanes + lane]
            for f in range(features):
                if adds:
                    y[tile, f, lane] += table[row, f]
                else:
                    y[tile, f, lane] = table[row, f]


@kernel(parallel=True)
def sum_rows(team, tokens, dy, grad):
    """Write ``grad[r, f] = sum of dy[t, f, l] over the lanes whose token is r``, in their order."""
    tiles, features, lanes = dy.shape
    for part in share(team, (features + _FEATURES - 1) // _FEATURES):
        first, end = part * _FEATURES, min((part + 1) * _FEATURES, features)
        grad[:, first:end] = 0
        for tile in range(tiles):
            for f in range(first, end):
                for lane in range(lanes):
                    grad[tokens[tile * lanes + lane], f] += dy[tile, f, lane]


@kernel(parallel=True)
def sparse_rows(team, tokens, indptr, indices, data, y):
    """Write the rows of a sparse table that tokens stand for; 0 where a row has nothing."""
    tiles, _, lanes = y.shape
    for tile in share(team, tiles):
        y[tile] = 0
        for lane in range(lanes):
            row = tokens[tile * lanes + lane]
            for k in range(indptr[row], indptr[row + 1]):
                y[tile, indices[k], lane] = data[k]


@kernel(parallel=True)
def sum_at(team, rows, bounds, order, dy, indptr, indices, grad):
    """Write the gradient at the positions of a pattern, in the rows that occur.

    Row ``rows[i]`` occurs in the lanes ``order[bounds[i] : bounds[i + 1]]``, which are summed up in
    this order.
    """
    lanes = dy.shape[2]
    for i in share(team, rows.shape[0]):
        first, end = indptr[rows[i]], indptr[rows[i] + 1]
        grad[first:end] = 0
        for t in range(bounds[i], bounds[i + 1]):
            tile, lane = order[t] // lanes, order[t] % lanes
            for k in range(first, end):
                grad[k] += dy[tile, indices[k], lane]
