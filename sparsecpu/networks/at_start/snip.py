"""SNIP: keep the weights whose removal would change the loss of one batch most."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.networks.at_start.generated import GeneratedNetwork
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

#: Samples in the batch that SNIP scores weights by.
_BATCH = 128


def snip(network: GeneratedNetwork, x: np.ndarray, targets: np.ndarray) -> dict[str, Pattern]:
    r"""Return patterns of the weights with largest \|g w\|, g being the gradient of one batch.

    ``x`` has shape (features, batch), as the first layer sees it; ``targets`` are class numbers.
    Weights are ranked over all layers together; where rows share their columns, by the sums that
    these have over the rows.

    Lee, Ajanthan and Torr, SNIP: single-shot network pruning based on connection sensitivity
    (2019), equation 6 and algorithm 1.
    """
    x, bends = np.asarray(x, dtype=np.float64), network.bends
    inputs = [np.maximum(x, 0.0) if bends[0] else x]
    last = len(network.shapes) - 1
    for layer, (n_out, _) in enumerate(network.shapes):
        z = np.empty((n_out, x.shape[1]))
        for rows, w in network.tiles(layer):
            z[rows] = w @ inputs[-1]
        inputs.append(np.maximum(z, 0.0) if bends[layer + 1] else z)
    p = np.exp(inputs[-1] - inputs[-1].max(axis=0))
    delta = p / p.sum(axis=0)
    delta[targets, np.arange(len(targets))] -= 1.0
    delta /= len(targets)
    delta *= inputs[-1] > 0 if bends[-1] else 1
    best = network.best()
    for layer in range(last, -1, -1):
        before = np.zeros_like(inputs[layer])
        for rows, w in network.tiles(layer):
            before += w.T @ delta[rows]
            w *= delta[rows] @ inputs[layer].T
            scores = network.shared_scores(layer, np.abs(w, out=w))
            best.offer_rows(layer, network.groups_of(layer, rows).start, scores)
        delta = before * (inputs[layer] > 0) if bends[layer] else before
    return network.patterns(best)


def draw_batch(network: Any, x: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw samples; return their rows, and their values of shape (features, batch)."""
    samples = network.samples(x)
    count = samples.shape[0]
    rows = np.random.default_rng(seed).choice(count, min(_BATCH, count), replace=False)
    ctx = Context(Workspace(), n_valid=len(rows))
    tiles: np.ndarray = network.gather(samples, rows, network.lanes(len(rows)), ctx)
    features = math.prod(network.input_shape)
    if tiles.ndim == 5:  # images: (tiles, height, channels, width, lanes)
        planes = tiles.transpose(0, 2, 1, 3, 4)
        tiles = planes.reshape((len(tiles), features, planes.shape[4]))
    return rows, np.concatenate(list(tiles), axis=1)[:, : len(rows)].copy()
