"""Gradual pruning of a network that starts with more weights than it is to keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.schedules import Schedule, cubic
from sparsecpu.topology.base import Report, Run, Topology
from sparsecpu.topology.selection import smallest, smallest_of_all

_NO_KEYS = np.empty(0, dtype=np.int64)


class GradualPruning(Topology):
    r"""Drop the weights nearest zero along a cubic schedule, and grow none.

    The only algorithm here that does not keep the number of weights: it takes a network of any
    density, say an imported dense one, down to another. Values stay in CSR all the while, so a
    dense start costs more memory than a dense matrix would.

    Parameters
    ----------
    density : float
        At the end, in (0, 1].
    scope : {"global", "layer"}
        One threshold over all layers, or the same fraction of each.
    begin, end : float
        When pruning begins and ends, as fractions of the run. The density is reached at the first
        update that is not before ``end``.
    update_every : int, optional
        Steps between updates; an epoch by default.

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

    def __init__(
        self,
        *,
        density: float = 0.1,
        scope: str = "global",
        begin: float = 0.0,
        end: float = 0.75,
        update_every: int | None = None,
    ) -> None:
        super().__init__(update_every=update_every)
        if scope not in ("global", "layer"):
            raise ParameterError("scope", scope, "'global' or 'layer'")
        if not 0.0 <= begin < end <= 1.0:
            raise ParameterError("begin", begin, "a number of at least 0 and below end, at most 1")
        if not 0.0 < density <= 1.0:
            raise ParameterError("density", density, "a number in (0, 1]")
        self.density, self.scope = float(density), scope
        self.begin, self.end = float(begin), float(end)
        self._start: dict[str, int] = {}

    def start(self, run: Run) -> None:
        """Learn about the run that is to come.

        Parameters
        ----------
        run : Run
            The run.
        """
        super().start(run)
        self._start = {name: p.nnz for name, p in run.parameters.items()}

    def schedule(self, start: int, size: int) -> Schedule:
        """Return how many weights there should be at each step.

        Parameters
        ----------
        start : int
            How many there were at first.
        size : int
            Positions.

        Returns
        -------
        callable
            A function of the optimizer steps done.
        """
        first, last = (round(part * self.run.total_steps) for part in (self.begin, self.end))
        return cubic(start, min(round(self.density * size), start), first, last)

    def update(self, steps_done: int) -> Report:
        """Drop what the schedule asks for; every layer keeps at least its largest.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        Report
            What happened.
        """
        parameters = self.run.parameters
        held = sum(p.nnz for p in parameters.values())
        if self.scope == "global":
            size = sum(p.pattern.size for p in parameters.values())
            wanted = round(self.schedule(sum(self._start.values()), size)(steps_done))
            lost = smallest_of_all([p.data for p in parameters.values()], max(held - wanted, 0))
        else:
            lost = []
            for name, p in parameters.items():
                wanted = round(self.schedule(self._start[name], p.pattern.size)(steps_done))
                lost.append(smallest(np.abs(p.data), p.nnz - max(wanted, 1)))
        report = Report(steps_done, sum(map(len, lost)) / max(held, 1))
        for (name, parameter), places in zip(parameters.items(), lost, strict=True):
            parameter.rewire_keys(places.astype(np.int32), _NO_KEYS)
            facts = {"dropped": len(places), "grown": 0, "regrown": 0, "nnz": parameter.nnz}
            report.layers[name] = facts
        return report

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what a resumed run needs: how many weights there were at first."""
        return {"start": self._start}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        values : dict
            Plain values.
        arrays : dict of str to ndarray
            None.
        """
        self._start = {name: int(count) for name, count in values["start"].items()}
