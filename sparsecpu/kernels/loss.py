"""Losses and their gradients on lane-tiled outputs.

Each kernel fills ``dz`` with the gradient of ``scale * sum(weight * loss)`` and ``tile_loss`` with
that sum per tile, in a fixed order; lanes after the last sample, and gradients below ``TINY``, are
0. ``targets`` is indexed by ``rows[sample]``, as the features are; an empty ``weights`` counts as
ones. One thread does it: outputs are few, and threads would triple the time to compile.

The definitions take one sample: ``z`` is its scores; they return its loss and the gradient.
"""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.kernels.machine.compile import TINY, kernel


def plain_softmax_cross_entropy(z, target, smoothing):
    """Return ``-sum(q log p)`` and its gradient; ``target`` is a class number."""
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    q = np.full(len(z), smoothing / len(z))
    q[target] += 1 - smoothing
    return -(q * np.log(p)).sum(), p - q


@kernel()
def softmax_cross_entropy(z, rows, targets, weights, smoothing, scale, dz, tile_loss):
    """Do as ``plain_softmax_cross_entropy``, without a logarithm of 0."""
    tiles, classes, lanes = z.shape
    for tile in range(tiles):
        summed = 0.0
        for lane in range(lanes):
            sample = tile * lanes + lane
            row = rows[sample] if sample < rows.shape[0] else -1
            weight = z.dtype.type(scale)
            if row >= 0 and weights.shape[0] > 0:
                weight *= z.dtype.type(weights[row])
            if row < 0 or weight == 0:
                for c in range(classes):
                    dz[tile, c, lane] = 0
                continue
            largest = z[tile, 0, lane]
            for c in range(1, classes):
                largest = max(largest, z[tile, c, lane])
            normaliser, mean = z.dtype.type(0), 0.0
            for c in range(classes):
                mean += z[tile, c, lane]
                e = math.exp(z[tile, c, lane] - largest)
                dz[tile, c, lane] = e
                normaliser += e
            score = (1 - smoothing) * z[tile, targets[row], lane]
            if smoothing > 0:
                score += smoothing / classes * mean
            summed += weight * (math.log(normaliser) + largest - score)
            for c in range(classes):
                q = z.dtype.type(smoothing / classes)
                if c == targets[row]:
                    q += z.dtype.type(1 - smoothing)
                slope = weight * (dz[tile, c, lane] / normaliser - q)
                dz[tile, c, lane] = 0 if abs(slope) < TINY else slope
        tile_loss[tile] = summed


def plain_sigmoid_cross_entropy(z, target):
    """Return ``-sum(t log p + (1 - t) log(1 - p))`` and its gradient."""
    p = 1 / (1 + np.exp(-z))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(), p - target


@kernel()
def sigmoid_cross_entropy(z, rows, targets, weights, scale, dz, tile_loss):
    """Do as ``plain_sigmoid_cross_entropy``, as ``max(z, 0) - z t + log(1 + exp(-|z|))``."""
    tiles, outputs, lanes = z.shape
    for tile in range(tiles):
        summed = 0.0
        for lane in range(lanes):
            sample = tile * lanes + lane
            if sample >= rows.shape[0]:
                for c in range(outputs):
                    dz[tile, c, lane] = 0
                continue
            row = rows[sample]
            weight = scale
            if weights.shape[0] > 0:
                weight *= weights[row]
            for c in range(outputs):
                v, t = z[tile, c, lane], targets[row, c]
                e = math.exp(-abs(v))
                p = 1 / (1 + e) if v >= 0 else e / (1 + e)
                slope = weight * (p - t)
                dz[tile, c, lane] = 0 if abs(slope) < TINY else slope
                summed += weight * (max(v, 0) - v * t + math.log1p(e))
        tile_loss[tile] = summed


def plain_squared_error(z, target):
    """Return ``sum((z - t)^2) / 2`` and its gradient."""
    return ((z - target) ** 2).sum() / 2, z - target


@kernel()
def squared_error(z, rows, targets, weights, scale, dz, tile_loss):
    """Do as ``plain_squared_error``."""
    tiles, outputs, lanes = z.shape
    for tile in range(tiles):
        summed = 0.0
        for lane in range(lanes):
            sample = tile * lanes + lane
            if sample >= rows.shape[0]:
                for c in range(outputs):
                    dz[tile, c, lane] = 0
                continue
            row = rows[sample]
            weight = scale
            if weights.shape[0] > 0:
                weight *= weights[row]
            for c in range(outputs):
                error = z[tile, c, lane] - targets[row, c]
                slope = weight * error
                dz[tile, c, lane] = 0 if abs(slope) < TINY else slope
                summed += weight * 0.5 * error * error
        tile_loss[tile] = summed
