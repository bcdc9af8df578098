"""Losses and their gradients on lane-tiled outputs.

Each kernel fills ``dz`` with the gradient of ``scale * sum(weight * loss)`` and ``tile_loss`` with
that sum per tile, in a fixed order; lanes after the last sample, and gradients below ``TINY``, are
0. ``targets``
is indexed by ``rows[sample]``, as the features are; an empty ``weights`` counts as ones. One thread
does it: outputs are few, and threads would triple the time to compile.
"""

from __future__ import annotations

import math

from sparsecpu.kernels.machine.compile import TINY, kernel


@kernel()
def softmax_cross_entropy(z, rows, targets, weights, smoothing, scale, dz, tile_loss):
    """``loss = -sum_c q_c log p_c``, ``p = softmax(z)``, ``q = (1 - s) onehot + s / classes``.

    ``targets`` holds class numbers.
    """
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


@kernel()
def sigmoid_cross_entropy(z, rows, targets, weights, scale, dz, tile_loss):
    """``loss = sum_c max(z, 0) - z t + log(1 + exp(-|z|))``; ``targets`` is (samples, outputs)."""
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


@kernel()
def squared_error(z, rows, targets, weights, scale, dz, tile_loss):
    """``loss = sum_c (z - t)^2 / 2``; ``targets`` is (samples, outputs)."""
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
