"""At which steps a topology changes, how much of it, and which gradients it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from sparsecpu.schedules import Schedule, cosine, linear
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.run import Run

Observer = Callable[[SparseParameter, GradientView], None]


class Timing:
    """Updates every so many steps, of a part of the weights that shrinks during training.

    The parameters are those of ``Topology``, which sets them.
    """

    prune_rate: float
    decay: str
    update_every: int | None
    stop_after: float
    #: Where the cosine ends.
    least_rate: ClassVar[float] = 0.005

    def start(self, run: Run) -> None:
        """Learn about the run that is to come, before its first step."""
        self.run = run
        self.interval = self.update_every or run.steps_per_epoch
        self.last_step = int(self.stop_after * run.total_steps)
        if self.decay == "cosine":
            self.rate: Schedule = cosine(self.prune_rate, self.last_step, self.least_rate)
        else:
            self.rate = linear(self.prune_rate, self.last_step)

    def expect(self, batch_size: int) -> None:
        """Get ready for steps of up to ``batch_size`` samples, where the run began with fewer."""
        if batch_size > self.run.batch_size:
            self.run = replace(self.run, batch_size=batch_size)

    def steps_to_update(self, step: int) -> int | None:
        """Return how many steps, the one numbered ``step`` included, lie before the next update.

        None where no update comes any more.
        """
        upcoming = (step // self.interval + 1) * self.interval
        return upcoming - step if upcoming < self.last_step else None

    def due(self, steps_done: int) -> bool:
        """Return True if an update comes now, after ``steps_done`` optimizer steps."""
        comes = steps_done % self.interval == 0 and 0 < steps_done < self.last_step
        return comes and bool(self.run.parameters)

    def observer(self, step: int) -> Observer | None:
        """Return what is to see every layer's gradient in the step that is about to run.

        Parameters
        ----------
        step : int
            Its number, counted from 0.

        Returns
        -------
        callable or None
            ``observe(parameter, view)``; see ``sparsecpu.step.gradient_view``.
        """
        return None

    def replaces_step(self, step: int) -> bool:
        """Return True if the gradients of this ``step`` serve an update only and train nothing."""
        return False
