"""Samples, targets and weights of training, checked before steps read them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.step.samples import Samples, checked_weights

#: Samples, targets and weights, or None.
Data = tuple[Samples, np.ndarray, np.ndarray | None]


class CheckedData:
    """What steps read: checked once, and handed out again for as long as the same is given.

    Arrays may change in between: what had to be converted is converted anew, and targets, which
    kernels take for places, are looked at again.

    ``readable_targets(loss, targets, n_outputs, samples)`` returns targets that a loss can read.
    """

    def __init__(self, readable_targets: Callable[[Any, Any, int, int], np.ndarray]) -> None:
        self._readable_targets = readable_targets
        self._given: tuple = ()  # what was checked last, and what it was checked for
        self._data: Data

    def of(self, trainer: Any, samples: Any, targets: Any, weights: Any) -> Data:
        """Return what a trainer's network and loss can read; at once, if it was checked last."""
        network, loss = trainer.network, trainer.loss
        given = network, loss, samples, targets, weights
        if len(self._given) != len(given) or any(map(operator.is_not, given, self._given)):
            samples = network.samples(samples)
            count = samples.shape[0]
            targets = self._readable_targets(loss, targets, network.n_outputs, count)
            self._data = samples, targets, checked_weights(weights, count)
            # Of what was converted, what is given may be another thing the next time.
            same = all(map(operator.is_, self._data, given[2:]))
            self._given = given if same else ()
        else:  # by now there may be other classes in them
            self._readable_targets(loss, targets, network.n_outputs, samples.shape[0])
        return self._data

    def forget(self) -> None:
        """Let go of what was checked: whoever gave it may want the memory back."""
        self._given = ()
        self.__dict__.pop("_data", None)
