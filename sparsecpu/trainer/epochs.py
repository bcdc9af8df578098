"""What an epoch is."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.callbacks.base import in_order
from sparsecpu.registries.numbers import whole
from sparsecpu.step.outcome import LossWatch, refuse_not_finite
from sparsecpu.step.sequences import BatchSource
from sparsecpu.trainer.steps import Steps


class Epochs(Steps):
    """Passes over all samples: their order, and where in it training has come to.

    An epoch is a pass, or some steps of one; see ``step.course``.
    """

    shuffle: bool

    def __init__(self) -> None:
        super().__init__()
        self.loss_watch = LossWatch()
        self.epochs_done = self.position = 0  # samples of the current pass that have been used
        self.losses = 0.0  # of the current epoch's samples, in all
        self.order_state: dict[str, Any] | None = None  # of its stream when the pass began

    def run_epoch(
        self, samples: BatchSource, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Train on every sample once; go on where an interrupted epoch stopped.

        In a run of so many steps, those of an epoch; a new pass begins where one ends within it.

        Parameters
        ----------
        samples : Samples or SequenceSamples
            The samples.
        targets : ndarray
            As ``loss.prepare`` returned them.
        weights : ndarray of float64, optional
            A weight per sample.

        Raises
        ------
        DivergedError
            If the loss of a step is not finite, or the network at the end is not.
        """
        data = self._data.of(self, samples, targets, weights)
        count = data[0].shape[0]
        if self.steps is not None and not self._started:
            self.start(count)
        self.batch_size = whole("batch_size", self.batch_size, 1)
        self.position = whole("position", self.position, 0, count)
        if self._started:
            self.topology.expect(self.network.tokens(min(self.batch_size, count)))
        if self._begins_epoch():
            self.losses = 0.0
        order, per_step = self._order(count), self.batch_size * self.accumulate
        while self.position < count and not self._is_to_end():
            rows = order[self.position : self.position + per_step]
            loss = self._step(data, rows)
            if self.steps_done == 1:
                self.loss_watch.first = loss
            self.position += len(rows)
            self.losses += loss * len(rows)
            for callback in self.callbacks:
                callback.on_step(self, loss)
            if self._ends_epoch(count) or self.halted:
                break
            if self.position >= count:
                self.position = 0
                order = self._order(count)
        refuse_not_finite(self)  # before anyone keeps it
        ended, mean = self._ends_epoch(count), self.epoch_loss
        if self.position >= count:
            self.position = 0
        if ended:
            self._end_epoch(mean)
        self._data.forget()

    @property
    def epoch_loss(self) -> float:
        """Mean loss of the epoch's samples so far."""
        used = self.position
        if self.steps is not None:
            used = self.course.samples_of_epoch(self.steps_done)
        return self.losses / max(used, 1)

    def _begins_epoch(self) -> bool:
        """Return True if no epoch has begun that has not ended."""
        if self.steps is None:
            return self.position == 0
        return self.course.ends_epoch(self.steps_done) and not self._is_to_end()

    def _is_to_end(self) -> bool:
        """Return True if nothing is left of an epoch but to end it.

        So it is in a run that was kept by a callback, behind the epoch's last step.
        """
        if self.steps is None or self.steps_done == 0:
            return False
        course, steps = self.course, self.steps_done
        return course.ends_epoch(steps) and self.epochs_done < course.epochs_done(steps)

    def _ends_epoch(self, count: int) -> bool:
        """Return True if the last step was the last of an epoch, of so many samples."""
        if self.steps is None:
            return self.position >= count
        return self.course.ends_epoch(self.steps_done)

    def _order(self, count: int) -> np.ndarray:
        """Return the pass's order; of one that was broken off, the same again."""
        rng = self.rngs["order"]
        if self.position == 0:
            self.order_state = dict(rng.bit_generator.state)
        elif self.order_state is not None:
            rng.bit_generator.state = self.order_state
        return rng.permutation(count) if self.shuffle else np.arange(count)

    def _end_epoch(self, mean: float) -> None:
        """Tell the callbacks about an epoch of this mean loss."""
        self.epochs_done += 1
        record = {
            "epoch": self.epochs_done,
            "step": self.steps_done,
            "loss": mean,
            "learning_rate": self.schedule(self.steps_done - 1) * self.learning_rate_factor,
        }
        ordered: list[Any] = in_order(self.callbacks)
        for callback in ordered:
            callback.on_epoch_end(self, record)
