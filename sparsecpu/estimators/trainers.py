"""The trainer of an estimator: what its parameters stand for in a training run."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from typing import Any

from sparsecpu.callbacks import Callback, Progress
from sparsecpu.errors import ParameterError
from sparsecpu.estimators.objective import Objective
from sparsecpu.estimators.parameters import check_jobs
from sparsecpu.estimators.rates import SOLVERS, InverseScaling, follows_a_rule
from sparsecpu.kernels.machine.threads import available_threads
from sparsecpu.optimizers import SGD, Adam, Optimizer
from sparsecpu.reading.live_line import line_on
from sparsecpu.registries.names import find_name
from sparsecpu.schedules import Schedule, constant
from sparsecpu.topology import TOPOLOGIES, Topology, make_topology
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator

#: Updates of the topology are at least this many steps apart, however short an epoch is.
_LEAST_INTERVAL = 20


def make_trainer(
    estimator: Any, samples: int, seed: int, rate: Schedule, callbacks: Iterable[Callback],
    batch: int | None = None,
) -> Trainer:  # fmt: skip
    """Return the trainer of an estimator's network, for so many samples.

    There are ``batch`` of them per step, by default as many as the estimator says.
    """
    ours, threads = communicator(estimator.comm), threads_of(estimator)
    batch, optimizer = batch or batch_of(estimator, samples), make_optimizer(estimator)
    return Trainer(
        estimator.network_,
        loss=Objective(estimator._loss(), estimator.alpha, estimator.network_, optimizer),
        optimizer=optimizer,
        topology=topology_of(estimator, -(-samples // batch)),
        learning_rate=rate,
        batch_size=batch,
        epochs=estimator.max_iter,
        seed=seed,
        threads=ours.threads() if threads is None else threads,
        precision=estimator.precision,
        shuffle=estimator.shuffle,
        comm=ours,
        callbacks=callbacks,
    )


def batch_of(estimator: Any, samples: int) -> int:
    """Return the samples per step, of so many."""
    return min(200 if estimator.batch_size == "auto" else estimator.batch_size, samples)


def threads_of(estimator: Any) -> int | None:
    """Return how many threads ``n_jobs`` stands for; None for as many as speed it up.

    Negative numbers count from all cores, as in joblib. There are never more than Numba has in this
    process, which in joblib's workers is their share of the cores.
    """
    jobs = estimator.n_jobs
    check_jobs("n_jobs", jobs)
    if jobs in (None, -1):
        return None
    here = available_threads()
    return int(min(jobs, here) if jobs > 0 else max(1, here + 1 + jobs))


def make_optimizer(estimator: Any) -> Optimizer:
    """Return the optimizer; how much weights decay is set by the objective."""
    if find_name(estimator.solver, SOLVERS) == "sgd":
        return SGD(estimator.momentum, nesterov=estimator.nesterovs_momentum)
    return Adam(
        estimator.beta_1, estimator.beta_2, epsilon=estimator.epsilon, decoupled=False,
        epsilon_hat=True,
    )  # fmt: skip


def make_rate(estimator: Any, seen: int) -> Schedule:
    """Return the learning rate of an estimator that was trained on so many samples before."""
    if follows_a_rule(estimator, "invscaling"):
        return InverseScaling(estimator.learning_rate_init, estimator.power_t, seen)
    return constant(estimator.learning_rate_init)


def topology_of(estimator: Any, steps_per_epoch: int) -> Topology:
    """Return the algorithm of a new trainer."""
    if isinstance(estimator.topology, Topology):
        return copy.deepcopy(estimator.topology)
    if not isinstance(estimator.topology, str):
        expected = f"a Topology, or the name of one: {', '.join(TOPOLOGIES)}"
        raise ParameterError("topology", estimator.topology, expected)
    name = TOPOLOGIES.spelled(estimator.topology)
    if estimator.density >= 1.0 or name == "static":
        return make_topology("static")
    every = max(steps_per_epoch, _LEAST_INTERVAL)
    return make_topology(name, update_every=every)


def restart(network: Any) -> None:
    """Let the optimizer of a network begin anew: velocities and moments of 0."""
    for parameter in network.parameters().values():
        for slot in parameter.slots.values():
            slot[...] = 0


class Narrator(Callback):
    """Prints a line per epoch, as scikit-learn's ``verbose`` does."""

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        print(f"Iteration {record['epoch']}, loss = {record['loss']:.8f}")  # noqa: T201
        if "validation_score" in record:
            print(f"Validation score: {record['validation_score']:.6f}")  # noqa: T201


def narrator(verbose: int, *, whole: bool) -> list[Callback]:
    """Return what tells of training: nothing, lines, or a line that is kept up to date.

    The last is for the ``whole`` of a ``fit``, on a terminal or in a notebook.
    """
    if not verbose:
        return []
    line = line_on(sys.stdout)
    return [Progress(line=line)] if whole and line.live and verbose < 2 else [Narrator()]
