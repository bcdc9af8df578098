"""Whether an estimator's network fits into the memory that is free, asked before it is made."""

from __future__ import annotations

from typing import Any

from sparsecpu.estimators.trainers import batch_of, make_optimizer, topology_of
from sparsecpu.networks.memory_estimate import (
    estimate,
    refuse_unless_it_fits,
    weight_counts,
    weight_groups,
)

#: Smaller networks are not worth asking the system.
_SMALL = 1 << 27


def refuse_too_large(estimator: Any, samples: int) -> None:
    """Raise ``MemoryBudgetError`` if training on so many samples would not fit."""
    architecture, batch = estimator.architecture_, batch_of(estimator, samples)
    shapes, counts = architecture.weight_shapes(), weight_counts(architecture)
    steps = -(-samples // batch)
    topology = topology_of(estimator, steps)
    every = topology.update_every or steps
    groups = weight_groups(architecture)
    watched = topology.memory(shapes, counts, batch, every, estimator.momentum, groups)
    slots = make_optimizer(estimator).slots_per_weight
    need = estimate(architecture, batch, slots=slots, watched=watched)
    if need.total - need.program > _SMALL:
        refuse_unless_it_fits(need, "try a lower density, a smaller batch_size or smaller layers")
