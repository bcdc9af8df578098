"""Gradual pruning of a network that starts with more weights than it is to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries.numbers import is_number
from sparsecpu.schedules import Schedule, cubic
from sparsecpu.sparse.densities import check_density
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.plain_values import named, table, whole
from sparsecpu.topology.base import Topology
from sparsecpu.topology.change import Change, Growth
from sparsecpu.topology.options import one_of
from sparsecpu.topology.run import Report, Run
from sparsecpu.topology.selection import smallest, smallest_of_all
from sparsecpu.topology.shared_columns import weights_of
from sparsecpu.topology.weight_counts import positions_of, sizes_of_places

#: Bytes per position where the smallest of all layers are dropped; and where these are put in
#: order, for positions stand for several weights.
_COMPETING, _IN_ORDER = 20, 56


class GradualPruning(Topology):
    r"""Drop the weights nearest zero along a cubic schedule, and grow none.

    The only algorithm here that does not keep the number of weights: it takes a network of any
    density, say an imported dense one, down to another. Every layer keeps its largest weight.
    Values stay in CSR all the while, so a dense start costs more memory than a dense matrix would.

    Parameters
    ----------
    density : float
        Density at the end, in (0, 1].
    scope : {"global", "layer"}
        One threshold over all layers, or the same fraction of each.
    begin, end : float
        When pruning begins and ends, as fractions of the run. The density is reached at the first
        update that is not before ``end``.
    update_every : int, optional
        Steps between updates; an epoch by default.
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Zhu and Gupta, To prune, or not to prune (2017). Not always sparse: a reference to compare
    with, and the way from a dense checkpoint to a sparse one.
    """

    name = "gradual"
    keeps_nnz = False
    choices: ClassVar = {**Topology.choices, "scope": ("global", "layer")}

    def __init__(
        self, *, density: float = 0.1, scope: str = "global", begin: float = 0.0, end: float = 0.75,
        update_every: int | None = None, score: str = "l1",
    ) -> None:  # fmt: skip
        super().__init__(update_every=update_every, score=score)
        if not (is_number(begin) and is_number(end) and 0.0 <= begin < end <= 1.0):
            raise ParameterError("begin", begin, "a number of at least 0 and below end, at most 1")
        self.density = check_density(density)
        self.scope = one_of("scope", scope, self.choices["scope"])
        self.begin, self.end = float(begin), float(end)
        self._start: dict[str, int] = {}

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        each = _IN_ORDER if max(groups, default=1) > 1 else _COMPETING
        sharing = each * sum(positions_of(counts, groups)) if self.scope == "global" else 0.0
        return super().memory(shapes, counts, batch_size, interval, momentum, groups) + sharing

    def start(self, run: Run) -> None:
        super().start(run)
        self._start = {name: weights_of(p).nnz for name, p in run.parameters.items()}

    def schedule(self, start: int, size: int) -> Schedule:
        """Return how many weights of ``size`` positions there should be after so many steps.

        At first there are ``start`` of them.
        """
        first, last = (round(part * self.run.total_steps) for part in (self.begin, self.end))
        return cubic(start, min(round(self.density * size), start), first, last)

    def update(self, steps_done: int) -> Report:
        held = sum(weights_of(p).nnz for p in self.run.parameters.values())
        report = super().update(steps_done)
        dropped = sum(facts["dropped"] for facts in report.layers.values())
        report.prune_rate = dropped / max(held, 1)  # as the schedule has it
        return report

    def decide(self, steps_done: int, rate: float) -> Iterator[tuple[str, Change]]:
        parameters = self.run.parameters
        if self.scope == "global":
            held = sum(weights_of(p).nnz for p in parameters.values())
            size = sum(weights_of(p).pattern.size for p in parameters.values())
            wanted = round(self.schedule(sum(self._start.values()), size)(steps_done))
            units = [sizes_of_places(p) for p in parameters.values()]
            layers = [p.data for p in parameters.values()]
            drops = smallest_of_all(layers, max(held - wanted, 0), units)
        else:
            drops = [self._smallest(steps_done, name, p) for name, p in parameters.items()]
        for name, drop in zip(parameters, drops, strict=True):
            yield name, Change(drop, Growth(np.empty(0, dtype=np.int64)))

    def _smallest(self, steps_done: int, name: str, parameter: SparseParameter) -> np.ndarray:
        """Return the places that one layer drops by itself."""
        weights, units = weights_of(parameter), sizes_of_places(parameter)
        wanted = round(self.schedule(self._start[name], weights.pattern.size)(steps_done))
        if weights is parameter:
            return smallest(np.abs(weights.data), max(weights.nnz - max(wanted, 1), 0))
        return smallest_of_all([parameter.data], max(weights.nnz - wanted, 0), [units])[0]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"start": self._start}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        start = table({"start": named(whole(0), self.run.parameters)})(values, "topology")["start"]
        for name, parameter in self.run.parameters.items():
            weights = weights_of(parameter)
            whole(weights.nnz, weights.pattern.size)(start[name], f"topology.start.{name}")
        self._start = dict(start)
