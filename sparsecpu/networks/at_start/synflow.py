r"""SynFlow: keep the weights through which most flows, without any data.

A hundred rounds each keep the weights of largest :math:`|w_{ij}| a_j b_i`. Here a is what arrives
at the layer from inputs of 1, and b what arrives, backwards, from outputs of 1, through \|w\| of
the weights that were kept so far. Round k keeps a fraction :math:`d^{k/100}`.

Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow
(2020), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from sparsecpu.networks.at_start.generated import GeneratedNetwork
from sparsecpu.networks.at_start.snip import offer_scores
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.running_top import RunningTop

_ROUNDS = 100
Flows = tuple[list[np.ndarray], list[np.ndarray]]
#: Scores are counted in bins by the leading bits of their binary form, which orders them.
_SHIFT = 44


def synflow(network: GeneratedNetwork) -> dict[str, Pattern]:
    """Return the patterns that SynFlow chooses, by layer."""
    size, wanted = int(network.offsets[-1]), sum(network.counts)
    kept = _KeptWeights(network)
    for k in range(1, _ROUNDS):
        kept.keep(round(size * (wanted / size) ** (k / _ROUNDS)))
    top = RunningTop(wanted, np.float64)
    for layer, rows, scores in kept.scores(kept.flows()):
        offer_scores(top, scores, network.key_of_row(layer, rows.start))
    return network.patterns(top.result()[0])


class _KeptWeights:
    """The weights that are still there, one bit for each, and what flows through them."""

    def __init__(self, network: GeneratedNetwork) -> None:
        self.network = network
        self.bits = [np.full((o, -(-i // 8)), 255, dtype=np.uint8) for o, i in network.shapes]
        self.layers = range(len(network.shapes))

    def keep(self, count: int) -> None:
        """Keep only the ``count`` largest scores."""
        flows = self.flows()
        limit = _least_of_largest(lambda: (scores for *_, scores in self.scores(flows)), count)
        for layer, rows, scores in self.scores(flows):
            self.bits[layer][rows] = np.packbits(scores >= limit, axis=1)

    def scores(self, flows: Flows) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Yield layers, rows and the scores of their weights."""
        forward, backward = flows
        for layer in self.layers:
            for rows, w in self._tiles(layer):
                w *= backward[layer][rows, None]
                w *= forward[layer]
                yield layer, rows, w

    def flows(self) -> Flows:
        """Return what arrives at the inputs of every layer and, backwards, at its outputs."""
        shapes = self.network.shapes
        forward = [np.ones(shapes[0][1])]
        for layer in self.layers:
            arrived = np.empty(shapes[layer][0])
            for rows, w in self._tiles(layer):
                arrived[rows] = w @ forward[-1]
            forward.append(arrived)
        backward = [np.ones(shapes[-1][0])]
        for layer in reversed(self.layers[1:]):
            arrived = np.zeros(shapes[layer][1])
            for rows, w in self._tiles(layer):
                arrived += w.T @ backward[0][rows]
            backward.insert(0, arrived)
        return forward, backward

    def _tiles(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows and magnitudes of the weights in them, 0 where they are gone."""
        for rows, w in self.network.tiles(layer):
            np.abs(w, out=w)
            w *= np.unpackbits(self.bits[layer][rows], axis=1, count=w.shape[1])
            yield rows, w


def _least_of_largest(scan: Callable[[], Iterable[np.ndarray]], count: int) -> float:
    """Return the smallest of the ``count`` largest scores.

    One scan of the scores counts them in bins, a second looks into the bin of the answer.
    """
    bins = np.zeros(1 << (64 - _SHIFT), dtype=np.int64)
    for scores in scan():
        found = np.unique(scores.reshape(-1).view(np.int64) >> _SHIFT, return_counts=True)
        bins[found[0]] += found[1]
    above = np.cumsum(bins[::-1])[::-1]  # in this bin or a higher one
    edge = int(np.flatnonzero(above >= count)[-1])
    inside = []
    for scores in scan():
        flat = scores.reshape(-1)
        inside.append(flat[flat.view(np.int64) >> _SHIFT == edge])
    last = np.sort(np.concatenate(inside))
    return float(last[len(last) - (count - (above[edge] - bins[edge]))])
