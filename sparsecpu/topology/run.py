"""What an algorithm is told of a run, and what it reports of an update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsecpu.schedules import Schedule
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.shared_columns import columns_of, observed_columns


@dataclass(frozen=True)
class Run:
    """What a topology algorithm is told before training starts.

    Parameters
    ----------
    parameters : dict of str to SparseParameter
        The layers it works on. Where the rows of one stand in groups, what it is told of is the
        shared columns; see ``topology.shared_columns``.
    steps_per_epoch, total_steps : int
        Length of the run.
    batch_size : int
        Samples that pass at once (lanes, where they are sequences of tokens): those of a step, or
        of the last batch where batches make it.
    momentum_slot : str or None
        Slot in which the optimizer keeps its momentum.
    momentum : float
        Factor by which a step fades older gradients in that slot.
    gradient_weight : float
        Factor with which a gradient enters it.
    rng : numpy.random.Generator
        Stream for topology.
    learning_rate : callable
        The schedule: a function of the step.
    steps_done : int
        Optimizer steps that lie behind, above 0 where the run is resumed.
    score : {"l1", "l2"}
        How the weights of a shared column make one number.
    """

    parameters: dict[str, SparseParameter]
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    momentum_slot: str | None
    momentum: float
    gradient_weight: float
    rng: np.random.Generator
    learning_rate: Schedule
    steps_done: int = 0
    score: str = "l1"

    def __post_init__(self) -> None:
        seen = {name: columns_of(p, self.score) for name, p in self.parameters.items()}
        object.__setattr__(self, "parameters", seen)

    @classmethod
    def of(cls, trainer: Any, samples: int) -> Run:
        """Return what a trainer's algorithm is to know.

        Parameters
        ----------
        trainer : Trainer
            The trainer, before its first step or resumed, whose course is known.
        samples : int
            Samples of a pass over all.
        """
        optimizer = trainer.optimizer
        return cls(
            {n: p for n, p in trainer.network.sparse_parameters().items() if not p.fixed},
            trainer.course.epoch_steps,
            trainer.course.total_steps,
            trainer.network.tokens(min(trainer.batch_size, samples)),
            optimizer.momentum_slot,
            optimizer.history_decay,
            optimizer.gradient_weight,
            trainer.rngs["topology"],
            trainer.schedule,
            trainer.steps_done,
            trainer.topology.score,
        )

    def observed(self, observe: Callable) -> Callable:
        """Return an observer of layers that shows ``observe`` what is in ``parameters``."""
        return observed_columns(observe, self.parameters)


@dataclass
class Report:
    """What one update did.

    Parameters
    ----------
    step : int
        Optimizer steps done before it.
    prune_rate : float
        Fraction of a layer's weights that it dropped (before special cases).
    layers : dict of str to dict
        Per layer: ``dropped, grown, regrown, nnz``, and what the algorithm adds.
    """

    step: int
    prune_rate: float
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
