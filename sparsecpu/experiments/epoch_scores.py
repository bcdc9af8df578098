"""How good a network is at the end of each epoch, on samples held out and on some to train on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.experiments.held_out import take
from sparsecpu.experiments.scoring import outputs, score_of

#: Training samples that are scored at most.
MOST = 10_000
#: As many of them as are held out, but no fewer than these: too few would say little.
_LEAST = 100


class Scored(NamedTuple):
    """Samples that are scored, with their targets: class numbers, or quantities."""

    x: Any
    y: np.ndarray


def few_of(x: Any, y: np.ndarray, held: int, seed: int) -> Scored:
    """Return training samples to score: about as many as are ``held`` out, drawn by the seed.

    So the training score costs about as much as the validation score, and no more than that of
    ``MOST`` samples.
    """
    rows = some_rows(x.shape[0], held, seed)
    return Scored(take(x, rows), y[rows])


def some_rows(count: int, held: int, seed: int) -> np.ndarray:
    """Return the numbers of training samples to score, of ``count``; see ``few_of``."""
    wanted = min(MOST, count, max(held, _LEAST))
    rng = np.random.default_rng([seed, 2])  # no stream of the run
    return np.sort(rng.choice(count, wanted, replace=False))


class EpochScores(Callback):
    """Adds to each epoch's record how good the network is now.

    ``validation_loss`` and ``validation_score`` are of samples held out, ``train_score`` of some
    that are trained on. Scores are accuracies, or R²; the loss is the one that is trained on,
    without the penalty on weights.

    Parameters
    ----------
    held, trained : Scored
        Samples held out, and some that are trained on, as they are without being varied.
    facts : dict
        What the model knows of its data; see ``scoring.score``.
    label_smoothing : float
        As in the loss that is trained on.
    batch_size : int
        Samples that pass at once: those of a step, whose kernels are compiled already.
    """

    def __init__(
        self, held: Scored, trained: Scored, facts: dict[str, Any], *, label_smoothing: float,
        batch_size: int,
    ) -> None:  # fmt: skip
        self.held, self.trained, self.facts = held, trained, facts
        self.label_smoothing, self.batch_size = label_smoothing, batch_size

    def on_epoch_end(self, trainer, record) -> None:
        record.update(self.of_held(trainer.network))
        z = outputs(trainer.network, self.trained.x, batch_size=self.batch_size)
        record["train_score"] = score_of(z, self.trained.y, self.facts)

    def of_held(self, network: Any) -> dict[str, float]:
        """Return the loss and the score of the samples held out."""
        z, y = outputs(network, self.held.x, batch_size=self.batch_size), self.held.y
        loss = mean_loss(z, y, self.facts, self.label_smoothing)
        return {"validation_loss": loss, "validation_score": score_of(z, y, self.facts)}


def mean_loss(
    z: np.ndarray, y: np.ndarray, facts: dict[str, Any], label_smoothing: float = 0.0
) -> float:
    """Return the mean loss of raw outputs: ``SoftmaxCrossEntropy``, or ``SquaredError``.

    ``y`` are class numbers, or numbers in the units of the targets.
    """
    z = z.astype(np.float64)
    if facts["task"] == "classification":
        from scipy.special import log_softmax

        logs = log_softmax(z, axis=1)
        own = logs[np.arange(len(y)), y]
        smooth = label_smoothing
        return float(-np.mean((1.0 - smooth) * own + smooth * logs.mean(axis=1)))
    aims = (y - facts["target_mean"]) / facts["target_scale"]
    return float(np.mean(np.square(z - aims).sum(axis=1)) / 2.0)
