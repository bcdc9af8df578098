"""How numbers lie in tiles and planes, and at the nonzeros of a pattern."""

import numpy as np


def to_tiles(x, lanes):
    """(samples, features) -> (tiles, features, lanes), zeros after the last sample."""
    samples, features = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, features, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, :, s % lanes] = x[s]
    return out


def from_tiles(tiled, samples):
    """(tiles, features, lanes) -> (samples, features)."""
    return np.array([tiled[s // tiled.shape[2], :, s % tiled.shape[2]] for s in range(samples)])


def to_planes(x, lanes):
    """(samples, channels, height, width) -> (tiles, height, channels, width, lanes)."""
    samples, channels, height, width = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, height, channels, width, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, ..., s % lanes] = x[s].transpose(1, 0, 2)
    return out


def from_planes(planes, samples):
    """(tiles, height, channels, width, lanes) -> (samples, channels, height, width)."""
    lanes = planes.shape[4]
    return np.array([planes[s // lanes, ..., s % lanes].transpose(1, 0, 2) for s in range(samples)])


def dense(shape, indptr, indices, data):
    w = np.zeros(shape, np.float64)
    for i in range(shape[0]):
        for k in range(indptr[i], indptr[i + 1]):
            w[i, indices[k]] = data[k]
    return w


def at_nonzeros(matrix, indptr, indices):
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return matrix[rows, indices]


def bf16(x):
    """float32 rounded to the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)
