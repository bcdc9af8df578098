"""Patches of images, moved between the lanes of samples and those of tokens."""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share


def plain_patches(x, patch):
    """Return the patches of images, (samples, patches, channels * height * width of a patch).

    x is (samples, channels, height, width); patches go row by row.
    """
    samples, channels, height, width = x.shape
    down, right = patch
    cut = x.reshape(samples, channels, height // down, down, width // right, right)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(samples, -1, channels * down * right)


@kernel(parallel=True)
def take_patches(team, x, corners, steps, out):
    """Write ``out[t, f, l] = x[corners[t * lanes + l] + steps[f]]``; x is a vector.

    ``corners`` is where the first pixel of each lane's patch stands; where it is -1, the lane
    becomes 0.
    """
    tiles, features, lanes = out.shape
    for tile in share(team, tiles):
        for f in range(features):
            step = steps[f]
            for lane in range(lanes):
                corner = corners[np.int64(tile) * lanes + lane]
                out[tile, f, lane] = x[corner + step] if corner >= 0 else out.dtype.type(0)


@kernel(parallel=True)
def put_patches(team, dy, corners, steps, dx):
    """Write ``dx[corners[t * lanes + l] + steps[f]] = dy[t, f, l]`` where a lane has a corner."""
    tiles, features, lanes = dy.shape
    for tile in share(team, tiles):
        for f in range(features):
            step = steps[f]
            for lane in range(lanes):
                corner = corners[np.int64(tile) * lanes + lane]
                if corner >= 0:
                    dx[corner + step] = dy[tile, f, lane]
