"""Guided stochastic exploration: grow by the gradient among drawn positions."""

import math
from collections.abc import Iterator

import numpy as np

from sparsecpu.registries.numbers import above_zero
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.change import Change, Growth
from sparsecpu.topology.options import one_of
from sparsecpu.topology.sampling import draw_inactive
from sparsecpu.topology.selection import choose_together, largest, smallest_of_all

#: Distributions, and the activity that each draws by; see ``GradientView.activity``.
DISTRIBUTIONS = {"uniform": None, "grabo": "bound", "graest": "estimate"}


class GuidedStochasticExploration(BatchTopology):
    r"""Drop the smallest \|w\|, grow the best of a drawn subset, in time linear in the nonzeros.

    With A active, an update draws :math:`\lceil \gamma |A| \rceil` positions; those not in A are S.
    The :math:`k = \min(\lceil \alpha_t |A| \rceil, |S|)` of S with largest \|dW\| in one batch grow
    from 0, and the k smallest \|w\| are dropped. Time O(n + nnz batch), memory O(nnz).

    Parameters
    ----------
    prune_rate : float
        :math:`\alpha` at the start, in (0, 1); it falls along a cosine to 0.
    distribution : {"uniform", "grabo", "graest"}
        How positions are drawn: all alike; by :math:`\|x\|_1 \|dy\|_1`, which bounds \|dW\|; by an
        unbiased estimate of it.
    subset : float
        :math:`\gamma`, drawn positions per active weight.
    scope : {"layer", "global"}
        Whether each layer keeps its number of weights, or all of them compete.
    update_every : int, optional
        Steps between updates; an epoch by default, 1000 in the paper.
    stop_after : float
        Fraction of the training after which the pattern stays as it is.
    skip_step : bool
        Whether the batch whose gradient decides serves that alone, as in the paper's algorithm.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Heddes et al., Always-sparse training by growing connections with guided stochastic exploration
    (2024), algorithm 2; what their code does is ``scope="global"``. From density 0.5 on, S is a
    random part of all inactive positions.
    """

    name, least_rate = "gse", 0.0

    def __init__(
        self, *, prune_rate: float = 0.2, distribution: str = "uniform", subset: float = 1.0,
        scope: str = "layer", update_every: int | None = None, stop_after: float = 0.6,
        skip_step: bool = True, revive: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(prune_rate=prune_rate, update_every=update_every, stop_after=stop_after,
                         skip_step=skip_step, regrow_keeps_value=False, revive=revive)  # fmt: skip
        self.distribution = one_of("distribution", distribution, DISTRIBUTIONS)
        self.scope = one_of("scope", scope, ("layer", "global"))
        self.subset = float(above_zero("subset", subset))

    def see(self, parameter, view, rate) -> tuple[np.ndarray, np.ndarray, int]:
        pattern = parameter.pattern
        kind, count = DISTRIBUTIONS[self.distribution], math.ceil(self.subset * pattern.nnz)
        drawn = draw_inactive(pattern, count, view, kind, self.run.rng)
        scores = np.abs(view.at(Pattern.from_keys(pattern.shape, drawn)))
        usable = math.ceil(rate * pattern.nnz) if self.scope == "layer" else len(drawn)
        best = largest(scores, usable)
        return drawn[best], scores[best], len(drawn)

    def decide(self, steps_done: int, rate: float) -> Iterator[tuple[str, Change]]:
        names = list(self.run.parameters)
        for group in [[name] for name in names] if self.scope == "layer" else [names]:
            weights = [self.run.parameters[name].data for name in group]
            keys, scores, sizes = zip(*map(self.seen.pop, group), strict=True)
            count = min(math.ceil(rate * sum(map(len, weights))), sum(map(len, scores)))
            drops = smallest_of_all(weights, count)
            best = choose_together(largest, list(scores), sum(map(len, drops)))
            for name, drop, s, top, size in zip(group, drops, keys, best, sizes, strict=True):
                yield name, Change(drop, Growth(s[top], facts={"drawn": size}))
