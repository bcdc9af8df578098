"""Rotary positions: features turn with the place of their token, two by two."""

from __future__ import annotations

import numpy as np

#: Turns of the first pair of features and of the last are this many times apart, nearly.
_BASE = 10000.0
#: Numbers that are turned at once: what three times as many take stays in the level-2 cache.
_NEAR = 2**16


def turns(length: int, size: int) -> np.ndarray:
    """Return cosines and sines of ``place / base**(2 i / size)``, (2, size / 2, length)."""
    speeds = _BASE ** (-np.arange(0, size, 2) / size)
    angles = speeds[:, None] * np.arange(length)
    return np.stack([np.cos(angles), np.sin(angles)])


def turned(
    x: np.ndarray, turns: np.ndarray, heads: int, out: np.ndarray, buffer: np.ndarray
) -> np.ndarray:
    """Write each pair of features of x turned, and return ``out``.

    Parameters
    ----------
    x : ndarray
        Tiles, ``(tiles, features, lanes)``; feature i of a head is paired with the one half a head
        further on.
    turns : ndarray
        Cosines and sines of each token, ``(2, size / 2, tiles, lanes)``.
    heads : int
        How many there are.
    out : ndarray
        Where to write; not x.
    buffer : ndarray
        Memory for half as much.

    Returns
    -------
    ndarray
        ``out``.
    """
    tiles, features, lanes = x.shape
    half = features // heads // 2
    shape = tiles, heads, 2, half, lanes
    first, second = np.moveaxis(x.reshape(shape), 2, 0)
    to_first, to_second = np.moveaxis(out.reshape(shape), 2, 0)
    cos, sin = (one.swapaxes(0, 1)[:, None] for one in turns)
    few = max(1, _NEAR // (features * lanes))
    for start in range(0, tiles, few):
        part = slice(start, start + few)
        between = buffer[part].reshape(-1, heads, half, lanes)
        np.multiply(first[part], cos[part], out=to_first[part])
        to_first[part] -= np.multiply(second[part], sin[part], out=between)
        np.multiply(first[part], sin[part], out=to_second[part])
        to_second[part] += np.multiply(second[part], cos[part], out=between)
    return out
