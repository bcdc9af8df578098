"""Between the users' order ``(samples, features)`` and tiles ``(tiles, features, lanes)``."""

from __future__ import annotations

from numba import prange

from sparsecpu.kernels.compile import kernel

_BLOCK = 16  # features per job: one cache line of a float32 sample


@kernel(parallel=True)
def gather_samples(x, rows, offset, scale, out):
    """Write ``out[t, f, l] = (x[rows[t * lanes + l], f] - offset[f]) * scale[f]``.

    Lanes after the last sample become 0. An empty ``offset`` means no offset and no scale.
    """
    tiles, features, lanes = out.shape
    blocks = (features + _BLOCK - 1) // _BLOCK
    for job in prange(tiles * blocks):
        tile, first = job // blocks, (job % blocks) * _BLOCK
        last = min(first + _BLOCK, features)
        for lane in range(lanes):
            sample = tile * lanes + lane
            if sample >= rows.shape[0]:
                for f in range(first, last):
                    out[tile, f, lane] = 0
            elif offset.shape[0] == 0:
                for f in range(first, last):
                    out[tile, f, lane] = x[rows[sample], f]
            else:
                for f in range(first, last):
                    out[tile, f, lane] = (x[rows[sample], f] - offset[f]) * scale[f]


@kernel()
def scatter_samples(tiled, out):
    """Write ``out[t * lanes + l, f] = tiled[t, f, l]`` for the samples that ``out`` has."""
    features, lanes = tiled.shape[1:]
    for sample in range(out.shape[0]):
        tile, lane = sample // lanes, sample % lanes
        for f in range(features):
            out[sample, f] = tiled[tile, f, lane]
