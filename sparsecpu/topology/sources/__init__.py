r"""The momentum of weights that do not exist, without a dense tensor.

Between two updates the pattern is fixed and inactive weights are 0, so an inactive position's
momentum is :math:`M = \sum_t b^{T-t} dY_t X_t^T` over the steps t. A source observes each step's
``(x, dy)`` inside its window, the last K steps before an update, and answers which inactive
positions have the largest \|M\|.

* ``window``: the factors of the last K steps, exactly; row tiles of M are formed at the update.
* ``tiles``: P row tiles, each accumulated densely for K steps, one after the other; each is exact
  at the end of its own turn.
* ``lowrank``: M to a given rank, from two running sketches; O(n) memory.
* ``candidates``: exact momentum on O(nnz) positions, drawn by the norms of rows and columns or
  proposed by ``lowrank``.

Leaving out what lies before the window changes M by a factor of b^K in any norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.sources.candidates import Candidates
from sparsecpu.topology.sources.lowrank import LowRank
from sparsecpu.topology.sources.tiles import Tiles
from sparsecpu.topology.sources.window import Window

__all__ = ["Candidates", "LowRank", "Source", "Tiles", "Window", "choose_sources"]

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
    """Choose a source for each layer: window where it fits, else lowrank where it pays, candidates.

    Of the best choice's momentum, while LeNet-300-100 trains on digits28, a window finds 99 %,
    lowrank of rank 16 96 %, candidates (four per weight, by norms) 75 % and tiles, which are stale,
    38 % (``sparsecpu bench sources``).

    Parameters
    ----------
    parameters : dict of str to SparseParameter
        The layers.
    kind : {"auto", "window", "tiles", "lowrank", "candidates"}
        A source for all layers, or the rule above. Convolutions have candidates, or tiles.
    memory : float
        Bytes for all windows and tiles; the smallest layers choose first.
    interval : int
        Steps between updates. Tiles need enough of them for every part's turn.
    factor : float
        Candidates per active weight.
    proposal : {"norms", "uniform", "lowrank"}
        How candidates are drawn.
    rank : int
        Of ``lowrank``.
    rng : numpy.random.Generator
        Stream for candidates and sketches.
    **options : object
        ``steps, batch_size, momentum, share`` of ``Source``.

    Returns
    -------
    dict of str to Source
        By layer.
    """
    options["interval"] = interval
    steps, batch_size = options["steps"], options["batch_size"]
    sources: dict[str, Source] = {}
    need = {n: Window.nbytes(p, steps, batch_size) for n, p in parameters.items()}
    order = sorted(parameters, key=lambda name: need[name])
    for position, name in enumerate(order):
        parameter = parameters[name]
        # A window over all pixels would be far larger than the weights; and so with sketches.
        flat = not parameter.spatial
        windowed = kind == "window" or (kind == "auto" and need[name] <= memory)
        sketched = kind == "lowrank" or (
            kind == "auto" and LowRank.nbytes(parameter, rank) <= memory
            and LowRank.cost(parameter, rank, steps, batch_size) <= _WORTH * 6 * parameter.nnz
            * batch_size * interval
        )  # fmt: skip
        if windowed and flat:
            sources[name] = Window(parameter, **options)
            memory -= need[name]
        elif sketched and flat:
            sources[name] = LowRank(parameter, rank=rank, rng=rng, **options)
            memory -= LowRank.nbytes(parameter, rank)
        elif kind == "tiles":
            share = memory / (len(order) - position)
            parts = min(Tiles.parts_for(parameter, share), parameter.shape[0])
            turns = {**options, "steps": max(1, min(steps, interval // parts))}
            sources[name] = Tiles(parameter, parts=parts, **turns)
            memory -= 9 * sources[name].tile.size  # type: ignore[attr-defined]
        else:
            room = (interval if proposal == "lowrank" else 2 * interval - 2) // 2
            turns = {**options, "steps": max(1, min(steps, room))}
            sources[name] = Candidates(
                parameter, factor=factor, proposal=proposal, rank=rank, rng=rng, **turns
            )
    return sources
