"""What the estimators minimise: a loss and the penalty on weights, as scikit-learn adds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.losses import Loss, SquaredError


class Objective(Loss):
    r"""The loss of a batch, and :math:`\alpha \|w\|^2 / 2` over the weight of its samples.

    The batch alone knows that weight: it is smaller in the last batch of an epoch. So the loss, not
    the optimizer's maker, says how much weights decay in a step.
    """

    def __init__(self, loss: Loss, alpha: float, network: Any, optimizer: Any) -> None:
        self.loss, self.alpha, self.name = loss, alpha, loss.name  # type: ignore[misc]
        self.optimizer = optimizer
        self.weights = [p for p in network.parameters().values() if p.decays]
        # There the loss, and not its gradient, is a mean over the outputs.
        self.outputs = network.n_outputs if isinstance(loss, SquaredError) else 1

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        return self.loss.prepare(targets, n_outputs)

    def of_zeros(self, targets: np.ndarray, n_outputs: int) -> float:
        return self.loss.of_zeros(targets, n_outputs) / self.outputs

    def __call__(self, z, rows, targets, ctx, weights=None) -> tuple[float, np.ndarray]:
        loss, dz = self.loss(z, rows, targets, ctx, weights)
        batch = rows if ctx.all_rows is None else ctx.all_rows
        total = float(len(batch) if weights is None else weights[batch].sum())
        decay = self.alpha / total if total > 0 else 0.0
        self.optimizer.weight_decay = decay
        if decay > 0:
            share = 0.5 * decay * self.outputs / ctx.comm.size  # each rank adds its part
            with np.errstate(all="ignore"):  # the trainer says what is wrong with such a loss
                for w in self.weights:
                    loss += share * float(w.data.dot(w.data))
        return loss / self.outputs, dz
