"""Hooks into training: the base whose hooks do nothing, and the few that everyone needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from sparsecpu.sparse.parameter import Parameter, SparseParameter


class Training(Protocol):
    """What a callback may ask of the trainer, and change."""

    network: Any
    epochs: int
    steps_done: int
    epochs_done: int
    stop: bool
    interrupted: bool
    learning_rate_factor: float
    steps_per_epoch: int

    def learning_rate_now(self) -> float:
        """Return the learning rate of the next step."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all that a resumed run needs beside the model: plain values, and arrays."""
        ...


class Callback:
    """Base of the callbacks: every hook does nothing."""

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

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs of this callback, as plain values."""
        return {}

    def load_state(self, values: dict[str, Any]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        values : dict
            Plain values.
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs of this callback, by name."""
        return {}

    def load_arrays(self, arrays: dict[str, np.ndarray], trainer: Training) -> None:
        """Take up what ``arrays`` returned; not called if it returned nothing.

        Parameters
        ----------
        arrays : dict of str to ndarray
            Arrays by name.
        trainer : Training
            The trainer, which has taken up its own state already.
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

    def on_update(self, trainer, report) -> None:
        found = {"step": report.step, "prune_rate": report.prune_rate, "layers": report.layers}
        self._updates.append(found)

    def on_epoch_end(self, trainer, record) -> None:
        if self._updates:
            record["updates"], self._updates = self._updates, []
        self.records.append(record)

    def state(self) -> dict[str, Any]:
        return {"updates": self._updates}  # of an epoch that was broken off

    def load_state(self, values) -> None:
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

    def on_epoch_end(self, trainer, record) -> None:
        record[self.key] = float(self.score(trainer.network))


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

    def on_epoch_end(self, trainer, record) -> None:
        value = self.sign * record[self.key]
        self.waited = 0 if value > self.best + self.tol else self.waited + 1
        self.best = max(self.best, value)
        if self.waited > self.patience:
            self.exhausted(trainer)

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
        self.best = -math.inf if values["best"] is None else values["best"]
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


class BestModel(Callback):
    """Keeps a copy of the network at its best epoch, and puts it back at the end.

    Parameters
    ----------
    key : str
        The number of the record that decides; larger is better.
    """

    def __init__(self, key: str = "validation_score") -> None:
        self.key, self.best = key, -math.inf
        self._kept: list[Callable[[], None]] = []

    def on_epoch_end(self, trainer, record) -> None:
        if record[self.key] > self.best:
            self.best = record[self.key]
            network = trainer.network
            self._kept = [_copied(p) for p in network.parameters().values()]
            self._kept += [_copied_buffer(b) for b in network.buffers().values()]

    def on_fit_end(self, trainer) -> None:
        for put_back in self._kept:
            put_back()


def _copied(parameter: Parameter) -> Callable[[], None]:
    """Copy a parameter's values and slots, and return what puts them back with a zero gradient."""
    kept = {name: v.copy() for name, v in {"data": parameter.data, **parameter.slots}.items()}
    if isinstance(parameter, SparseParameter):
        pattern, sparse = parameter.pattern, parameter
        return lambda: sparse.restore(pattern, kept)

    def put_back() -> None:
        slots = dict(kept)
        parameter.data = slots.pop("data")
        parameter.grad = np.zeros_like(parameter.data)
        parameter.slots.clear()
        parameter.slots.update(slots)

    return put_back


def _copied_buffer(buffer: np.ndarray) -> Callable[[], None]:
    values = buffer.copy()

    def put_back() -> None:
        buffer[...] = values

    return put_back
