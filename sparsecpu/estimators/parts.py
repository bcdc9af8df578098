"""``partial_fit``: a run in parts, which goes on from call to call, after a pickle as without."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsecpu.estimators.trainers import batch_of, make_trainer
from sparsecpu.schedules import constant
from sparsecpu.step import resuming
from sparsecpu.topology import Topology
from sparsecpu.trainer import Trainer

#: Parameters that a topology is planned by, and all that are read when a trainer is made; the other
#: ones are read at every call.
_PLANNED_BY = ("topology", "density", "solver", "momentum", "beta_1")
_READ_ONCE = (*_PLANNED_BY, "nesterovs_momentum", "beta_2", "epsilon", "alpha", "shuffle",
              "max_iter", "precision", "n_jobs")  # fmt: skip


@dataclass
class Parts:
    """A run in parts between two calls.

    In a pickle or a copy it is ``paused``: instead of the trainer, which holds memory of the last
    samples, it has what ``Trainer.state`` returned.
    """

    #: Samples and samples per step of the first call: the topology plans by them.
    samples: int
    batch: int
    #: Parameters that the trainer was made with.
    made_with: dict[str, Any]
    #: Most samples in a step so far.
    widest: int
    trainer: Trainer | None = None
    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    #: Loss of the first step, and whether there was a warning that the loss is far above it.
    watched: tuple[float | None, bool] = (None, False)

    def paused(self) -> Parts:
        """Return the same without a trainer; what it holds does not change any more."""
        if self.trainer is None:
            return self
        values, arrays = self.trainer.state()
        return replace(
            self,
            trainer=None,
            values=copy.deepcopy(values),
            # The network holds the slots.
            arrays={n: a.copy() for n, a in arrays.items() if not n.startswith("slot/")},
            watched=(self.trainer.loss_watch.first, self.trainer.loss_watch.warned),
        )


def trainer_of_parts(estimator: Any, samples: int) -> Trainer:
    """Return the trainer of ``partial_fit`` for so many samples.

    It is that of the call before; after a pickle, or where a parameter has changed that a trainer
    is made with, another one that goes on.
    """
    parts, made_with = estimator._parts, _read_once(estimator)
    if parts is None:
        parts = Parts(samples, batch := batch_of(estimator, samples), made_with, batch)
        parts.trainer = _begun(estimator, parts)
    elif parts.trainer is None or parts.made_with != made_with:
        parts = parts.paused()
        parts.trainer, parts.made_with = _gone_on(estimator, parts, made_with), made_with
    estimator._parts, trainer = parts, parts.trainer
    trainer.network, trainer.position = estimator.network_, 0  # after a call that was broken off
    trainer.batch_size = batch_of(estimator, samples)
    parts.widest = max(parts.widest, trainer.batch_size)
    return trainer


def _read_once(estimator: Any) -> dict[str, Any]:
    """Return the parameters that a trainer is made with, as values that can be compared."""
    found = {name: getattr(estimator, name) for name in _READ_ONCE}
    if isinstance(rule := found["topology"], Topology):
        found["topology"] = type(rule).__name__, copy.deepcopy(vars(rule))
    return found


def _made(estimator: Any, parts: Parts) -> Trainer:
    rate = constant(estimator.learning_rate_init)
    return make_trainer(estimator, parts.samples, estimator._seed, rate, [], parts.batch)


def _begun(estimator: Any, parts: Parts) -> Trainer:
    """Return a trainer that begins, perhaps behind ``fit``."""
    trainer = _made(estimator, parts)
    trainer.steps_done = estimator._progress.steps
    trainer.learning_rate_factor = estimator._progress.factor
    trainer.start(parts.samples)
    if trainer.steps_done == 0:
        trainer.topology.initialise()
    return trainer


def _gone_on(estimator: Any, parts: Parts, made_with: dict[str, Any]) -> Trainer:
    """Return a trainer that goes on with a paused run; another topology begins there."""
    trainer = _made(estimator, parts)
    same = all(parts.made_with[name] == made_with[name] for name in _PLANNED_BY)
    resuming.go_on(
        trainer, parts.values, parts.arrays, parts.samples, widest=parts.widest, with_topology=same
    )
    trainer.loss_watch.first, trainer.loss_watch.warned = parts.watched
    return trainer
