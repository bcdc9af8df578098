"""Our training step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from sparsecpu.bench.cases import (
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Batches,
    NetworkCase,
    Variant,
)
from sparsecpu.bench.measuring.step_clock import StepClock, watched
from sparsecpu.losses import Loss, SoftmaxCrossEntropy, TokenCrossEntropy
from sparsecpu.optimizers import SGD, Adam, Optimizer
from sparsecpu.trainer import Trainer


class OurStep:
    """A training step of one of our networks, the weights distributed as the case says."""

    def __init__(
        self, case: NetworkCase, variant: Variant, batches: Batches, precision: str = "fp32"
    ) -> None:
        network = case.sparse(variant).build(np.random.default_rng(0))
        loss: Loss = SoftmaxCrossEntropy()
        optimizer: Optimizer = SGD(MOMENTUM, weight_decay=WEIGHT_DECAY)
        if case.text:
            loss, optimizer = TokenCrossEntropy(), Adam(weight_decay=WEIGHT_DECAY)
        self.network = network
        self.trainer = Trainer(
            network, loss=loss, optimizer=optimizer, learning_rate=LEARNING_RATE,
            batch_size=case.batch, epochs=1, threads=case.threads, precision=precision,
        )  # fmt: skip
        self.batches, self.samples = batches, network.samples(batches.x)
        self.targets = self.trainer.loss.prepare(batches.y, case.sizes[-1])

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        self.trainer.step(self.samples, self.targets, self.batches.next())

    def watched(self, clock: StepClock) -> AbstractContextManager[None]:
        """Tell a clock, within a context, what the steps are doing."""
        return watched(self.trainer.network, self.trainer.optimizer, clock)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return the parts of a step, each on what the part before has left."""
        trainer, network = self.trainer, self.trainer.network
        rows = self.batches.order[0]
        ctx = trainer.contexts.of_step(rows, rows, None, None)
        lanes = network.lanes(len(rows))
        x = network.gather(self.samples, rows, lanes, ctx)
        z, saved = network.forward(x, ctx)
        _, dz = trainer.loss(z, rows, self.targets, ctx)
        parameters = list(network.parameters().values())
        return {
            "gather": lambda: network.gather(self.samples, self.batches.next(), lanes, ctx),
            "forward": lambda: network.forward(x, ctx),
            "loss": lambda: trainer.loss(z, rows, self.targets, ctx),
            "backward": lambda: network.backward(dz, saved, ctx),
            "update": lambda: trainer.optimizer.step(parameters, 0.0, 0),
        }
