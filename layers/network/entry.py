"""Where samples enter a network: from the users' order into tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.step.workspace import Workspace


def read_tiles(
    array: np.ndarray,
    rows: np.ndarray,
    n_valid: int,
    offset: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
    workspace: Workspace,
) -> None:
    """Write rows of an array, (samples, features), into tiles; lanes after ``n_valid`` become 0."""
    from sparsecpu.kernels.tiling import gather_samples

    padded = workspace.array("entry", "rows", (out.shape[0] * out.shape[2],), np.int64)
    padded[: len(rows)], padded[len(rows) :] = rows, rows[:1]
    gather_samples(array, padded, n_valid, offset, scale, out)


def read_singly(
    array: np.ndarray, rows: np.ndarray, offset: np.ndarray, scale: np.ndarray, out: np.ndarray
) -> np.ndarray:
    """Write rows of an array into tiles of one lane, which have them in the users' order."""
    for row, place in zip(rows, out[..., 0], strict=True):
        if offset.size:
            np.subtract(array[row], offset, out=place)
            np.multiply(place, scale, out=place)
        else:
            place[...] = array[row]
    return out


def as_images(
    x: np.ndarray, shape: tuple[int, ...], owner: Any, workspace: Workspace
) -> np.ndarray:
    """Return tiles of features as tiles of images, the rows of their channels interleaved."""
    tiles, lanes, (channels, height, width) = x.shape[0], x.shape[2], shape
    planes = workspace.array(owner, "planes", (tiles, height, channels, width, lanes), x.dtype)
    planes[...] = x.reshape(tiles, channels, height, width, lanes).swapaxes(1, 2)
    return planes
