"""Dense training steps of NumPy and of scikit-learn."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np

from sparsecpu.bench.cases import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from sparsecpu.bench.measuring.step_clock import StepClock
from sparsecpu.bench.rivals.networks import StepRival
from sparsecpu.bench.rivals.numpy_mlp import DenseMLP


class NumPyStep(StepRival):
    """Plain NumPy on its BLAS."""

    name = "dense NumPy"

    def setup(self) -> None:
        self.network = DenseMLP(self.case.sizes, self.case.batch)

    def step(self) -> None:
        self.network.step(self.batches.x, self.batches.y, self.batches.next(), LEARNING_RATE)

    @contextlib.contextmanager
    def watched(self, clock: StepClock) -> Iterator[None]:
        self.network.now = clock.now
        yield
        self.network.now = str


class ScikitStep(StepRival):
    """scikit-learn's MLPClassifier, one ``partial_fit`` per step (no threads of its own)."""

    name = "scikit-learn"

    def setup(self) -> None:
        from sklearn.neural_network import MLPClassifier

        self.network = MLPClassifier(
            self.case.sizes[1:-1], solver="sgd", batch_size=self.case.batch, momentum=MOMENTUM,
            learning_rate_init=LEARNING_RATE, alpha=WEIGHT_DECAY, random_state=0,
        )  # fmt: skip
        self.classes = np.arange(self.case.sizes[-1])

    def step(self) -> None:
        rows = self.batches.next()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = self.batches.x[rows], self.batches.y[rows]
            self.network.partial_fit(x, y, classes=self.classes)
