"""Which source each layer has."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.shared_columns import weights_of
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.sources.candidates import Candidates
from sparsecpu.topology.sources.lowrank import LowRank
from sparsecpu.topology.sources.tiles import Tiles
from sparsecpu.topology.sources.window import Window

#: Sources that users may name, and how candidates may be drawn.
SOURCES = (Window.name, Tiles.name, LowRank.name, Candidates.name)
PROPOSALS = ("norms", "uniform", "lowrank")
#: Sketches may cost this fraction of an interval's multiplications at the nonzeros.
_WORTH = 0.1


def choose_sources(
    parameters: dict[str, SparseParameter],
    *,
    kind: str,
    memory: float,
    interval: int,
    factor: float,
    proposal: str = "norms",
    rank: int = 16,
    rng: np.random.Generator,
    **options: Any,
) -> dict[str, Source]:
    """Return a source of one kind for each layer; filters have candidates, or tiles.

    ``auto`` takes a window where it fits in ``memory`` (bytes for all layers, of which the smallest
    choose first), else lowrank where it pays, else candidates. ``options`` are those of ``Source``.

    While LeNet-300-100 trains on digits28, a window finds 99 % of the best choice's momentum,
    lowrank of rank 16 96 %, candidates (four per weight, by norms) 75 % and tiles, which are stale,
    38 % (``sparsecpu bench sources``).
    """
    options["interval"] = interval
    steps, batch_size = options["steps"], options["batch_size"]
    drawn: dict[str, Any] = {"factor": factor, "rank": rank, "rng": rng}
    sources: dict[str, Source] = {}
    need = {
        name: Window.nbytes(p.shape, p.data.itemsize, steps, batch_size)
        for name, p in ((name, weights_of(columns)) for name, columns in parameters.items())
    }
    order = sorted(parameters, key=lambda name: need[name])
    for position, name in enumerate(order):
        parameter, weights = parameters[name], weights_of(parameters[name])
        chosen = kind
        if kind == "auto" and need[name] <= memory:
            chosen = "window"
        elif kind == "auto":
            pays = sketch_pays(
                weights.shape, weights.nnz, rank, memory, weights.data.itemsize, **options
            )
            chosen = "lowrank" if pays else "candidates"
        proposed = proposal
        if parameter.spatial:  # the factors of all pixels are far larger than the weights
            chosen = "tiles" if kind == "tiles" else "candidates"
            proposed = "norms" if proposal == "lowrank" else proposal
        if chosen == "window":
            sources[name] = Window(parameter, **options)
            memory -= need[name]
        elif chosen == "lowrank":
            sources[name] = LowRank(parameter, rank=rank, rng=rng, **options)
            memory -= LowRank.nbytes(weights.shape, weights.data.itemsize, rank)
        elif chosen == "tiles":
            parts = Tiles.parts_for(parameter, memory / (len(order) - position))
            turns = {**options, "steps": max(1, min(steps, interval // parts))}
            tiles = sources[name] = Tiles(parameter, parts=parts, **turns)
            memory -= 9 * tiles.tile.size
        else:
            room = (interval if proposal == "lowrank" else 2 * interval - 2) // 2
            turns = {**options, "steps": max(1, min(steps, room))}
            sources[name] = Candidates(parameter, proposal=proposed, **drawn, **turns)
    return sources


def sketch_pays(
    shape: tuple[int, int], nnz: int, rank: int, memory: float, itemsize: int, *, steps: int,
    batch_size: int, interval: int, **_: Any,
) -> bool:  # fmt: skip
    """Return True if sketches fit and cost little beside the products at the nonzeros."""
    products = 6 * nnz * batch_size * interval
    cost = LowRank.cost(shape, rank, steps, batch_size)
    return LowRank.nbytes(shape, itemsize, rank) <= memory and cost <= _WORTH * products
