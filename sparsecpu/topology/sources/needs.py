"""How much memory sources take, before there are layers to choose for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsecpu.topology.sources.choice import sketch_pays
from sparsecpu.topology.sources.lowrank import LowRank
from sparsecpu.topology.sources.window import Window
from sparsecpu.topology.tile_search import search_memory

#: Bytes of a number.
_BYTES = 4
#: Bytes per candidate: a key and an entry of their pattern; for each of its weights a momentum and
#: a gradient.
_CANDIDATE, _MOMENTUM = 12, 8
#: Bytes per candidate of the layer whose candidates are being drawn.
_DRAWING = 16
#: Bytes per position that a search finds in the largest layer, and for each of its weights.
_FOUND, _FOUND_WEIGHT = 32, 12


def sources_memory(
    shapes: Sequence[tuple[int, ...]], counts: Sequence[int], groups: Sequence[int], *,
    grown: float, kind: str, memory: float, rank: int, factor: float, steps: int, batch_size: int,
    interval: int,
) -> float:  # fmt: skip
    """Estimate the bytes that ``choose_sources`` leads to, in layers of these shapes and weights.

    ``grown`` is the fraction that an update grows; the other arguments are those of
    ``choose_sources``, which this follows.
    """
    total = search = 0.0
    largest = max(counts, default=0)
    layers = [(shape[0], math.prod(shape[1:]), len(shape) == 2) for shape in shapes]
    for (n_out, n_in, linear), count, group in sorted(
        zip(layers, counts, groups, strict=True), key=lambda layer: sum(layer[0][:2])
    ):
        matrix = n_out, n_in
        window = Window.nbytes(matrix, _BYTES, steps, batch_size)
        sketch = LowRank.nbytes(matrix, _BYTES, rank)
        pays = sketch_pays(matrix, count, rank, memory, _BYTES, steps=steps,
                           batch_size=batch_size, interval=interval)  # fmt: skip
        shared = _CANDIDATE + (_DRAWING if count == largest else 0)
        candidates = factor * count * (shared / group + _MOMENTUM)
        found = grown * count * (_FOUND / group + _FOUND_WEIGHT)
        if linear and (kind == "window" or (kind == "auto" and window <= memory)):
            total += window
            memory -= window
            search = max(search, search_memory(matrix) + found)
        elif linear and (kind == "lowrank" or (kind == "auto" and pays)):
            total += sketch
            memory -= sketch if kind == "auto" else 0
            search = max(search, search_memory(matrix) + found)
        elif kind == "tiles":
            total += memory / len(layers) + 16 * count
        else:
            total += candidates
    return total + search
