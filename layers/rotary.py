"""Rotary positions: features turn with the place of their token, two by two."""

from __future__ import annotations

import numpy as np

#: Turns of the first pair of features and of the last are this many times apart, nearly.
_BASE = 10000.0


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
    buffer = buffer.reshape(tiles, heads, half, lanes)
    cos, sin = (one.swapaxes(0, 1)[:, None] for one in turns)
    np.multiply(first, cos, out=to_first)
    np.multiply(second, sin, out=buffer)
    to_first -= buffer
    np.multiply(first, sin, out=to_second)
    np.multiply(second, cos, out=buffer)
    to_second += buffer
    return out
