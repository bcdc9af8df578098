"""Hooks into training: documented no-ops, and the few that everyone needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Training(Protocol):
    """What a callback may ask of the trainer, and change."""

    network: Any
    epochs: int
    steps_done: int
    epochs_done: int
    stop: bool
    learning_rate_factor: float

    def learning_rate_now(self) -> float:
        """Return the learning rate of the next step."""
        ...


class Callback:
    """Base of the callbacks: every hook does nothing."""

    def on_fit_start(self, trainer: Training) -> None:
        """Training is about to start, or to go on.

        Parameters
        ----------
        trainer : Training
            Who trains.
        """

    def on_step(self, trainer: Training, loss: float) -> None:
        """Take note that an optimizer step is done.

        Parameters
        ----------
        trainer : Training
            Who trains.
        loss : float
            Mean loss of the batch.
        """

    def on_update(self, trainer: Training, report: Any) -> None:
        """Take note that the topology has changed.

        Parameters
        ----------
        trainer : Training
            Who trains.
        report : Report
            What happened.
        """

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Take note that an epoch is done.

        Parameters
        ----------
        trainer : Training
            Who trains. ``trainer.stop = True`` ends training.
        record : dict
            ``epoch, step, loss, learning_rate``; a callback may add to it for those after it.
        """

    def on_fit_end(self, trainer: Training) -> None:
        """Training has ended, by itself or early.

        Parameters
        ----------
        trainer : Training
            Who trained.
        """

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain values."""
        return {}

    def load_state(self, values: dict[str, Any]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        values : dict
            Plain values.
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs, by name."""
        return {}

    def load_arrays(self, arrays: dict[str, np.ndarray], trainer: Training) -> None:
        """Take up what ``arrays`` returned, if that was not nothing.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By name.
        trainer : Training
            Who trains; it has taken up its own state.
        """


class History(Callback):
    """Keeps every epoch's record, with the topology updates in it.

    Attributes
    ----------
    records : list of dict
        One per epoch.
    """

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._updates: list[dict[str, Any]] = []

    def on_update(self, trainer: Training, report: Any) -> None:
        """Remember an update; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Not used.
        report : Report
            What happened.
        """
        found = {"step": report.step, "prune_rate": report.prune_rate, "layers": report.layers}
        self._updates.append(found)

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Keep the record; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Not used.
        record : dict
            The record.
        """
        if self._updates:
            record["updates"], self._updates = self._updates, []
        self.records.append(record)

    def state(self) -> dict[str, Any]:
        """Return the updates of an unfinished epoch."""
        return {"updates": self._updates}

    def load_state(self, values: dict[str, Any]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        values : dict
            Plain values.
        """
        self._updates = list(values["updates"])


class Validation(Callback):
    """Adds a score on held-out samples to every epoch's record.

    Parameters
    ----------
    score : callable
        ``score(network) -> float``; higher is better.
    key : str
        Its name in the record.
    """

    def __init__(self, score: Callable[[Any], float], key: str = "validation_score") -> None:
        self.score, self.key = score, key

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Score the network; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Holds the network.
        record : dict
            Gets the score.
        """
        record[self.key] = float(self.score(trainer.network))


class EarlyStopping(Callback):
    """Stops when a number in the record has not improved for a while.

    Parameters
    ----------
    key : str
        Which number.
    patience : int
        Epochs without an improvement after which training stops.
    tol : float
        Least improvement that counts.
    maximise : bool
        Whether larger is better.
    """

    def __init__(
        self, key: str = "loss", *, patience: int = 10, tol: float = 1e-4, maximise: bool = False
    ) -> None:
        self.key, self.patience, self.tol = key, patience, tol
        self.sign = 1.0 if maximise else -1.0
        self.best, self.waited = -math.inf, 0

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Compare with the best so far; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Is told to stop.
        record : dict
            Holds the number.
        """
        value = self.sign * record[self.key]
        self.waited = 0 if value > self.best + self.tol else self.waited + 1
        self.best = max(self.best, value)
        if self.waited > self.patience:
            self.exhausted(trainer)

    def exhausted(self, trainer: Training) -> None:
        """Stop training.

        Parameters
        ----------
        trainer : Training
            Is told to stop.
        """
        trainer.stop = True

    def state(self) -> dict[str, Any]:
        """Return the best value and the epochs waited."""
        return {"best": self.best if math.isfinite(self.best) else None, "waited": self.waited}

    def load_state(self, values: dict[str, Any]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        values : dict
            Plain values.
        """
        self.best = -math.inf if values["best"] is None else values["best"]
        self.waited = values["waited"]


class AdaptiveLearningRate(EarlyStopping):
    """Divides the learning rate by 5 whenever the loss stalls, as scikit-learn does.

    Parameters
    ----------
    key : str
        Which number must improve.
    patience : int
        Epochs without an improvement after which the rate falls.
    tol : float
        Least improvement that counts.
    maximise : bool
        Whether larger is better.
    """

    floor = 1e-6

    def exhausted(self, trainer: Training) -> None:
        """Lower the rate, or stop once it is negligible.

        Parameters
        ----------
        trainer : Training
            Who trains.
        """
        if trainer.learning_rate_now() <= self.floor:
            trainer.stop = True
            return
        trainer.learning_rate_factor /= 5.0
        self.waited = 0


class BestModel(Callback):
    """Keeps a copy of the network at its best epoch, and puts it back at the end.

    Parameters
    ----------
    key : str
        Which number of the record decides; larger is better.
    """

    def __init__(self, key: str = "validation_score") -> None:
        self.key, self.best = key, -math.inf
        self._kept: list[tuple[Any, ...]] = []

    def on_epoch_end(self, trainer: Training, record: dict[str, Any]) -> None:
        """Keep a copy if this epoch is the best; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Holds the network.
        record : dict
            Holds the number.
        """
        if record[self.key] > self.best:
            self.best = record[self.key]
            network = trainer.network
            self._kept = [
                (p, p.data.copy(), {k: v.copy() for k, v in p.slots.items()},
                 getattr(p, "pattern", None))
                for p in network.parameters().values()
            ]  # fmt: skip
            self._buffers = [(b, b.copy()) for b in network.buffers().values()]

    def on_fit_end(self, trainer: Training) -> None:
        """Put the best network back; see ``Callback``.

        Parameters
        ----------
        trainer : Training
            Holds the network.
        """
        for parameter, data, slots, pattern in self._kept:
            parameter.data, parameter.slots = data, slots
            parameter.grad = np.zeros_like(data)
            if pattern is not None:
                parameter.pattern = pattern
                parameter.touch()
        for buffer, values in self._buffers if self._kept else []:
            buffer[...] = values
