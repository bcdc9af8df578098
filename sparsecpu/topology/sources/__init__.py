r"""The momentum of weights that do not exist, without a dense tensor.

Between two updates the pattern is fixed and inactive weights are 0, so an inactive position's
momentum is :math:`M = \sum_t b^{T-t} dY_t X_t^T` over the steps t. A source observes the gradient
of each step in its window, the last K steps before an update, and then says which inactive
positions have the largest \|M\|. Leaving out what lies before the window changes M by a factor of
b^K in any norm.

* ``window``: the factors of the last K steps, exactly; row tiles of M are formed at the update.
* ``tiles``: P row tiles, each accumulated densely for K steps, one after the other; each is exact
  at the end of its own turn.
* ``lowrank``: M to a given rank, from two running sketches; O(n) memory.
* ``candidates``: exact momentum on O(nnz) positions, drawn by the norms of rows and columns or
  proposed by ``lowrank``.
"""

from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.sources.candidates import Candidates
from sparsecpu.topology.sources.choice import PROPOSALS, SOURCES, choose_sources
from sparsecpu.topology.sources.lowrank import LowRank
from sparsecpu.topology.sources.tiles import Tiles
from sparsecpu.topology.sources.window import Window

__all__ = [
    "PROPOSALS", "SOURCES", "Candidates", "LowRank", "Source", "Tiles", "Window", "choose_sources",
]  # fmt: skip
