"""Attention of tokens that come one at a time: one query meets all keys that were kept."""

from __future__ import annotations

import math

from sparsecpu.kernels.machine.compile import kernel


@kernel()
def _meet(query, keys, values, scores, out):
    """Add to ``out`` what a query takes from tokens, whose keys and values are rows."""
    number, count, size = scores.dtype.type, keys.shape[0], query.shape[0]
    highest, total = number(-math.inf), number(0)
    for j in range(count):
        key, score = keys[j], number(0)
        for f in range(size):
            score += query[f] * key[f]
        scores[j] = score
        highest = max(highest, score)
    for j in range(count):
        scores[j] = math.exp(scores[j] - highest)
        total += scores[j]
    for j in range(count):
        weight, value = scores[j] / total, values[j]
        for f in range(size):
            out[f] += weight * value[f]


@kernel()
def attend_to_kept(q, k, v, count, scale, keys, values, scores, rows, y):
    """Keep the keys and values of new tokens, and write what these take from all kept so far.

    ``q, k, v`` and ``y`` are tiles, ``(tiles, features, lanes)``, whose first lanes are a token of
    each stream; ``keys`` and ``values`` are ``(streams, heads, most, size)``, of which ``count``
    tokens are there. ``scores`` is memory for ``most`` numbers, ``rows`` ``(2, size)``: a query and
    its output, side by side in memory.
    """
    streams, heads, size = keys.shape[0], keys.shape[1], keys.shape[3]
    lanes = q.shape[2]
    for stream in range(streams):
        tile, lane = stream // lanes, stream % lanes
        for head in range(heads):
            first = head * size
            for f in range(size):
                keys[stream, head, count, f] = k[tile, first + f, lane]
                values[stream, head, count, f] = v[tile, first + f, lane]
                rows[0, f] = q[tile, first + f, lane] * scale
                rows[1, f] = 0
            known, told = keys[stream, head, : count + 1], values[stream, head, : count + 1]
            _meet(rows[0], known, told, scores, rows[1])
            for f in range(size):
                y[tile, first + f, lane] = rows[1, f]
