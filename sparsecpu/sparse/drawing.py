"""Patterns drawn at random, uniformly among all with so many nonzeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.registries.numbers import whole
from sparsecpu.sparse.format import INT32_MAX, matrix_shape
from sparsecpu.sparse.groups import checked_group, nearest_columns
from sparsecpu.sparse.keys import SLAB, distinct_keys, draw_rows
from sparsecpu.sparse.pattern import Pattern


def random_pattern(shape: Any, nnz: int, rng: np.random.Generator, group: int) -> Pattern:
    """Draw a pattern; see ``Pattern.random``.

    Distinct 64-bit keys ``i * n_in + j`` are drawn (their complement, where more than half are
    kept). Where there are very many, slab by slab: draws with replacement are divided among the
    slabs, repeated ones are dropped, and what is missing then is drawn again, which is uniform,
    too.
    """
    shape = matrix_shape(shape)
    size = shape[0] * shape[1]
    nnz = whole("nnz", nnz, 0, min(size, INT32_MAX))
    if checked_group(group) > 1:
        return draw_groups(shape, nnz, group, lambda part, n: random_pattern(part, n, rng, 1))
    if nnz > SLAB and 2 * nnz <= size:
        return _random_in_slabs(shape, nnz, rng)
    if 2 * nnz <= size:
        return Pattern.from_keys(shape, distinct_keys(size, nnz, rng))
    left_out = distinct_keys(size, size - nnz, rng)
    return Pattern.from_keys(shape, np.delete(np.arange(size, dtype=np.int64), left_out))


def _random_in_slabs(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> Pattern:
    """Draw a large sparse pattern; see ``random_pattern``."""
    pattern = Pattern(shape, *draw_rows(shape, nnz, rng), validate=False)
    while pattern.nnz < nnz:
        fresh = distinct_keys(pattern.size, nnz - pattern.nnz, rng)
        fresh = fresh[~pattern.contains(fresh)]
        pattern = pattern.merge(np.empty(0, dtype=np.int64), fresh).pattern
    return pattern


def draw_groups(
    shape: tuple[int, int], nnz: int, group: int, draw: Callable[..., Pattern]
) -> Pattern:
    """Draw the columns of groups, so many that ``nnz`` comes as near as it can.

    ``draw(shape, nnz)`` draws a pattern; a last group that has fewer rows is drawn apart.
    """
    n_out, n_in = shape
    full, rest = divmod(n_out, group)
    count, few = nearest_columns(nnz, n_out, n_in, group)
    parts = [draw((full, n_in), count)] if full else []
    parts += [draw((1, n_in), few)] if rest else []
    indptr = np.concatenate([[0], *(part.fan_in for part in parts)]).cumsum()
    indices = np.concatenate([part.indices for part in parts])
    return Pattern.of_groups(
        n_out, group, Pattern((len(indptr) - 1, n_in), indptr, indices, validate=False)
    )
