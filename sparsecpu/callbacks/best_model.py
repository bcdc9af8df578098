"""Keeping the network of the best epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.callbacks.base import Callback
from sparsecpu.errors import FileFormatError
from sparsecpu.step.kept_network import KeptNetwork
from sparsecpu.step.plain_values import maybe, real, table, whole


class BestModel(Callback):
    """Keeps a copy of the network at its best epoch, and puts it back at the end.

    Where training is broken off before its last epoch, to be resumed, the network stays as it is:
    the copy goes into the checkpoint with everything else.

    Parameters
    ----------
    key : str
        The number of the record that decides; larger is better.

    Attributes
    ----------
    best : float
        The best number so far; minus infinity before the first epoch.
    epoch : int or None
        The epoch that had it; None before the first, and where an older checkpoint does not say.
    """

    def __init__(self, key: str = "validation_score") -> None:
        self.key, self.best = key, -math.inf
        self.epoch: int | None = None
        self._kept: KeptNetwork | None = None

    def on_epoch_end(self, trainer, record) -> None:
        if record[self.key] > self.best:
            self.best, self.epoch = record[self.key], trainer.epochs_done
            self._kept = KeptNetwork.of(trainer.network)

    def on_fit_end(self, trainer) -> None:
        broken_off = trainer.halted and trainer.epochs_done < trainer.epochs and not trainer.stop
        if self._kept is not None and not broken_off:
            self._kept.put_back(trainer.network)

    def state(self) -> dict[str, Any]:
        return {"best": self.best if self.best > -math.inf else None, "epoch": self.epoch}

    def load_state(self, values) -> None:
        kind = table({"best": maybe(real(finite=False))}, {"epoch": maybe(whole(0))})
        best = kind(values, "BestModel")["best"]
        self.best = -math.inf if best is None else float(best)
        self.epoch = values.get("epoch")
        self._kept = None

    def arrays(self) -> dict[str, np.ndarray]:
        if (self._kept is None) != (self.best == -math.inf):  # as a damaged file may have it
            raise FileFormatError("BestModel must have a best score and its network, or neither")
        return {} if self._kept is None else self._kept.arrays()

    def load_arrays(self, arrays, trainer) -> None:
        self._kept = KeptNetwork.from_arrays(arrays, trainer.network)
