"""Sequences of tokens to one sample each, and back."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share


def plain_mean_of_tokens(x, place):
    """Return the mean of each sequence's tokens; x is (tokens, features), ``place`` has -1s."""
    return np.stack([x[row[row >= 0]].mean(axis=0) for row in place])


@kernel(inlined=True)
def _count(place, sequence, first):
    """Return how many tokens of a sequence count."""
    if first:
        return 1
    count = 0
    while count < place.shape[1] and place[sequence, count] >= 0:
        count += 1
    return count


@kernel(parallel=True)
def pool(team, x, place, first, y):
    """Write sample s of ``y`` as the mean of the tokens at ``place[s]``, or as the ``first``.

    Lanes of ``y`` without a sample become 0; places end with -1 where a sequence is shorter.
    """
    features, lanes = x.shape[1:]
    for f in share(team, features):
        y[:, f] = 0
        for sequence in range(place.shape[0]):
            count = _count(place, sequence, first)
            total = x.dtype.type(0)
            for t in range(count):
                here = place[sequence, t]
                total += x[here // lanes, f, here % lanes]
            y[sequence // lanes, f, sequence % lanes] = total / x.dtype.type(count)


@kernel(parallel=True)
def spread(team, dy, place, first, dx):
    """Write the gradient of what ``pool`` read: of each token that counts, its part of dy."""
    features, lanes = dx.shape[1:]
    for f in share(team, features):
        dx[:, f] = 0
        for sequence in range(place.shape[0]):
            count = _count(place, sequence, first)
            part = dy[sequence // lanes, f, sequence % lanes] / dy.dtype.type(count)
            for t in range(count):
                here = place[sequence, t]
                dx[here // lanes, f, here % lanes] = part
