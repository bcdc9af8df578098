"""Optimizer updates: one fused pass over vectors of length nnz.

``transposed[k] = data[perm[k]]`` is refreshed in the same call; both are empty where a parameter
has no transposed copy. A weight or a momentum below ``TINY`` becomes 0. Gradients are multiplied by
``scale`` as they are read, which is 1 where they are not clipped.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64

from sparsecpu.kernels.machine.compile import TINY, kernel
from sparsecpu.kernels.machine.team import share, stage
from sparsecpu.kernels.vectors.arithmetic import multiply_add
from sparsecpu.kernels.vectors.memory import at

#: Squares that are added up by one thread, one after the other.
PART = 1 << 14
#: Numbers from which on threads share an update.
_SHARED = 1 << 14


@kernel(parallel=True, alone_below=_SHARED)
def refresh(team, data, perm, transposed):
    """Write ``transposed = data[perm]``, as the updates below do too."""
    for k in share(team, transposed.shape[0]):
        transposed[k] = at(data, np.int64(at(perm, k)))


@kernel(parallel=True, reorders=True, alone_below=PART)
def _sums_of_squares(team, values, parts):
    """Write the sum of the squares of every ``PART`` values."""
    for part in share(team, parts.shape[0]):
        found = 0.0
        for k in range(part * PART, min((part + 1) * PART, values.shape[0])):
            value = float64(values[k])
            found += value * value
        parts[part] = found


@kernel()
def _total(parts):
    total = 0.0
    for part in range(parts.shape[0]):
        total += parts[part]
    return total


def sum_of_squares(values, parts):
    """Return the sum of the squares in float64, in one order on any number of threads.

    ``parts`` has room for the sum of every ``PART`` values.
    """
    _sums_of_squares(values, parts)
    return _total(parts)


def plain_sgd(w, g, v, rate, momentum, decay, nesterov):
    """Return the new weights and velocities."""
    g = g + decay * w
    v = momentum * v + g
    return w - rate * (g + momentum * v if nesterov else v), v


@kernel(parallel=True, stages=2, alone_below=_SHARED)
def sgd_update(
    team,
    data,
    grad,
    velocity,
    rate,
    momentum,
    decay,
    by_gradient,
    by_velocity,
    scale,
    perm,
    transposed,
):
    """Step by ``by_gradient g + by_velocity v``: ``0 g + 1 v``, or Nesterov's ``1 g + momentum v``.

    ``velocity`` may be ``grad`` itself where there is no momentum. No branches inside: each would
    double the code that is compiled.
    """
    zero, tiny = data.dtype.type(0), data.dtype.type(TINY)
    for k in share(team, data.shape[0] if stage(team) == 0 else 0):
        g = multiply_add(decay, data[k], scale * grad[k])
        v = momentum * velocity[k] + g
        velocity[k] = zero if abs(v) < tiny else v
        w = data[k] - rate * multiply_add(by_gradient, g, by_velocity * v)
        data[k] = zero if abs(w) < tiny else w  # written so that NaN stays NaN
    for k in share(team, transposed.shape[0] if stage(team) == 1 else 0):
        transposed[k] = at(data, np.int64(at(perm, k)))


def plain_adam(w, g, m, v, rate, beta1, beta2, epsilon, decay, decoupled, step):
    """Return the new weights and moments; ``decay`` is added to the gradient unless decoupled."""
    if decoupled:
        w = w - rate * decay * w
    else:
        g = g + decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    unbiased_m, unbiased_v = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - rate * unbiased_m / (np.sqrt(unbiased_v) + epsilon), m, v


@kernel(parallel=True, stages=2, alone_below=_SHARED)
def adam_update(
    team, data, grad, first, second, rate, beta1, beta2, epsilon, decay, decoupled, step, scale,
    perm, transposed,
):  # fmt: skip
    """Do as ``plain_adam``, in place: ``first`` and ``second`` are the moments."""
    correct1 = data.dtype.type(1 - math.pow(beta1, step))
    correct2 = data.dtype.type(1 - math.pow(beta2, step))
    zero, tiny = data.dtype.type(0), data.dtype.type(TINY)
    one = data.dtype.type(1)
    for k in share(team, data.shape[0] if stage(team) == 0 else 0):
        w = data[k]
        g = scale * grad[k]
        if decoupled:
            w -= rate * decay * w
        else:
            g = multiply_add(decay, w, g)
        m = multiply_add(one - beta1, g, beta1 * first[k])
        v = multiply_add((one - beta2) * g, g, beta2 * second[k])
        first[k] = zero if abs(m) < tiny else m
        second[k] = zero if v < tiny else v
        w -= rate * (m / correct1) / (math.sqrt(v / correct2) + epsilon)
        data[k] = zero if abs(w) < tiny else w
    for k in share(team, transposed.shape[0] if stage(team) == 1 else 0):
        transposed[k] = at(data, np.int64(at(perm, k)))
