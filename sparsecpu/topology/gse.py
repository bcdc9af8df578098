"""Guided stochastic exploration: grow by the gradient among drawn positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from typing import Any, ClassVar

import numpy as np

from sparsecpu.registries.numbers import above_zero
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.change import Change, Growth
from sparsecpu.topology.options import one_of
from sparsecpu.topology.sampling import draw_inactive
from sparsecpu.topology.selection import choose_weights, largest, smallest_of_all
from sparsecpu.topology.weight_counts import (
    places_in_whole_groups,
    positions_of,
    unit_of,
    whole_groups,
)

#: Bytes that a drawn position takes while its layer is seen: its own, and for each of its weights.
#: An update takes as much where three quarters of the active positions are drawn.
_DRAWN, _DRAWN_WEIGHT, _ANYWAY = 20, 4, 0.75
#: Bytes for each drawn, and each active position, of all layers where these compete.
_HELD, _COMPETING = 12, 8

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
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups.

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
    choices: ClassVar = {
        **BatchTopology.choices, "distribution": DISTRIBUTIONS, "scope": ("layer", "global"),
    }  # fmt: skip

    def __init__(
        self, *, prune_rate: float = 0.2, distribution: str = "uniform", subset: float = 1.0,
        scope: str = "layer", update_every: int | None = None, stop_after: float = 0.6,
        skip_step: bool = True, revive: bool = False, score: str = "l1",
    ) -> None:  # fmt: skip
        super().__init__(prune_rate=prune_rate, update_every=update_every, stop_after=stop_after,
                         skip_step=skip_step, regrow_keeps_value=False, revive=revive,
                         score=score)  # fmt: skip
        self.distribution = one_of("distribution", distribution, DISTRIBUTIONS)
        self.scope = one_of("scope", scope, self.choices["scope"])
        self.subset = float(above_zero("subset", subset))

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        usual = super().memory(shapes, counts, batch_size, interval, momentum, groups)
        positions = positions_of(counts, groups)
        each = zip(counts, positions, strict=True)
        layer = max((_DRAWN * p + _DRAWN_WEIGHT * count for count, p in each), default=0.0)
        held = (_HELD * self.subset + _COMPETING) * sum(positions)
        alone = usual + max(0.0, self.subset - _ANYWAY) * layer
        return alone + (held if self.scope == "global" else 0.0)

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
        if self.scope == "layer":
            for name in names:
                part = _Part(self.run.parameters[name], *self.seen[name][:2])
                ((drop, keys),) = _exchange([part], rate)
                yield name, Change(drop, Growth(keys, facts={"drawn": self.seen.pop(name)[2]}))
            return
        found = [self.seen.pop(name) for name in names]
        halves = [_Part(self.run.parameters[name], *seen[:2]).halves()
                  for name, seen in zip(names, found, strict=True)]  # fmt: skip
        whole = _exchange([half[0] for half in halves], rate)
        for name, (_, last), (drop, keys), seen in zip(names, halves, whole, found, strict=True):
            if last is not None:  # a last group of fewer rows has to keep what it has
                ((more, others),) = _exchange([last], rate)
                drop, keys = np.append(drop, more), np.append(keys, others)
            yield name, Change(drop, Growth(keys, facts={"drawn": seen[2]}))


class _Part:
    """Weights of a layer from some place on, and what might grow there."""

    def __init__(self, parameter: Any, keys: np.ndarray, scores: np.ndarray) -> None:
        self.parameter, self.keys, self.scores = parameter, keys, scores
        self.data, self.first, self.unit = parameter.data, 0, unit_of(parameter)

    def halves(self) -> tuple[_Part, _Part | None]:
        """Return the groups that have all their rows, and the last one where it has fewer."""
        groups, places = whole_groups(self.parameter), places_in_whole_groups(self.parameter)
        if groups == self.parameter.shape[0]:
            return self, None
        last = copy(self)
        edge = int(np.searchsorted(self.keys, groups * self.parameter.shape[1]))
        last.data, self.data, last.first = self.data[places:], self.data[:places], places
        last.keys, self.keys = self.keys[edge:], self.keys[:edge]
        last.scores, self.scores = self.scores[edge:], self.scores[:edge]
        return self, last


def _exchange(parts: list[_Part], rate: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return places to drop and keys to grow in each part, of as many weights altogether."""
    units = [part.unit for part in parts]
    held = sum(unit * len(part.data) for unit, part in zip(units, parts, strict=True))
    wanted = min(units) * math.ceil(rate * held / min(units))
    total = min(wanted, sum(unit * len(p.keys) for unit, p in zip(units, parts, strict=True)))
    while True:
        drops = smallest_of_all([part.data for part in parts], total, units)
        gone = sum(unit * len(drop) for unit, drop in zip(units, drops, strict=True))
        best = choose_weights(largest, [part.scores for part in parts], gone, units)
        total = sum(unit * len(top) for unit, top in zip(units, best, strict=True))
        if total == gone:
            return [(drop + part.first, part.keys[top])
                    for part, drop, top in zip(parts, drops, best, strict=True)]  # fmt: skip
