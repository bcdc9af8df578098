"""What each epoch's record holds, and where records are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsecpu.callbacks.base import Callback
from sparsecpu.step.plain_values import listed, table
from sparsecpu.step.update_records import RECORD, UPDATE


class History(Callback):
    """Keeps every epoch's record, with the topology updates in it and each layer's density.

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
        layers = trainer.network.sparse_parameters().values()
        record["densities"] = [parameter.density for parameter in layers]
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
