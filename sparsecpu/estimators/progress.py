"""What an estimator shows of its training, and what going on with it needs beside the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsecpu.callbacks import Callback
from sparsecpu.estimators.rates import InverseScaling, Stopper, VelocityKeepsRates
from sparsecpu.estimators.trainers import make_rate, narrator
from sparsecpu.schedules import Schedule
from sparsecpu.trainer import Trainer

#: What an estimator keeps of an epoch; the epochs of all fits are counted.
_KEPT = ("loss", "learning_rate", "validation_score", "train_score", "densities")


@dataclass(frozen=True)
class Progress:
    """Where training has come to; an estimator is pickled with it."""

    steps: int = 0
    #: What the learning rate is multiplied by, and where it was by its schedule.
    factor: float = 1.0
    rate: float | None = None
    #: State of the callback that ends training.
    stopper: dict[str, Any] | None = None


def begin(estimator: Any) -> None:
    """Forget what training showed of an earlier network."""
    estimator.loss_curve_, estimator.n_iter_, estimator.t_ = [], 0, 0
    estimator.best_loss_ = None
    estimator.validation_scores_ = estimator.best_validation_score_ = None
    estimator.train_scores_, estimator.history_ = None, []
    estimator._progress, estimator._parts = Progress(), None


def shown_of(records: list[dict[str, Any]], before: int = 0) -> list[dict[str, Any]]:
    """Return what ``history_`` shows of epochs that come behind so many others."""
    return [
        {"epoch": number, **{name: record[name] for name in _KEPT if name in record}}
        for number, record in enumerate(records, start=before + 1)
    ]


def remember(
    estimator: Any, trainer: Trainer, records: list[dict[str, Any]], stopper: Stopper, samples: int
) -> None:
    """Keep what epochs of so many samples have shown."""
    estimator.loss_curve_ += [record["loss"] for record in records]
    estimator.history_ += shown_of(records, len(estimator.history_))
    curve = estimator.loss_curve_  # empty if the first epoch was interrupted
    estimator.loss_ = curve[-1] if curve else trainer.losses / max(trainer.position, 1)
    estimator.n_iter_ = trainer.epochs_done
    estimator.t_ += len(records) * samples
    if estimator.early_stopping:
        scores = [record["validation_score"] for record in records]
        estimator.validation_scores_ = [*(estimator.validation_scores_ or []), *scores]
        scores = [record["train_score"] for record in records]
        estimator.train_scores_ = [*(estimator.train_scores_ or []), *scores]
        estimator.best_validation_score_ = max(estimator.validation_scores_, default=None)
        estimator.best_loss_ = None
    else:
        estimator.best_loss_ = min(curve, default=None)
    steps, rate = trainer.steps_done, trainer.schedule(trainer.steps_done)
    estimator._progress = Progress(steps, trainer.learning_rate_factor, rate, stopper.state())


def followers(
    estimator: Any, rate: Schedule, stopper: Stopper, samples: int, *, whole: bool
) -> list[Callback]:
    """Return the callbacks that change the learning rate, end training, and speak.

    ``whole`` is False for a part of training, one call of ``partial_fit``.
    """
    found: list[Callback] = [stopper, VelocityKeepsRates()]
    if isinstance(rate, InverseScaling):
        rate.samples = samples
        found.insert(0, rate)
    return [*found, *narrator(estimator.verbose, whole=whole)]


def gone_on(estimator: Any) -> tuple[Schedule, Stopper]:
    """Return learning rate and stopper as they were at the end of the last epoch."""
    progress: Progress = estimator._progress
    rate, stopper = make_rate(estimator, estimator.t_), Stopper(estimator)
    if isinstance(rate, InverseScaling) and progress.rate is not None:
        rate.rate = progress.rate
    if progress.stopper is not None:
        stopper.load_state(progress.stopper)
    return rate, stopper
