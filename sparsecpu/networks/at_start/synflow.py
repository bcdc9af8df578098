r"""SynFlow: keep the weights through which most flows, without any data.

A hundred rounds each keep the weights of largest :math:`|w_{ij}| a_j b_i`. Here a is what arrives
at the layer from inputs of 1, and b what arrives, backwards, from outputs of 1, through \|w\| of
the weights that were kept so far. Round k keeps a fraction :math:`d^{k/100}`. Where rows share
their columns, these have the means over the rows, and stay or go as a whole.

Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow
(2020), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from sparsecpu.networks.at_start.generated import GeneratedNetwork
from sparsecpu.sparse.pattern import Pattern

_ROUNDS = 100
Flows = tuple[list[np.ndarray], list[np.ndarray]]
Scored = tuple[np.ndarray, np.ndarray]
#: Scores are counted in bins by the leading bits of their binary form, which orders them.
_SHIFT = 44


def synflow(network: GeneratedNetwork) -> dict[str, Pattern]:
    """Return the patterns that SynFlow chooses, by layer."""
    size, wanted = sum(o * i for o, i in network.shapes), sum(network.counts)
    kept = _KeptWeights(network)
    for k in range(1, _ROUNDS):
        kept.keep(round(size * (wanted / size) ** (k / _ROUNDS)))
    for layer, groups, scores in kept.scores(kept.flows()):
        kept.best.offer_rows(layer, groups.start, scores)
    return network.patterns(kept.best)


class _KeptWeights:
    """The shared columns that are still there, one bit for each, and what flows through them."""

    def __init__(self, network: GeneratedNetwork) -> None:
        self.network, self.best = network, network.best()
        self.bits = [np.full((g, -(-i // 8)), 255, dtype=np.uint8) for g, i in self.best.shared]
        self.layers = range(len(network.shapes))

    def keep(self, count: int) -> None:
        """Keep only the largest scores, of ``count`` weights."""
        flows = self.flows()
        limit = _least_of_largest(lambda: self._weighed(flows), count)
        for layer, groups, scores in self.scores(flows):
            self.bits[layer][groups] = np.packbits(scores >= limit, axis=1)

    def _weighed(self, flows: Flows) -> Iterator[Scored]:
        """Yield scores of groups, and how many weights each of them stands for."""
        for layer, groups, scores in self.scores(flows):
            yield scores, self.best.rows_of(layer, np.r_[groups])

    def scores(self, flows: Flows) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Yield layers, groups of rows, and the scores of their shared columns."""
        forward, backward = flows
        for layer in self.layers:
            for rows, w in self._tiles(layer):
                w *= backward[layer][rows, None]
                w *= forward[layer]
                groups = self.network.groups_of(layer, rows)
                yield layer, groups, self.network.shared_scores(layer, w)

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
            kept = self.bits[layer][self.network.groups_of(layer, rows)]
            kept = np.repeat(kept, self.network.group[layer], axis=0)[: len(w)]
            w *= np.unpackbits(kept, axis=1, count=w.shape[1])
            yield rows, w


def _least_of_largest(scan: Callable[[], Iterable[Scored]], count: int) -> float:
    """Return the smallest of the largest scores that stand for ``count`` weights.

    One scan of the scores counts them in bins, a second looks into the bin of the answer. A scan
    yields scores of groups, and how many weights each score of a group stands for.
    """
    bins = np.zeros(1 << (64 - _SHIFT), dtype=np.int64)
    for scores, weights in scan():
        for weight in np.unique(weights):
            own = np.ascontiguousarray(scores[weights == weight]).reshape(-1)
            found = np.unique(own.view(np.int64) >> _SHIFT, return_counts=True)
            bins[found[0]] += weight * found[1]
    above = np.cumsum(bins[::-1])[::-1]  # in this bin or a higher one
    edge = int(np.flatnonzero(above >= count)[-1])
    inside, held = [], []
    for scores, weights in scan():
        rows, columns = np.nonzero(scores.view(np.int64) >> _SHIFT == edge)
        inside.append(scores[rows, columns])
        held.append(weights[rows])
    last = np.concatenate(inside)
    order = np.argsort(-last)
    together = np.cumsum(np.concatenate(held)[order])
    return float(last[order[np.searchsorted(together, count - (above[edge] - bins[edge]))]])
