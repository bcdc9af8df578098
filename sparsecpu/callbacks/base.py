"""Hooks into training: the base, whose hooks do nothing, and what they may ask of the trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np

from sparsecpu.registries.words import spelled
from sparsecpu.step.course import Course


class Training(Protocol):
    """What a callback may ask of the trainer, and change."""

    network: Any
    accumulate: int
    epochs: int
    steps_done: int
    epochs_done: int
    stop: bool
    interrupted: bool
    learning_rate_factor: float
    steps_per_epoch: int
    course: Course

    @property
    def halted(self) -> bool:
        """True if training is broken off after this step, to be resumed."""
        ...

    def learning_rate_now(self) -> float:
        """Return the learning rate of the next step."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all that a resumed run needs beside the model: plain values, and arrays."""
        ...


class Callback:
    """Base of the callbacks: every hook does nothing.

    ``comes_last`` is True for those that keep what the others have become: before training and
    after an epoch their hooks come behind all others.
    """

    comes_last: ClassVar[bool] = False

    def __repr__(self) -> str:
        return spelled(self)

    def on_fit_start(self, trainer: Training) -> None:
        """Take note that training is about to start, or to go on.

        Parameters
        ----------
        trainer : Training
            The trainer.
        """

    def on_step(self, trainer: Training, loss: float) -> None:
        """Take note that an optimizer step is done.

        Parameters
        ----------
        trainer : Training
            The trainer.
        loss : float
            Mean loss of the batch, before the step.
        """

    def on_update(self, trainer: Training, report: Any) -> None:
        """Take note that the topology has changed.

        Parameters
        ----------
        trainer : Training
            The trainer.
        report : topology.Report
            What was dropped and grown.
        """

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Take note that an epoch is done.

        Parameters
        ----------
        trainer : Training
            The trainer; ``trainer.stop = True`` ends training.
        record : dict
            ``epoch, step, loss, learning_rate``; a callback may add to it for those after it.
        """

    def on_fit_end(self, trainer: Training) -> None:
        """Take note that training has ended, by itself or early.

        Parameters
        ----------
        trainer : Training
            The trainer.
        """

    def on_fit_failed(self, trainer: Training) -> None:
        """Take note that an error has ended training, or Ctrl-C at once; it is raised after this.

        Parameters
        ----------
        trainer : Training
            The trainer.
        """

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs of this callback, as plain values."""
        return {}

    def load_state(self, values: dict[str, Any]) -> None:
        """Take up what ``state`` returned, or raise ``FileFormatError`` if it did not return this.

        Parameters
        ----------
        values : dict
            Plain values.
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs of this callback, by name."""
        return {}

    def load_arrays(self, arrays: dict[str, np.ndarray], trainer: Training) -> None:
        """Take up what ``arrays`` returned, after ``load_state``; not called if it was nothing.

        Raises ``FileFormatError`` if it did not return these.

        Parameters
        ----------
        arrays : dict of str to ndarray
            Arrays by name.
        trainer : Training
            The trainer, which has taken up its own state already.
        """


def in_order(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return callbacks in order, those that keep what the others have become at the end."""
    return sorted(callbacks, key=lambda c: getattr(c, "comes_last", False) is True)


@contextmanager
def telling_failure(trainer: Any) -> Iterator[None]:
    """Tell a trainer's callbacks where the block fails."""
    try:
        yield
    except BaseException:
        for callback in trainer.callbacks:
            getattr(callback, "on_fit_failed", Callback().on_fit_failed)(trainer)
        raise
