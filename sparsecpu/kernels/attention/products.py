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
def _add_square(sums, x, bases, keys, lanes, square, start, like):
    """Return sums with ``x square`` added for the features of a bundle."""
    width, step = np.int64(count(like)), np.int64(1)
    if keys > width:
        sums = add_steps(sums, x, bases[0], lanes, step, square, start, width, width)
        start += width * width
    return add_steps(sums, x, bases[1], lanes, step, square, start, width, width)


@kernel(inlined=True)
def add_products(rows, one, factor, out, out_base, x, bases, keys, size, lanes, square, start):
    """Write ``factor * out + x square``, feature by feature, for a strip of tokens.

    ``square`` has a row for each token of one strip of x, or of two, from ``start`` on, and as many
    lanes. The strips of x begin at ``bases``, of which one strip has the second.
    """
    f = np.int64(0)
    while f + len(rows) <= size:
        here, row = out_base + f * lanes, f * lanes
        found = rescaled(load_rows(out, here, lanes, rows), factor)
        at = (bases[0] + row, bases[1] + row)
        found = _add_square(found, x, at, keys, lanes, square, start, factor)
        store_rows(out, here, lanes, found)
        f += len(rows)
    while f < size:
        here, row = out_base + f * lanes, f * lanes
        found = rescaled(load_rows(out, here, lanes, one), factor)
        at = (bases[0] + row, bases[1] + row)
        found = _add_square(found, x, at, keys, lanes, square, start, factor)
        store_rows(out, here, lanes, found)
        f += 1


@kernel(inlined=True)
def place_of(strip, features, feature, lanes, parts, width):
    """Return where a feature of a strip begins."""
    tile, part = np.int64(strip) // parts, np.int64(strip) % parts
    return (tile * features + feature) * lanes + part * width


@kernel(inlined=True)
def meets(strip, other, least, most):
    """Return True if tokens of two strips may belong to one sequence."""
    apart = most[strip] < least[other] or most[other] < least[strip]
    return not (apart or most[strip] < 0 or most[other] < 0)


@kernel(inlined=True)
def is_mixed(strip, other, least, most):
    """Return True if tokens of two strips do not all belong to one sequence."""
    low, high = min(least[strip], least[other]), max(most[strip], most[other])
    return low != high or low < 0
