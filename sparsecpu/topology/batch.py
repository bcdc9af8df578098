"""Algorithms that grow by what a single batch shows."""

from __future__ import annotations

from typing import Any

from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.base import Topology
from sparsecpu.topology.run import Run
from sparsecpu.topology.timing import Observer
from sparsecpu.topology.weight_counts import positions_of

#: Bytes of a key and a score.
_SEEN = 12


class BatchTopology(Topology):
    """Base of the algorithms that grow by what one batch shows, the last before an update.

    A subclass writes ``see``; what it returns for a layer is in ``seen`` when the update comes.

    Parameters
    ----------
    skip_step : bool
        Whether the optimizer sits that step out.
    **options : object
        See ``Topology``.
    """

    def __init__(self, *, skip_step: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.skip_step = skip_step
        self.seen: dict[str, Any] = {}

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        seen = _SEEN * self.prune_rate * sum(positions_of(counts, groups))  # of all layers
        return super().memory(shapes, counts, batch_size, interval, momentum, groups) + seen

    def start(self, run: Run) -> None:
        super().start(run)
        self.seen = {}
        self._name_of = {id(parameter): name for name, parameter in run.parameters.items()}

    def replaces_step(self, step: int) -> bool:
        return self.skip_step and self.due(step + 1)

    def observer(self, step: int) -> Observer | None:
        if not self.due(step + 1):
            return None
        rate = self.rate(step + 1)

        def observe(parameter: SparseParameter, view: GradientView) -> None:
            self.seen[self._name_of[id(parameter)]] = self.see(parameter, view, rate)

        return observe

    def see(self, parameter: SparseParameter, view: GradientView, rate: float) -> Any:
        """Return what the update needs to know of the batch.

        Parameters
        ----------
        parameter : SparseParameter
            A layer's weights.
        view : GradientView
            Its gradient.
        rate : float
            Fraction of the weights that the update drops.
        """
        raise NotImplementedError
