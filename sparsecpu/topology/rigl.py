"""RigL: drop by magnitude, grow by the gradient."""

from __future__ import annotations

import numpy as np

from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_largest
from sparsecpu.topology.selection import smallest
from sparsecpu.topology.tile_search import largest_gradients, search_memory


class RigL(BatchTopology):
    r"""Drop the smallest \|w\|, grow where the gradient of one batch is largest.

    At each update, layer l drops its :math:`k = \lfloor \alpha_t \text{nnz}_l \rfloor` weights of
    smallest \|w\| and grows the k inactive positions of largest \|dW\|, those just dropped
    included; :math:`\alpha_t` falls along a cosine to 0. dW is exact: tiles of it are formed and
    searched one after the other, in time O(n_in n_out batch) and memory O(tile + k).

    Parameters
    ----------
    prune_rate : float
        :math:`\alpha` at the start, in (0, 1).
    decay : {"cosine", "linear"}
        How it falls.
    update_every : int, optional
        Steps between updates; an epoch by default. The paper has 100; in-time
        over-parametrisation (ITOP) some thousands, with ``prune_rate=0.5``.
    stop_after : float
        Fraction of the training after which the pattern stays as it is.
    skip_step : bool
        Whether the batch whose gradient decides serves that alone, as published.
    regrow_keeps_value : bool
        Whether a weight that is dropped and grown in the same update keeps its value and slots.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Evci et al., Rigging the lottery: making all tickets winners (2020), algorithm 1. The authors'
    code forms the dense gradient, and adds N(0, 1e-5) noise to \|w\| to break ties; here ties go to
    the first position. New weights and their momentum start at 0. ITOP: Liu et al., Do we actually
    need dense over-parameterization? (2021).
    """

    name = "rigl"
    needs_gradients = True
    least_rate = 0.0

    def __init__(
        self, *, prune_rate: float = 0.3, decay: str = "cosine", update_every: int | None = None,
        stop_after: float = 0.75, skip_step: bool = True, regrow_keeps_value: bool = True,
        revive: bool = False, score: str = "l1",
    ) -> None:  # fmt: skip
        super().__init__(
            prune_rate=prune_rate, decay=decay, update_every=update_every, stop_after=stop_after,
            skip_step=skip_step, regrow_keeps_value=regrow_keeps_value, revive=revive,
            score=score,
        )  # fmt: skip

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        found = max((search_memory(shape) for shape in shapes), default=0)
        return super().memory(shapes, counts, batch_size, interval, momentum, groups) + found

    def see(self, parameter, view, rate) -> tuple[np.ndarray, np.ndarray]:
        return largest_gradients(parameter, view, int(rate * parameter.nnz))

    def drop(self, name, parameter, rate) -> np.ndarray:
        return smallest(np.abs(parameter.data), int(rate * parameter.nnz))

    def grow(self, name, parameter, dropped, count) -> Growth:
        pattern = parameter.pattern
        known = keys_of(pattern, dropped), parameter.grad[dropped]
        keys, _, shortfall = grow_largest(self.seen.pop(name), known, pattern, count, self.run.rng)
        return Growth(keys, facts={"shortfall": shortfall})
