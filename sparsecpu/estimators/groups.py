"""The groups of rows of an estimator's network: as its parameter says, or the fastest ones here."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.estimators.trainers import batch_of, threads_of
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.group_choice import choose_groups
from sparsecpu.networks.groups import AUTO, in_groups
from sparsecpu.registries import defaults
from sparsecpu.training.mpi import communicator


def grouped(estimator: Any, described: Architecture, samples: int) -> Architecture:
    """Return a sparse description in the groups of an estimator, which notes them in ``group_``.

    ``samples`` are those of an epoch. A model that has groups of its own keeps them where the
    estimator says no others.
    """
    group = estimator.group
    if isinstance(group, str) and group == AUTO:
        choices = choose_groups(
            described, batch_of(estimator, samples), threads_of(estimator),
            dtype=np.dtype(estimator.dtype), precision=estimator.precision,
        )  # fmt: skip
        takes = [choice.takes for choice in choices]
        group = communicator(estimator.comm).broadcast(takes)  # each rank measures something else
    estimator.group_ = group
    if not isinstance(group, (list, tuple)) and group == defaults.GROUP:
        return described
    return in_groups(described, group)
