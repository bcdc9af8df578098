"""The trainer of an estimator: what its parameters stand for in a training run."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from sparsecpu.callbacks import AdaptiveLearningRate, Callback, EarlyStopping
from sparsecpu.errors import ParameterError
from sparsecpu.optimizers import SGD, Adam, Optimizer
from sparsecpu.schedules import Schedule, constant, inverse_scaling
from sparsecpu.topology import TOPOLOGIES, Topology, make_topology
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator

#: Updates of the topology are at least this many steps apart, however short an epoch is.
_LEAST_INTERVAL = 20


def make_trainer(
    estimator: Any, samples: int, weights: Any, seed: int, callbacks: Iterable[Callback]
) -> Trainer:
    """Return the trainer of an estimator's network, for so many samples and perhaps weights."""
    ours, threads = communicator(estimator.comm), threads_of(estimator)
    size = 200 if estimator.batch_size == "auto" else estimator.batch_size
    batch = min(size, samples)
    weight = batch if weights is None else batch * float(weights.mean())
    return Trainer(
        estimator.network_,
        loss=estimator._loss(),
        optimizer=_optimizer(estimator, estimator.alpha / weight if weight > 0 else 0.0),
        topology=_topology(estimator, -(-samples // batch)),
        learning_rate=_schedule(estimator),
        batch_size=batch,
        epochs=estimator.max_iter,
        seed=seed,
        threads=ours.threads() if threads is None else threads,
        precision=estimator.precision,
        shuffle=estimator.shuffle,
        comm=ours,
        callbacks=callbacks,
    )


def threads_of(estimator: Any) -> int | None:
    """Return how many threads ``n_jobs`` stands for; None for as many as speed it up."""
    return None if estimator.n_jobs in (None, -1) else estimator.n_jobs


def _optimizer(estimator: Any, decay: float) -> Optimizer:
    if estimator.solver == "sgd":
        return SGD(estimator.momentum, nesterov=estimator.nesterovs_momentum, weight_decay=decay)
    return Adam(
        estimator.beta_1, estimator.beta_2, epsilon=estimator.epsilon, weight_decay=decay,
        decoupled=False,
    )  # fmt: skip


def _schedule(estimator: Any) -> Schedule:
    if estimator.learning_rate == "invscaling":
        return inverse_scaling(estimator.learning_rate_init, estimator.power_t)
    return constant(estimator.learning_rate_init)


def _topology(estimator: Any, steps_per_epoch: int) -> Topology:
    if isinstance(estimator.topology, Topology):
        return copy.deepcopy(estimator.topology)
    if not isinstance(estimator.topology, str):
        expected = f"a Topology, or the name of one: {', '.join(TOPOLOGIES)}"
        raise ParameterError("topology", estimator.topology, expected)
    if estimator.density >= 1.0 or estimator.topology == "static":
        return make_topology("static")
    every = max(steps_per_epoch, _LEAST_INTERVAL)
    return make_topology(estimator.topology, update_every=every)


def stopper(estimator: Any) -> Callback:
    """Return what ends training, or lowers its rate, when there is no more improvement."""
    held_out = estimator.early_stopping
    kind = AdaptiveLearningRate if estimator.learning_rate == "adaptive" else EarlyStopping
    return kind(
        "validation_score" if held_out else "loss",
        patience=estimator.n_iter_no_change, tol=estimator.tol, maximise=held_out,
    )  # fmt: skip


class Narrator(Callback):
    """Prints a line per epoch, as scikit-learn's ``verbose`` does."""

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        print(f"Iteration {record['epoch']}, loss = {record['loss']:.8f}")  # noqa: T201
