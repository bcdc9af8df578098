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
#: Bytes per candidate: key, momentum, gradient and an entry of their pattern.
_CANDIDATE = 20
#: Bytes per candidate of the layer whose candidates are being drawn.
_DRAWING = 16


def sources_memory(
    shapes: Sequence[tuple[int, ...]], counts: Sequence[int], *, kind: str, memory: float,
    rank: int, factor: float, steps: int, batch_size: int, interval: int,
) -> float:  # fmt: skip
    """Estimate the bytes that ``choose_sources`` leads to, in layers of these shapes and weights.

    The other arguments are those of ``choose_sources``, which this follows.
    """
    total = search = 0.0
    largest = max(counts, default=0)
    layers = [(shape[0], math.prod(shape[1:]), len(shape) == 2) for shape in shapes]
    for (n_out, n_in, linear), count in sorted(
        zip(layers, counts, strict=True), key=lambda layer: sum(layer[0][:2])
    ):
        matrix = n_out, n_in
        window = Window.nbytes(matrix, _BYTES, steps, batch_size)
        sketch = LowRank.nbytes(matrix, _BYTES, rank)
        pays = sketch_pays(matrix, count, rank, memory, _BYTES, steps=steps,
                           batch_size=batch_size, interval=interval)  # fmt: skip
        candidates = factor * count * (_CANDIDATE + (_DRAWING if count == largest else 0))
        if linear and (kind == "window" or (kind == "auto" and window <= memory)):
            total += window
            memory -= window
            search = max(search, search_memory(matrix))
        elif linear and (kind == "lowrank" or (kind == "auto" and pays)):
            total += sketch
            memory -= sketch if kind == "auto" else 0
            search = max(search, search_memory(matrix))
        elif kind == "tiles":
            total += memory / len(layers) + 16 * count
        else:
            total += candidates
    return total + search
