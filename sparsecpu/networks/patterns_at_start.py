r"""Choosing the weights before training: SNIP and SynFlow, without the dense network.

Both score every weight of a dense network once or more. Here that network is never held: rows of it
are generated, tile by tile, by a counter-based generator whenever they are needed, and forgotten.
The chosen positions then start with fresh values, scaled by their real fan-in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from sparsecpu.topology.running_top import RunningTop

#: Weights that are generated at a time, and the largest part of a layer that they may be.
_TILE, _SHARE = 1 << 19, 32
#: Names that users give.
FORESIGHT = ("snip", "synflow")
#: Samples that SNIP looks at.
_BATCH = 128
#: Rounds of SynFlow.
_ROUNDS = 100
#: Scores are sorted into bins by the first bits of their binary form, which order them.
_SHIFT = 44


class TiledNetwork:
    """A dense network of linear layers and ReLU that is generated when it is looked at.

    Parameters
    ----------
    architecture : Architecture
        Linear layers, with ReLU, dropout and flatten between them.
    seed : int
        Of the weights.

    Raises
    ------
    ParameterError
        If there are other layers.
    """

    def __init__(self, architecture: Architecture, seed: int) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.names: list[str] = []
        self.counts: list[int] = []
        width = architecture.widths()
        for i, layer in enumerate(architecture.layers):
            if layer.kind == "linear":
                self.names.append(f"{i}.weight")
                self.shapes.append((width[i + 1], width[i]))
                size = width[i + 1] * width[i]
                self.counts.append(layer.options.get("nnz") or size)
            elif layer.kind not in ("relu", "dropout", "flatten"):
                expected = "random, constant-fan-in or small-world, with layers like this"
                raise ParameterError("pattern", layer.kind, expected)
        self.seed = seed
        self.offsets = np.cumsum([0] + [o * i for o, i in self.shapes])

    def tiles(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Generate a layer's rows, the same in every pass.

        Parameters
        ----------
        layer : int
            Which.

        Yields
        ------
        rows : slice
            Which rows.
        weights : ndarray of float64
            They.
        """
        n_out, n_in = self.shapes[layer]
        most = min(_TILE, max(n_in, n_out * n_in // _SHARE))
        height = max(1, most // n_in)
        bound = math.sqrt(6.0 / n_in)
        for number, first in enumerate(range(0, n_out, height)):
            counter = np.array([0, 0, number, layer], dtype=np.uint64)
            rng = np.random.Generator(np.random.Philox(counter=counter, key=self.seed))
            rows = slice(first, min(first + height, n_out))
            tile = rng.random((rows.stop - first, n_in))
            tile -= 0.5
            tile *= 2 * bound
            yield rows, tile


def snip(network: TiledNetwork, x: np.ndarray, targets: np.ndarray) -> dict[str, Pattern]:
    r"""Keep the weights whose removal would change the loss of one batch most, \|g w\|.

    Parameters
    ----------
    network : TiledNetwork
        What to choose from.
    x : ndarray, shape (features, batch)
        A batch, as the first layer sees it.
    targets : ndarray of int, shape (batch,)
        Class numbers.

    Returns
    -------
    dict of str to Pattern
        By layer; as many weights in all as the description keeps, shared out by the scores.

    Notes
    -----
    Lee, Ajanthan and Torr, SNIP: single-shot network pruning based on connection sensitivity
    (2019), equation 6 and algorithm 1; ranked over all layers together.
    """
    inputs = [np.asarray(x, dtype=np.float64)]
    last = len(network.shapes) - 1
    for layer, (n_out, _) in enumerate(network.shapes):
        z = np.empty((n_out, x.shape[1]))
        for rows, w in network.tiles(layer):
            z[rows] = w @ inputs[-1]
        inputs.append(z if layer == last else np.maximum(z, 0.0))
    p = np.exp(inputs[-1] - inputs[-1].max(axis=0))
    delta = p / p.sum(axis=0)
    delta[targets, np.arange(len(targets))] -= 1.0
    delta /= len(targets)
    top = RunningTop(sum(network.counts), np.float64)
    for layer in range(last, -1, -1):
        before = np.zeros_like(inputs[layer])
        for rows, w in network.tiles(layer):
            before += w.T @ delta[rows]
            w *= delta[rows] @ inputs[layer].T
            offset = network.offsets[layer] + rows.start * w.shape[1]
            _offer(top, np.abs(w, out=w).reshape(-1), offset)
        delta = before * (inputs[layer] > 0)
    return _patterns(network, *top.result())


def synflow(network: TiledNetwork) -> dict[str, Pattern]:
    r"""Keep the weights through which most flows: \|w\| times the paths before and behind it.

    A hundred rounds each keep the weights of largest :math:`|w_{ij}| a_j b_i`, where a and b are
    what arrives forward from inputs of 1 and backward from outputs of 1, through \|w\| of what was
    kept so far; round k keeps a fraction :math:`d^{k/100}`. No data.

    Parameters
    ----------
    network : TiledNetwork
        What to choose from.

    Returns
    -------
    dict of str to Pattern
        By layer.

    Notes
    -----
    Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow
    (2020), algorithm 1. What was kept is remembered as one bit per position.
    """
    size, wanted = int(network.offsets[-1]), sum(network.counts)
    kept = [np.full((o, -(-i // 8)), 255, dtype=np.uint8) for o, i in network.shapes]
    for k in range(1, _ROUNDS):
        count = round(size * (wanted / size) ** (k / _ROUNDS))
        flows = _flows(network, kept)
        limit = _threshold(network, kept, flows, count)
        for layer in range(len(kept)):
            for rows, scores in _scores(network, kept, flows, layer):
                kept[layer][rows] = np.packbits(scores >= limit, axis=1)
    top = RunningTop(wanted, np.float64)
    flows = _flows(network, kept)
    for layer in range(len(kept)):
        for rows, scores in _scores(network, kept, flows, layer):
            offset = network.offsets[layer] + rows.start * scores.shape[1]
            _offer(top, scores.reshape(-1), offset)
    return _patterns(network, *top.result())


def _flows(network: TiledNetwork, kept: list[np.ndarray]) -> tuple[list, list]:
    """Return what arrives at every layer's inputs, and backward at its outputs."""
    forward = [np.ones(network.shapes[0][1])]
    for layer, (n_out, _) in enumerate(network.shapes):
        arrived = np.empty(n_out)
        for rows, w in _kept_tiles(network, kept, layer):
            arrived[rows] = w @ forward[-1]
        forward.append(arrived)
    backward = [np.ones(network.shapes[-1][0])]
    for layer in range(len(network.shapes) - 1, 0, -1):
        arrived = np.zeros(network.shapes[layer][1])
        for rows, w in _kept_tiles(network, kept, layer):
            arrived += w.T @ backward[0][rows]
        backward.insert(0, arrived)
    return forward, backward


def _kept_tiles(network, kept, layer) -> Iterator[tuple[slice, np.ndarray]]:
    for rows, w in network.tiles(layer):
        np.abs(w, out=w)
        w *= np.unpackbits(kept[layer][rows], axis=1, count=w.shape[1])
        yield rows, w


def _scores(network, kept, flows, layer) -> Iterator[tuple[slice, np.ndarray]]:
    forward, backward = flows
    for rows, w in _kept_tiles(network, kept, layer):
        w *= backward[layer][rows, None]
        w *= forward[layer]
        yield rows, w


def _threshold(network, kept, flows, count: int) -> float:
    """Return the smallest of the ``count`` largest scores: by bins, then inside the last one."""
    bins = np.zeros(1 << (64 - _SHIFT), dtype=np.int64)
    for layer in range(len(kept)):
        for _, scores in _scores(network, kept, flows, layer):
            found = np.unique(scores.reshape(-1).view(np.int64) >> _SHIFT, return_counts=True)
            bins[found[0]] += found[1]
    above = np.cumsum(bins[::-1])[::-1]  # in this bin or a higher one
    edge = int(np.flatnonzero(above >= count)[-1])
    inside = []
    for layer in range(len(kept)):
        for _, scores in _scores(network, kept, flows, layer):
            flat = scores.reshape(-1)
            inside.append(flat[flat.view(np.int64) >> _SHIFT == edge])
    last = np.sort(np.concatenate(inside))
    return float(last[len(last) - (count - (above[edge] - bins[edge]))])


def _offer(top: RunningTop, scores: np.ndarray, offset: int) -> None:
    places = np.flatnonzero(scores > top.threshold)
    top.add(offset + places, scores[places])


def _patterns(network: TiledNetwork, keys: np.ndarray, scores: np.ndarray) -> dict[str, Pattern]:
    """Cut keys over all layers into patterns; nnz is met exactly, and no layer is empty."""
    wanted, chosen = sum(network.counts), dict[str, Pattern]()
    cuts = np.searchsorted(keys, network.offsets)
    parts = [
        keys[a:b] - start for a, b, start in zip(cuts, cuts[1:], network.offsets, strict=False)
    ]
    missing = wanted - sum(map(len, parts))  # where fewer have a score at all
    for layer, part in enumerate(parts):
        size = int(network.offsets[layer + 1] - network.offsets[layer])
        short = max(0 if missing <= 0 else min(missing, size - len(part)), int(len(part) == 0))
        if short:
            free = np.setdiff1d(np.arange(min(size, len(part) + short)), part)[:short]
            parts[layer] = sorted_once(part, free)
            missing -= short
    for _ in range(max(0, -missing)):  # an empty layer got one: the fullest gives one
        fullest = max(range(len(parts)), key=lambda i: len(parts[i]))
        parts[fullest] = parts[fullest][:-1]
    for name, shape, part in zip(network.names, network.shapes, parts, strict=True):
        chosen[name] = Pattern.from_keys(shape, part)
    return chosen


def draw_batch(network: Any, x: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw samples and return them as the first layer sees them.

    Parameters
    ----------
    network : Sequential
        Knows how inputs are scaled.
    x : array_like or Source
        Samples.
    seed : int
        Which are drawn.

    Returns
    -------
    rows : ndarray of int64, shape (batch,)
        Which they are.
    values : ndarray, shape (features, batch)
        They.
    """
    source = network.samples(x)
    samples = source.shape[0]
    rows = np.random.default_rng(seed).choice(samples, min(_BATCH, samples), replace=False)
    ctx = Context(Workspace(), n_valid=len(rows))
    tiles: np.ndarray = network.gather(source, rows, network.lanes(len(rows)), ctx)
    whole = math.prod(network.input_shape)
    if tiles.ndim == 5:  # images: (tiles, height, channels, width, lanes)
        planes = tiles.transpose(0, 2, 1, 3, 4)
        tiles = planes.reshape((len(tiles), whole, planes.shape[4]))
    return rows, np.concatenate(list(tiles), axis=1)[:, : len(rows)].copy()


def choose(
    kind: str, architecture: Architecture, seed: int, x: np.ndarray, targets: Any
) -> dict[str, Pattern]:
    """Choose the weights of a network before it is trained.

    Parameters
    ----------
    kind : {"snip", "synflow"}
        How.
    architecture : Architecture
        The network, with the number of weights that it keeps.
    seed : int
        Of the dense network.
    x : ndarray, shape (features, batch)
        A batch, for SNIP.
    targets : ndarray of int
        Its class numbers.

    Returns
    -------
    dict of str to Pattern
        By layer.
    """
    network = TiledNetwork(architecture, seed)
    return synflow(network) if kind == "synflow" else snip(network, x, np.asarray(targets))
