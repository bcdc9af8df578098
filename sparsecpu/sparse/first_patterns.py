"""First patterns: at random, with the same number of weights per output, or as small worlds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry
from sparsecpu.registries.names import read_name
from sparsecpu.registries.numbers import whole
from sparsecpu.sparse.apportioning import round_to_total
from sparsecpu.sparse.drawing import draw_groups
from sparsecpu.sparse.format import INT32_MAX
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern

#: Fraction of a small world's weights that are moved to a random input.
_REWIRED = 0.1


def constant_fan_in(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> Pattern:
    """Draw a pattern whose outputs have the same number of weights, give or take one."""
    n_out, n_in = shape
    fan_in = np.full(n_out, nnz // n_out)
    fan_in[rng.permutation(n_out)[: nnz % n_out]] += 1
    rows = [np.sort(rng.choice(n_in, count, replace=False, shuffle=False)) for count in fan_in]
    indptr = np.concatenate([[0], np.cumsum(fan_in)])
    return Pattern(shape, indptr, np.concatenate(rows), validate=False)


def small_world(shape: tuple[int, int], nnz: int, rng: np.random.Generator) -> Pattern:
    """Draw a pattern of neighbours on a ring, a tenth of which are moved to random inputs.

    Output i sees the inputs around ``i n_in / n_out``; for inputs without an order, such as the
    features of a table, the neighbourhood means nothing but is as good as another.

    Notes
    -----
    Watts and Strogatz, Collective dynamics of small-world networks (1998), between two layers.
    """
    n_out, n_in = shape
    even = np.full(n_out, nnz / n_out)
    fan_in = round_to_total(even, nnz, np.zeros(n_out, int), np.full(n_out, n_in))
    first = np.arange(n_out) * n_in // n_out - fan_in // 2
    rows = np.repeat(np.arange(n_out), fan_in)
    place = np.arange(nnz) - np.repeat(np.cumsum(fan_in) - fan_in, fan_in)
    keys = np.sort(rows * n_in + (np.repeat(first, fan_in) + place) % n_in)
    moved = np.flatnonzero(rng.random(nnz) < _REWIRED)
    keys = np.delete(keys, moved)
    while len(keys) < nnz:  # a moved weight stays at its output, as far as there is room
        need = fan_in - np.bincount(keys // n_in, minlength=n_out)
        rows = np.repeat(np.arange(n_out), need)
        fresh = rows * n_in + rng.integers(n_in, size=len(rows))
        keys = sorted_once(keys, fresh)
    return Pattern.from_keys(shape, keys)


#: How a layer's first pattern is drawn, by the name that users give.
PATTERNS: Registry[Callable[[tuple[int, int], int, np.random.Generator], Pattern]] = Registry(
    "pattern",
    {"random": Pattern.random, "constant-fan-in": constant_fan_in, "small-world": small_world},
    "patterns",
    {"random": "Any positions, all of them as likely."},
)


def first_pattern(
    shape: tuple[int, int],
    nnz: int,
    rng: np.random.Generator,
    kind: str | Pattern,
    group: int = 1,
) -> Pattern:
    """Return a layer's first pattern: a given one, or one of ``nnz`` weights drawn by its name.

    Where rows stand in groups, a pattern of the groups is drawn; a full one has none. A given one
    has groups of its own, which must be those that are asked for, if any are.
    """
    group = checked_group(group)
    if isinstance(kind, Pattern):
        return _given(kind, shape, group)
    nnz = whole("nnz", nnz, 0, min(shape[0] * shape[1], INT32_MAX))
    draw = PATTERNS[read_name("pattern", kind, PATTERNS, "patterns", ", or a Pattern")]
    if nnz == shape[0] * shape[1]:
        return Pattern.full(shape)
    if group == 1:
        return draw(shape, nnz, rng)
    found = draw_groups(shape, nnz, group, lambda part, count: draw(part, count, rng))
    return Pattern.full(shape) if found.is_full else found


def _given(pattern: Pattern, shape: tuple[int, int], group: int) -> Pattern:
    if pattern.shape != shape:
        raise ParameterError("pattern", pattern.shape, f"a pattern of shape {shape}")
    if pattern.group != group > 1 and not pattern.is_full:
        raise ParameterError(
            "pattern", pattern, f"a pattern with group={group}, or no group beside it"
        )
    return pattern
