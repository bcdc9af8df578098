"""Batch normalisation per feature, on lane-tiled arrays; only real samples count."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share


def plain_batch_norm(x, gamma, beta, epsilon):
    """Return ``gamma (x - mean) / sqrt(variance + epsilon) + beta``; x is (samples, features)."""
    h = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon)
    return gamma * h + beta


@kernel(parallel=True, reorders=True)
def batch_statistics(team, x, n_valid, mean, variance):
    """Write the mean and the (biased) variance of each feature over the batch, in two passes."""
    tiles, features, lanes = x.shape
    for f in share(team, features):
        summed = 0.0
        for tile in range(tiles):
            for lane in range(min(lanes, n_valid - tile * lanes)):
                summed += x[tile, f, lane]
        centre = summed / n_valid
        squares = 0.0
        for tile in range(tiles):
            for lane in range(min(lanes, n_valid - tile * lanes)):
                d = x[tile, f, lane] - centre
                squares += d * d
        mean[f] = centre
        variance[f] = squares / n_valid


@kernel(parallel=True)
def normalise(team, x, mean, variance, epsilon, gamma, beta, y):
    """Write ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta``; mean is float64.

    It is computed as ``(x - centre) scale + shift``, where the centre is the mean in the type of x:
    of ``x scale`` by itself, rounding errors would be left when the shift has taken the rest away.
    """
    tiles, features, lanes = x.shape
    for f in share(team, features):
        factor = gamma[f] / math.sqrt(variance[f] + epsilon)
        scale, centre = x.dtype.type(factor), x.dtype.type(mean[f])
        shift = x.dtype.type(beta[f] - (mean[f] - centre) * factor)
        for tile in range(tiles):
            for lane in range(lanes):
                y[tile, f, lane] = (x[tile, f, lane] - centre) * scale + shift


def plain_batch_norm_backward(x, dy, gamma, epsilon):
    """Return dx, dgamma and dbeta of ``plain_batch_norm``, through its mean and variance too."""
    deviation = np.sqrt(x.var(axis=0) + epsilon)
    h = (x - x.mean(axis=0)) / deviation
    dx = gamma / deviation * (dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0))
    return dx, (dy * h).sum(axis=0), dy.sum(axis=0)


@kernel(parallel=True, reorders=True)
def normalise_backward(
    team, x, dy, n_valid, mean, variance, epsilon, gamma, batch, dgamma, dbeta, dx
):
    """Write the gradients of ``normalise``, through the statistics only where ``batch``.

    dx is linear in dy and x, ``a dy + b (x - centre) + c`` for each feature, the centre as in
    ``normalise``: one pass once the sums are known.
    """
    tiles, features, lanes = x.shape
    for f in share(team, features):
        inverse = 1 / math.sqrt(variance[f] + epsilon)
        sum_dy = 0.0
        sum_dy_h = 0.0
        for tile in range(tiles):
            for lane in range(min(lanes, n_valid - tile * lanes)):
                d = dy[tile, f, lane]
                sum_dy += d
                sum_dy_h += d * (x[tile, f, lane] - mean[f]) * inverse
        dgamma[f] = sum_dy_h
        dbeta[f] = sum_dy
        factor = gamma[f] * inverse
        tilt = -factor * inverse * sum_dy_h / n_valid if batch else 0.0
        a, b, centre = x.dtype.type(factor), x.dtype.type(tilt), x.dtype.type(mean[f])
        c = x.dtype.type(-factor * sum_dy / n_valid - tilt * (mean[f] - centre) if batch else 0.0)
        for tile in range(tiles):
            real = min(lanes, n_valid - tile * lanes)
            for lane in range(real):
                dx[tile, f, lane] = a * dy[tile, f, lane] + b * (x[tile, f, lane] - centre) + c
            for lane in range(max(real, 0), lanes):
                dx[tile, f, lane] = 0
