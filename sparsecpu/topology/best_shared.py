"""The best shared columns of several layers together, as many as their weights may be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.running_top import RunningTop


class BestShared:
    """The shared columns of largest scores, which stand for ``count`` weights at most.

    Their scores are offered layer by layer, and nothing else is held. ``shapes`` are those of the
    layers' weights, ``groups`` the sizes of their groups of rows; where one is 1, a shared column
    is a weight.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], groups: Sequence[int], count: int
    ) -> None:
        self.shapes, self.groups, self.count = shapes, groups, count
        #: Shapes of the patterns of groups; their keys are those of shared columns.
        self.shared = [
            (-(-n_out // group), n_in)
            for (n_out, n_in), group in zip(shapes, groups, strict=True)
        ]  # fmt: skip
        #: Where the keys of each layer begin, if all layers are numbered as one.
        self._offsets = np.cumsum([0] + [math.prod(shape) for shape in self.shared])
        least = min(
            self.rows_of(layer, np.array([number - 1])).min()
            for layer, (number, _) in enumerate(self.shared)
        )
        self._top = RunningTop(int(count // least), np.float64)

    def rows_of(self, layer: int, groups: np.ndarray) -> np.ndarray:
        """Return how many rows some groups of a layer have."""
        return np.minimum(self.groups[layer], self.shapes[layer][0] - groups * self.groups[layer])

    def weights_of(self, layer: int, keys: np.ndarray) -> np.ndarray:
        """Return how many weights some keys of shared columns stand for, each."""
        return self.rows_of(layer, keys // self.shapes[layer][1])

    def offer(self, layer: int, keys: np.ndarray, scores: np.ndarray) -> None:
        """Offer scores; keys must be distinct over the whole stream. A 0 is never among the best.

        Magnitudes count.
        """
        self._top.add(keys + self._offsets[layer], scores)

    def offer_rows(self, layer: int, first: int, scores: np.ndarray) -> None:
        """Offer the scores of all columns of neighbouring groups, of which the first has a number.

        None is below 0.
        """
        flat = scores.reshape(-1)
        above = np.flatnonzero(flat > self._top.threshold)
        self.offer(layer, above + first * scores.shape[1], flat[above])

    def result(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the sorted keys of each layer's best, and their scores."""
        keys, scores = self._top.result()
        cuts = np.searchsorted(keys, self._offsets)
        layers = [
            (keys[a:b] - start, scores[a:b])
            for a, b, start in zip(cuts[:-1], cuts[1:], self._offsets, strict=False)
        ]
        held = np.concatenate([self.weights_of(i, own) for i, (own, _) in enumerate(layers)])
        if held.sum() <= self.count:  # always, where all groups have as many rows
            return layers
        order = np.lexsort((keys, -np.abs(scores)))
        stays = np.zeros(len(keys), dtype=bool)
        stays[order[np.cumsum(held[order]) <= self.count]] = True
        return [
            (own[stays[a:b]], found[stays[a:b]])
            for (own, found), a, b in zip(layers, cuts[:-1], cuts[1:], strict=True)
        ]

    def pattern(self, layer: int, keys: np.ndarray) -> Pattern:
        """Return a layer's pattern of some sorted keys of shared columns; a full one has none."""
        shape = self.shapes[layer]
        groups = Pattern.from_keys(self.shared[layer], keys)
        if groups.is_full:
            return Pattern.full(shape)
        return Pattern.of_groups(shape[0], self.groups[layer], groups)
