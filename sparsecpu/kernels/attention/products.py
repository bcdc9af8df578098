"""Products of strips, which are all that attention multiplies, and where strips are."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.attention.rows import rescaled
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import count
from sparsecpu.kernels.vectors.bundles import add_to_rows, load_rows, store_rows
from sparsecpu.kernels.vectors.memory import load_like


@kernel(inlined=True)
def add_steps(sums, x, at, row, step, y, here, along, steps):
    """Return sums with numbers of x times vectors of y added, step by step.

    Row r of the bundle gets ``x[at + r * row + s * step]`` times the vector of y that begins at
    ``here + s * along``. Four steps share the counting.
    """
    done = np.int64(0)
    while done + 4 <= steps:
        sums = add_to_rows(sums, x, at, row, load_like(y, here, sums[0]))
        sums = add_to_rows(sums, x, at + step, row, load_like(y, here + along, sums[0]))
        at, here = at + 2 * step, here + 2 * along
        sums = add_to_rows(sums, x, at, row, load_like(y, here, sums[0]))
        sums = add_to_rows(sums, x, at + step, row, load_like(y, here + along, sums[0]))
        at, here, done = at + 2 * step, here + 2 * along, done + 4
    while done < steps:
        sums = add_to_rows(sums, x, at, row, load_like(y, here, sums[0]))
        at, here, done = at + step, here + along, done + 1
    return sums


@kernel(inlined=True)
def dots_over_features(zeros, x, x_base, y, y_base, size, lanes):
    """Return the dot products of a few tokens of x, from ``x_base`` on, with a strip of y."""
    one = np.int64(1)
    return add_steps(zeros, x, x_base, one, lanes, y, y_base, lanes, size)


@kernel(inlined=True)
def add_products(rows, one, factor, out, out_base, x, x_base, keys, size, lanes, square, start):
    """Write ``factor * out + x square``, feature by feature, for a strip of tokens.

    ``square`` has a row for each of so many tokens of x, from ``start`` on, and as many lanes as
    ``factor``.
    """
    f, width, step = np.int64(0), np.int64(count(factor)), np.int64(1)
    while f + len(rows) <= size:
        here, there = out_base + f * lanes, x_base + f * lanes
        found = rescaled(load_rows(out, here, lanes, rows), factor)
        found = add_steps(found, x, there, lanes, step, square, start, width, keys)
        store_rows(out, here, lanes, found)
        f += len(rows)
    while f < size:
        here, there = out_base + f * lanes, x_base + f * lanes
        found = rescaled(load_rows(out, here, lanes, one), factor)
        found = add_steps(found, x, there, lanes, step, square, start, width, keys)
        store_rows(out, here, lanes, found)
        f += 1


@kernel(inlined=True)
def place_of(strip, features, feature, lanes, parts, width):
    """Return where a feature of a strip begins."""
    tile, part = np.int64(strip) // parts, np.int64(strip) % parts
    return (tile * features + feature) * lanes + part * width


@kernel(inlined=True)
def meets(low, high, least, most):
    """Return True if tokens of two strips may belong to one sequence.

    Their sequences have numbers from ``low`` to ``high``, and from ``least`` to ``most``.
    """
    return not (high < least or most < low or high < 0 or most < 0)


@kernel(inlined=True)
def is_mixed(low, high, least, most):
    """Return True if tokens of two strips do not all belong to one sequence."""
    return min(low, least) != max(high, most) or min(low, least) < 0
