"""What happens when a number no longer improves: training stops, or the learning rate falls."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.callbacks.base import Callback, Training
from sparsecpu.step.plain_values import maybe, real, table, whole


class EarlyStopping(Callback):
    """Stops when a number in the record has not improved for a while.

    Parameters
    ----------
    key : str
        The number's name in the record.
    patience : int
        Epochs without an improvement after which training stops.
    tol : float
        Least improvement that counts.
    maximise : bool
        True if larger is better.
    """

    def __init__(
        self, key: str = "loss", *, patience: int = 10, tol: float = 1e-4, maximise: bool = False
    ) -> None:
        self.key, self.patience, self.tol = key, patience, tol
        self.sign = 1.0 if maximise else -1.0
        self.best, self.waited = -math.inf, 0

    def on_fit_start(self, trainer) -> None:
        if self.waited > self.patience and not trainer.stop:
            self.waited = 0  # it had ended training, which is to go on all the same

    def on_epoch_end(self, trainer, record) -> None:
        value = self.sign * record[self.key]
        self.waited = 0 if self.improves(value) else self.waited + 1
        self.best = max(self.best, value)
        if self.waited > self.patience:
            self.exhausted(trainer)

    def improves(self, value: float) -> bool:
        """Return True if the number has improved by enough to count.

        Parameters
        ----------
        value : float
            The number, with its sign changed unless larger is better.
        """
        return value > self.best + self.tol

    def exhausted(self, trainer: Training) -> None:
        """Do what is to be done when patience has run out: stop training.

        Parameters
        ----------
        trainer : Training
            The trainer.
        """
        trainer.stop = True

    def state(self) -> dict[str, Any]:
        return {"best": self.best if math.isfinite(self.best) else None, "waited": self.waited}

    def load_state(self, values) -> None:
        kind = table({"best": maybe(real()), "waited": whole(0, self.patience + 1)})
        kind(values, type(self).__name__)
        self.best = -math.inf if values["best"] is None else float(values["best"])
        self.waited = values["waited"]


class AdaptiveLearningRate(EarlyStopping):
    """Divides the learning rate by 5 whenever the loss stalls, and stops once it is below 1e-6.

    As scikit-learn's ``learning_rate="adaptive"`` does.

    Parameters
    ----------
    key : str
        Name of the number in the record that must improve.
    patience : int
        Epochs without an improvement after which the rate falls.
    tol : float
        Least improvement that counts.
    maximise : bool
        True if larger is better.
    """

    floor = 1e-6

    def exhausted(self, trainer) -> None:
        if trainer.learning_rate_now() <= self.floor:
            trainer.stop = True
            return
        trainer.learning_rate_factor /= 5.0
        self.waited = 0
