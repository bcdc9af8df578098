"""Between the users' order ``(samples, features)`` and tiles ``(tiles, features, lanes)``."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import splat
from sparsecpu.kernels.vectors.dots import transpose
from sparsecpu.kernels.vectors.llvm import FOLD
from sparsecpu.kernels.vectors.memory import load, store


@kernel()
def gather_samples(x, rows, n_valid, offset, scale, out):
    """Write ``out[t, f, l] = (x[rows[t * lanes + l], f] - offset[f]) * scale[f]``.

    ``rows`` has ``tiles * lanes`` entries; those after the first ``n_valid`` are any rows that
    exist, and their lanes become 0. An empty ``offset`` means no offset and no scale. One thread
    does it: squares of 16 x 16 are transposed in registers, as fast as memory delivers.
    """
    tiles, features, lanes = out.shape
    zero, one = out.dtype.type(0), out.dtype.type(1)
    nothing, shift, factor = splat(zero, FOLD), splat(zero, FOLD), splat(one, FOLD)
    for first in range(0, tiles * lanes, FOLD):
        tile, lane = first // lanes, first % lanes
        place = np.int64(tile) * features * lanes + lane
        f = 0 if first < n_valid else features
        while f + FOLD <= features:
            if offset.shape[0] > 0:
                shift, factor = load(offset, np.int64(f), FOLD), load(scale, np.int64(f), FOLD)
            here = place + np.int64(f) * lanes
            transpose(x, rows, np.int64(first), np.int64(f), shift, factor, out, here)
            f += FOLD
        for g in range(f, features):
            for sample in range(first, first + FOLD):
                value = out.dtype.type(x[rows[sample], g])
                if offset.shape[0] > 0:
                    value = (value - offset[g]) * scale[g]
                out[tile, g, sample - tile * lanes] = value
        if first >= n_valid:
            for g in range(features):
                store(out, place + np.int64(g) * lanes, nothing)
        elif first + FOLD > n_valid:
            for g in range(features):
                for sample in range(n_valid, first + FOLD):
                    out[tile, g, sample - tile * lanes] = zero


@kernel()
def scatter_samples(tiled, out):
    """Write ``out[t * lanes + l, f] = tiled[t, f, l]`` for the samples that ``out`` has."""
    features, lanes = tiled.shape[1:]
    for sample in range(out.shape[0]):
        tile, lane = sample // lanes, sample % lanes
        for f in range(features):
            out[sample, f] = tiled[tile, f, lane]
