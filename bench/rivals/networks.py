"""Rivals that run whole networks: one training step, or one prediction."""

from __future__ import annotations

import contextlib
from typing import ClassVar

import numpy as np

from sparsecpu.bench.cases import Batches, NetworkCase, Variant
from sparsecpu.bench.measuring.step_clock import StepClock
from sparsecpu.bench.rivals.base import Rival


class NetworkRival(Rival):
    """Somebody else's network, for MLPs, for convolutional networks or for language models."""

    #: True if it is for convolutional networks.
    images: ClassVar[bool] = False
    #: True if it is for language models.
    text: ClassVar[bool] = False

    def setup(self) -> None:
        """Prepare what is not timed."""


class StepRival(NetworkRival):
    """Somebody else's training step."""

    #: True if its time depends on where the weights are, so that it is timed for each of ours.
    sparse: ClassVar[bool] = False
    #: True if its steps run in the process that makes it.
    here: ClassVar[bool] = True

    def __init__(self, case: NetworkCase, batches: Batches, variant: Variant | None = None) -> None:
        self.case, self.batches, self.variant = case, batches, variant or Variant(0.0)
        self.setup()

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        raise NotImplementedError

    def watched(self, clock: StepClock) -> contextlib.AbstractContextManager[None]:
        """Tell a clock, within a context, what the steps are doing, as far as that is known."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Give back what ``setup`` took."""


class PredictionRival(NetworkRival):
    """Somebody else's prediction of one batch: ``x`` of float32, shape (batch, features)."""

    def __init__(self, case: NetworkCase, x: np.ndarray) -> None:
        self.case, self.x = case, x
        self.setup()

    def predict(self) -> object:
        """Return the outputs."""
        raise NotImplementedError
