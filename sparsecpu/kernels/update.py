"""Optimizer updates: one fused pass over vectors of length nnz.

``transposed[k] = data[perm[k]]`` is refreshed in the same call; both are empty where a parameter
has no transposed copy. A weight or a momentum below ``TINY`` becomes 0.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from sparsecpu.kernels.machine.compile import TINY, kernel
from sparsecpu.kernels.vectors.memory import at


@kernel(parallel=True)
def refresh(data, perm, transposed):
    """``transposed = data[perm]``: what the updates below do in passing, alone."""
    for k in prange(transposed.shape[0]):
        transposed[k] = at(data, np.int64(at(perm, k)))


@kernel(parallel=True)
def sgd_update(
    data, grad, velocity, rate, momentum, decay, by_gradient, by_velocity, perm, transposed
):
    """``g += decay w``, ``v = momentum v + g``, ``w -= rate (by_gradient g + by_velocity v)``.

    ``velocity`` may be ``grad`` itself where there is no momentum. No branches inside: each would
    double the code that is compiled.
    """
    zero, tiny = data.dtype.type(0), data.dtype.type(TINY)
    for k in prange(data.shape[0]):
        g = grad[k] + decay * data[k]
        v = momentum * velocity[k] + g
        velocity[k] = zero if abs(v) < tiny else v
        w = data[k] - rate * (by_gradient * g + by_velocity * v)
        data[k] = zero if abs(w) < tiny else w  # written so that NaN stays NaN
    for k in prange(transposed.shape[0]):
        transposed[k] = at(data, np.int64(at(perm, k)))


@kernel(parallel=True)
def adam_update(
    data, grad, first, second, rate, beta1, beta2, epsilon, decay, decoupled, step, perm, transposed
):
    """``w -= rate m' / (sqrt(v') + epsilon)`` with bias-corrected moments ``m'`` and ``v'``.

    ``decay`` is added to the gradient, or taken off the weight directly where ``decoupled``.
    """
    correct1 = data.dtype.type(1 - math.pow(beta1, step))
    correct2 = data.dtype.type(1 - math.pow(beta2, step))
    zero, tiny = data.dtype.type(0), data.dtype.type(TINY)
    one = data.dtype.type(1)
    for k in prange(data.shape[0]):
        w = data[k]
        g = grad[k]
        if decoupled:
            w -= rate * decay * w
        else:
            g += decay * w
        m = beta1 * first[k] + (one - beta1) * g
        v = beta2 * second[k] + (one - beta2) * g * g
        first[k] = zero if abs(m) < tiny else m
        second[k] = zero if v < tiny else v
        w -= rate * (m / correct1) / (math.sqrt(v / correct2) + epsilon)
        data[k] = zero if abs(w) < tiny else w
    for k in prange(transposed.shape[0]):
        transposed[k] = at(data, np.int64(at(perm, k)))
