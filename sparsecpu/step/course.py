"""How long a run is: its passes over the samples, its epochs, and its steps in all."""

from __future__ import annotations

from dataclasses import dataclass

from sparsecpu.kernels.machine.cached import cached_property

#: A run of so many steps has at least so many epochs, where it has the steps for them.
_EPOCHS = 10


@dataclass(frozen=True)
class Origin:
    """Where epochs begin to have another length: after so many steps, which made so many epochs."""

    step: int
    epoch: int
    epoch_steps: int


@dataclass(frozen=True)
class Course:
    """A run of so many epochs, or of so many optimizer steps.

    A run of ``epochs`` has a pass over all samples for each. A run of ``steps`` ends after these,
    wherever in a pass that is; its epochs are passes, too, but no longer than a tenth of the run:
    so much lies between two records of the history. Passes go on across the ends of such epochs.

    Parameters
    ----------
    samples : int
        Samples of a pass.
    per_step : int
        Samples of a step; the last step of a pass may have fewer.
    epochs : int
        Passes, where ``steps`` is None.
    steps : int or None
        Steps of the whole run.
    origin : Origin, optional
        Where the run was given this number of steps, if it was begun with another one.
    """

    samples: int
    per_step: int
    epochs: int
    steps: int | None = None
    origin: Origin | None = None

    def lengthened(self, step: int, steps: int) -> Origin:
        """Return where epochs begin anew in a run of other ``steps`` that has done ``step`` ones.

        That is the end of its last epoch. Epochs become longer with the run, but never shorter.
        """
        longer = min(self.pass_steps, -(-steps // _EPOCHS))
        done = self.epochs_done(step)
        ended = step if self.ends_epoch(step) else self._epoch_begin(step)
        return Origin(ended, done, max(self.epoch_steps, longer))

    @cached_property
    def pass_steps(self) -> int:
        """Steps of a pass over all samples."""
        return -(-self.samples // self.per_step)

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of an epoch; the last one of a run of so many steps may have fewer."""
        if self.steps is None:
            return self.pass_steps
        if self.origin is not None:
            return self.origin.epoch_steps
        return min(self.pass_steps, -(-self.steps // _EPOCHS))

    @cached_property
    def total_steps(self) -> int:
        """Steps of the run."""
        return self.pass_steps * self.epochs if self.steps is None else self.steps

    @cached_property
    def total_epochs(self) -> int:
        """Epochs of the run."""
        return self._first_epoch - (self._first_step - self.total_steps) // self.epoch_steps

    @property
    def _first_step(self) -> int:
        return 0 if self.origin is None else self.origin.step

    @property
    def _first_epoch(self) -> int:
        return 0 if self.origin is None else self.origin.epoch

    def position(self, step: int) -> int:
        """Return how many samples of its pass are used after so many steps."""
        return step % self.pass_steps * self.per_step

    def ends_epoch(self, step: int) -> bool:
        """Return True if an epoch ends after so many steps."""
        return (step - self._first_step) % self.epoch_steps == 0 or step == self.total_steps

    def epochs_done(self, step: int) -> int:
        """Return how many epochs have ended after so many steps."""
        if step == self.total_steps:
            return self.total_epochs
        return self._first_epoch + (step - self._first_step) // self.epoch_steps

    def samples_of_epoch(self, step: int) -> int:
        """Return the samples of the steps from the beginning of an epoch up to so many steps."""
        return self.samples_used(step) - self.samples_used(self._epoch_begin(step))

    def _epoch_begin(self, step: int) -> int:
        """Return after how many steps the epoch of the last one began."""
        first = self._first_step
        return max(0, first + (step - 1 - first) // self.epoch_steps * self.epoch_steps)

    def samples_used(self, step: int) -> int:
        """Return the samples of so many steps, those of earlier passes counted again."""
        return step // self.pass_steps * self.samples + self.position(step)
