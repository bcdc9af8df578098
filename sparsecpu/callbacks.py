"""Hooks into training: the base whose hooks do nothing, and the few that everyone needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.step.kept_network import KeptNetwork
from sparsecpu.step.plain_values import listed, maybe, real, table, whole
from sparsecpu.step.update_records import RECORD, UPDATE


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


class History(Callback):
    """Keeps every epoch's record, with the topology updates in it.

    Parameters
    ----------
    in_checkpoints : bool
        Whether checkpoints hold the records; a resumed run begins without them where a file does.

    Attributes
    ----------
    records : list of dict
        One per epoch.
    """

    def __init__(self, *, in_checkpoints: bool = True) -> None:
        self.in_checkpoints = in_checkpoints
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
        found = {"updates": self._updates}  # of an epoch that was broken off
        return {**found, "records": self.records} if self.in_checkpoints else found

    def load_state(self, values) -> None:
        table({"updates": listed(UPDATE)}, {"records": listed(RECORD)})(values, "History")
        self._updates, self.records = list(values["updates"]), list(values.get("records", []))


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


class BestModel(Callback):
    """Keeps a copy of the network at its best epoch, and puts it back at the end.

    Where training is broken off before its last epoch, to be resumed, the network stays as it is:
    the copy goes into the checkpoint with everything else.

    Parameters
    ----------
    key : str
        The number of the record that decides; larger is better.
    """

    def __init__(self, key: str = "validation_score") -> None:
        self.key, self.best = key, -math.inf
        self._kept: KeptNetwork | None = None

    def on_epoch_end(self, trainer, record) -> None:
        if record[self.key] > self.best:
            self.best = record[self.key]
            self._kept = KeptNetwork.of(trainer.network)

    def on_fit_end(self, trainer) -> None:
        broken_off = trainer.halted and trainer.epochs_done < trainer.epochs and not trainer.stop
        if self._kept is not None and not broken_off:
            self._kept.put_back(trainer.network)

    def state(self) -> dict[str, Any]:
        return {"best": self.best if self.best > -math.inf else None}

    def load_state(self, values) -> None:
        best = table({"best": maybe(real(finite=False))})(values, "BestModel")["best"]
        self.best = -math.inf if best is None else float(best)
        self._kept = None

    def arrays(self) -> dict[str, np.ndarray]:
        if (self._kept is None) != (self.best == -math.inf):  # as a damaged file may have it
            raise FileFormatError("BestModel must have a best score and its network, or neither")
        return {} if self._kept is None else self._kept.arrays()

    def load_arrays(self, arrays, trainer) -> None:
        self._kept = KeptNetwork.from_arrays(arrays, trainer.network)
