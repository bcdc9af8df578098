"""How the learning rate of an estimator changes in training: as scikit-learn's does."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.callbacks import AdaptiveLearningRate, Callback
from sparsecpu.registries.names import find_name

#: Optimizers, and courses of the learning rate, by scikit-learn's names.
SOLVERS, RATES = ("adam", "sgd"), ("constant", "invscaling", "adaptive")


class InverseScaling(Callback):
    """The rate of ``"invscaling"``: a schedule that counts samples, and changes between epochs.

    ``rate`` is the rate of this epoch, ``seen`` the samples of all epochs before, and ``samples``
    those of this one.
    """

    def __init__(self, first: float, power: float, seen: int) -> None:
        self.first, self.power, self.seen = first, power, seen
        self.rate, self.samples = first, 0

    def __call__(self, step: int) -> float:
        return self.rate

    def on_epoch_end(self, trainer, record) -> None:
        self.seen += self.samples
        self.rate = self.first / (self.seen + 1) ** self.power


class Stopper(AdaptiveLearningRate):
    """Ends training, or lowers its rate, when there is no more improvement.

    An improvement of just ``tol`` counts, as in scikit-learn; so with a ``tol`` of 0 a score that
    stays the same does.
    """

    def __init__(self, estimator: Any) -> None:
        held_out = estimator.early_stopping
        super().__init__(
            "validation_score" if held_out else "loss",
            patience=estimator.n_iter_no_change, tol=estimator.tol, maximise=held_out,
        )  # fmt: skip
        self.adaptive = follows_a_rule(estimator, "adaptive")

    def improves(self, value: float) -> bool:
        return value >= self.best + self.tol

    def on_fit_start(self, trainer) -> None:
        """Wait no longer than before: see ``load_state``."""

    def load_state(self, values) -> None:
        # Patience may have run out before: parts and warm starts go on all the same.
        self.best = -math.inf if values["best"] is None else values["best"]
        self.waited = values["waited"]

    def exhausted(self, trainer) -> None:
        if self.adaptive:
            super().exhausted(trainer)
        else:
            trainer.stop = True


class VelocityKeepsRates(Callback):
    r"""Lets the velocity of SGD keep the learning rates of its steps, as scikit-learn does.

    There :math:`v \leftarrow b v - \eta g` is what weights move by; here :math:`v \leftarrow b v +
    g` is, times the rate of the step. So where the rate changes, ``v`` changes the other way.
    """

    def on_epoch_end(self, trainer, record) -> None:
        before, now = record["learning_rate"], trainer.learning_rate_now()
        if before != now:
            for parameter in trainer.network.parameters().values():
                if "momentum" in parameter.slots:
                    parameter.slots["momentum"] *= before / now


def follows_a_rule(estimator: Any, rule: str) -> bool:
    """Return True if an estimator's rate follows a rule; Adam's follows none, as there."""
    chosen = find_name(estimator.learning_rate, RATES)
    return find_name(estimator.solver, SOLVERS) == "sgd" and chosen == rule
