"""Where samples enter a network: from the users' order into tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.step.context import Context
from sparsecpu.step.sequences import checked_tokens
from sparsecpu.step.workspace import Workspace


def enter(network: Any, samples: Any, rows: np.ndarray, lanes: int, ctx: Context) -> np.ndarray:
    """Read samples into a network's input buffer; see ``Sequential.gather``."""
    if network.reads_sequences:
        return read_sequences(network, samples, rows, lanes, ctx)
    shape = max(1, -(-len(rows) // lanes)), network.widths[0], lanes
    out = ctx.workspace.array(network, "input", shape, network.dtype)
    # A rank may have no sample of the last batch; it computes with padding alone.
    array, here = samples.take_samples(rows if len(rows) else np.zeros(1, dtype=np.int64))
    if lanes == 1:
        return read_singly(array, here, network.offset, network.scale, out)
    read_tiles(array, here, len(rows), network.offset, network.scale, out, ctx.workspace)
    if network.reads_images:
        return as_images(out, network.input_shape, network, ctx.workspace)
    return out


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


def layout(lengths: np.ndarray, lanes: int, itemsize: int, workspace: Workspace) -> Any:
    """Return where the tokens of sequences stand, and tell the layers; see ``Context.sequences``.

    It stays the same object while the lengths do.
    """
    from sparsecpu.kernels.attention.sequences import Sequences

    key = ("sequences", "layout", lanes, itemsize, lengths.tobytes())
    found = workspace.prepared.get(key)
    if found is None:
        found = workspace.keep(key, Sequences.of_lengths(lengths, lanes, itemsize))
    workspace.sequences = found
    return found


def read_sequences(network: Any, samples: Any, rows: np.ndarray, lanes: int, ctx: Context) -> Any:
    """Return sequences in tiles: numbers of tokens, or features; padding is any token's."""
    taken, lengths = samples.take_sequences(rows)
    places = layout(lengths, lanes, network.dtype.itemsize, ctx.workspace)
    there = places.place >= 0
    here = places.place[there]
    if not network.reads_tokens:
        return _read_features(network, taken, there, here, places, lanes, ctx)
    ids = checked_tokens("x", taken, rows, network.layers[0].vocabulary)
    shape = len(places.owner) // lanes, 1, lanes
    out = ctx.workspace.array(network, "tokens", shape, np.int64)
    out[...] = 0
    out.reshape(-1)[here] = ids[:, : there.shape[1]][there]
    return out


def _read_features(network, taken, there, here, places, lanes, ctx) -> np.ndarray:
    """Do as ``read_sequences`` for arrays of features."""
    features = np.ascontiguousarray(taken[:, : there.shape[1]][there], network.dtype)
    if not len(features):  # a rank without a sample in this batch
        features = np.zeros((1, taken.shape[2]), network.dtype)
    rows = np.zeros(len(places.owner), np.int64)
    rows[here] = np.arange(len(here))
    shape = len(rows) // lanes, features.shape[1], lanes
    out = ctx.workspace.array(network, "input", shape, network.dtype)
    read_tiles(features, rows, len(rows), network.offset, network.scale, out, ctx.workspace)
    return out


def lanes_filled(longest: int, batch: int, lanes: int, dtype: Any) -> int:
    """Return how many lanes so many samples fill at most, of up to so many tokens (0 for none)."""
    if not longest:
        return batch
    from sparsecpu.kernels.attention.sequences import Sequences

    lengths = np.full(batch, longest)
    return len(Sequences.of_lengths(lengths, lanes, np.dtype(dtype).itemsize).owner)


def write(y: np.ndarray, ctx: Context, out: np.ndarray) -> None:
    """Write outputs of the last layer in the users' order.

    ``out`` is (samples, features), or (samples, length, features), 0 where there is no token.
    """
    from sparsecpu.kernels.tiling import scatter_samples

    if out.ndim == 2:
        scatter_samples(y, out)
        return
    places = ctx.sequences
    flat = np.empty((len(places.owner), y.shape[1]), y.dtype)
    scatter_samples(y, flat)
    out[...] = 0
    there = places.place >= 0
    out[:, : there.shape[1]][there] = flat[places.place[there]]
