"""Attention of tokens that come one at a time: one query meets all keys that were kept."""

from __future__ import annotations

import math

from sparsecpu.kernels.machine.compile import kernel


@kernel()
def attend_to_kept(q, k, v, count, heads, scale, keys, values, scores, y):
    """Keep the keys and values of new tokens, and write what these take from all kept so far.

    ``q, k, v`` and ``y`` are tiles, ``(tiles, features, lanes)``, whose first lanes are a token of
    each stream; ``keys`` and ``values`` are ``(streams, most, features)``, of which ``count``
    tokens are there. ``scores`` is memory for ``most`` numbers.
    """
    streams, features = keys.shape[0], keys.shape[2]
    lanes, size = q.shape[2], features // heads
    for stream in range(streams):
        tile, lane = stream // lanes, stream % lanes
        for f in range(features):
            keys[stream, count, f] = k[tile, f, lane]
            values[stream, count, f] = v[tile, f, lane]
        for head in range(heads):
            first = head * size
            highest = -math.inf
            for j in range(count + 1):
                score = scores.dtype.type(0)
                for f in range(first, first + size):
                    score += q[tile, f, lane] * keys[stream, j, f]
                scores[j] = score * scale
                highest = max(highest, scores[j])
            total = scores.dtype.type(0)
            for j in range(count + 1):
                scores[j] = math.exp(scores[j] - highest)
                total += scores[j]
            for f in range(first, first + size):
                y[tile, f, lane] = 0
            for j in range(count + 1):
                weight = scores[j] / total
                for f in range(first, first + size):
                    y[tile, f, lane] += weight * values[stream, j, f]
