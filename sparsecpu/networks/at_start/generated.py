"""A dense network that is never held: tiles of its weights are generated when they are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sparsecpu.errors import ConflictError
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern

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
        #: Whether a ReLU stands before the first layer, before the second … and behind the last.
        self.bends = [False]
        width = architecture.widths()
        for i, layer in enumerate(architecture.layers):
            if layer.kind == "linear":
                self.names.append(f"{i}.weight")
                self.shapes.append((width[i + 1], width[i]))
                size = width[i + 1] * width[i]
                self.counts.append(layer.options.get("nnz") or size)
                self.bends.append(False)
            elif layer.kind == "relu":
                self.bends[-1] = True
            elif layer.kind not in ("dropout", "flatten"):
                reason = "which snip and synflow cannot score; random patterns suit all layers"
                raise ConflictError("pattern", f"{layer.kind} layers", reason)
        self.seed = seed
        #: Where the keys of each layer begin, if all layers are numbered as one.
        self.offsets = np.cumsum([0] + [o * i for o, i in self.shapes])

    def tiles(self, layer: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows of a layer and their weights, float64 of shape (rows, inputs)."""
        n_out, n_in = self.shapes[layer]
        most = min(_TILE, max(n_in, n_out * n_in // _PARTS))
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

    def key_of_row(self, layer: int, row: int) -> int:
        """Return the key of a row's first weight, if all layers are numbered as one."""
        return int(self.offsets[layer]) + row * self.shapes[layer][1]

    def patterns(self, keys: np.ndarray) -> dict[str, Pattern]:
        """Return patterns by layer from the keys of the best weights over all layers.

        As many weights as the description keeps, and at least one in each layer: where fewer keys
        are given, free positions fill up; where an empty layer gets one, the fullest gives one.
        """
        cuts = np.searchsorted(keys, self.offsets)
        parts = [
            keys[a:b] - start for a, b, start in zip(cuts, cuts[1:], self.offsets, strict=False)
        ]
        missing = sum(self.counts) - sum(map(len, parts))
        for layer, part in enumerate(parts):
            size = math.prod(self.shapes[layer])
            short = max(0 if missing <= 0 else min(missing, size - len(part)), int(len(part) == 0))
            if short:
                free = np.setdiff1d(np.arange(min(size, len(part) + short)), part)[:short]
                parts[layer] = sorted_once(part, free)
                missing -= short
        for _ in range(max(0, -missing)):
            fullest = max(range(len(parts)), key=lambda i: len(parts[i]))
            parts[fullest] = parts[fullest][:-1]
        return {
            name: Pattern.from_keys(shape, part)
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }
