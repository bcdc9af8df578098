"""A dense network that is never held: tiles of its weights are generated when they are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sparsecpu.errors import ConflictError
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.best_shared import BestShared

#: Weights that are generated at a time, at most; and at most one of so many parts of a layer.
_TILE, _PARTS = 1 << 19, 32


class GeneratedNetwork:
    """Linear layers, with ReLU, dropout and flatten around them, and weights from a seed.

    A counter-based generator draws the rows of a tile, the same every time.
    """

    def __init__(self, architecture: Architecture, seed: int) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.names: list[str] = []
        #: How many weights the description keeps in each layer.
        self.counts: list[int] = []
        #: How many rows of each layer share their columns.
        self.group: list[int] = []
        #: Whether a ReLU stands before the first layer, before the second … and behind the last.
        self.bends = [False]
        width = architecture.widths()
        for i, layer in enumerate(architecture.layers):
            if layer.kind == "linear":
                self.names.append(f"{i}.weight")
                self.shapes.append((width[i + 1], width[i]))
                size = width[i + 1] * width[i]
                self.counts.append(layer.options.get("nnz") or size)
                self.group.append(checked_group(layer.options.get("group", 1)))
                self.bends.append(False)
            elif layer.kind == "relu":
                self.bends[-1] = True
            elif layer.kind not in ("dropout", "flatten"):
                reason = "which snip and synflow cannot score; random patterns suit all layers"
                raise ConflictError("pattern", f"{layer.kind} layers", reason)
        self.seed = seed

    def tiles(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows of a layer, whole groups, and their weights, float64, (rows, inputs)."""
        (n_out, n_in), group = self.shapes[layer], self.group[layer]
        most = min(_TILE, max(n_in, n_out * n_in // _PARTS))
        height = max(group, most // n_in // group * group)
        bound = math.sqrt(6.0 / n_in)
        for number, first in enumerate(range(0, n_out, height)):
            counter = np.array([0, 0, number, layer], dtype=np.uint64)
            rng = np.random.Generator(np.random.Philox(counter=counter, key=self.seed))
            rows = slice(first, min(first + height, n_out))
            tile = rng.random((rows.stop - first, n_in))
            tile -= 0.5
            tile *= 2 * bound
            yield rows, tile

    def groups_of(self, layer: int, rows: slice) -> slice:
        """Return the numbers of the groups that rows of a tile are in."""
        return slice(rows.start // self.group[layer], -(-rows.stop // self.group[layer]))

    def shared_scores(self, layer: int, scores: np.ndarray) -> np.ndarray:
        """Return the scores of shared columns from those of a tile: means over the rows.

        Sums would favour layers with large groups, whose shared columns take more weights, too.
        """
        group = self.group[layer]
        if group == 1:
            return scores
        starts = np.arange(0, len(scores), group)
        sums = np.add.reduceat(scores, starts, axis=0)
        return sums / np.diff(starts, append=len(scores))[:, None]

    def best(self) -> BestShared:
        """Return what finds the best shared columns over all layers, for what is to be kept."""
        return BestShared(self.shapes, self.group, sum(self.counts))

    def patterns(self, best: BestShared) -> dict[str, Pattern]:
        """Return patterns by layer of the best shared columns over all layers.

        Their weights are as many as the description keeps, less than a group apart, and there is at
        least one in each layer: where fewer scores were offered, free positions fill up; where an
        empty layer gets one, the fullest gives one.
        """
        parts = [keys for keys, _ in best.result()]

        def weights(layer: int, keys: np.ndarray) -> int:
            return int(best.weights_of(layer, keys).sum())

        missing = best.count - sum(weights(layer, part) for layer, part in enumerate(parts))
        for layer, part in enumerate(parts):
            size = math.prod(best.shared[layer])
            wanted = max(missing, 0) // self.group[layer]
            short = max(min(wanted, size - len(part)), int(len(part) == 0))
            if short:
                free = np.setdiff1d(np.arange(min(size, len(part) + short)), part)[:short]
                parts[layer] = sorted_once(part, free)
                missing -= weights(layer, free)
        while missing < 0:
            fullest = max(range(len(parts)), key=lambda i: len(parts[i]))
            if len(parts[fullest]) == 1:
                break
            missing += weights(fullest, parts[fullest][-1:])
            parts[fullest] = parts[fullest][:-1]
        return {name: best.pattern(i, parts[i]) for i, name in enumerate(self.names)}
