"""Whether the runs of a recipe, or of a comparison, fit into the memory that is free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sparsecpu.errors import MemoryBudgetError
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.memory_estimate import (
    Estimate,
    estimate,
    lanes_of,
    refuse_unless_it_fits,
    weight_counts,
    weight_groups,
)
from sparsecpu.reading import memory
from sparsecpu.training.pattern_history import tracking_memory

#: Above so many weights nothing is noted about their ages, which takes as much memory as they do.
_TRACKED = 20_000_000
#: Runs that need more than this say beforehand how much.
_WORTH_SAYING = 1e9
#: Bytes of a process before its first run: Python with NumPy, SciPy, Numba and scikit-learn.
_PROCESS = 120_000_000


def need_of(
    recipe: Recipe, architecture: Architecture, samples: int, *, tracked: bool = False
) -> Estimate:
    """Estimate what training takes beside its data; ``tracked``: with a history of patterns."""
    topology, batch = recipe.make_topology(), recipe.batch(samples)
    shapes, counts = architecture.weight_shapes(), weight_counts(architecture)
    course = recipe.course(samples)
    interval = topology.update_every or course.epoch_steps
    lanes = lanes_of(architecture, batch)
    groups = weight_groups(architecture)
    watched = topology.memory(shapes, counts, lanes, interval, recipe.momentum, groups)
    if tracked:
        steps = course.total_steps * topology.stop_after
        grown = topology.prune_rate * (steps // interval) / 2  # the rate falls to about 0
        # Shared columns are noted, each once.
        sizes = [math.prod(shape) // group for shape, group in zip(shapes, groups, strict=True)]
        shared = [count // group for count, group in zip(counts, groups, strict=True)]
        watched += tracking_memory(sizes, shared, grown)
    slots = recipe.make_optimizer().slots_per_weight
    slots += recipe.accumulate > 1  # a sum of gradients lies beside the optimizer's numbers
    return estimate(architecture, batch, slots=slots, lean=recipe.lean, watched=watched)


def check_memory(
    architecture: Architecture, recipe: Recipe, samples: int, say: Callable[[str], None]
) -> bool:
    """Refuse a run that would not fit, and say how much a large one needs.

    Returns True if there is room to keep a history of its patterns, too.
    """
    whole = need_of(recipe, architecture, samples, tracked=True)
    free = memory.free_memory()
    wanted = sum(weight_counts(architecture)) <= _TRACKED
    tracked = wanted and (free is None or whole.total <= free)
    need = whole if tracked else need_of(recipe, architecture, samples)
    advice = "a lower density, a smaller batch_size or smaller layers"
    refuse_unless_it_fits(need, f"try {advice}" if recipe.lean else f"try --lean, or {advice}")
    if wanted and not tracked:
        say("memory: there is no room to note how patterns change; their history is left out")
    if need.total > _WORTH_SAYING:
        left = "" if free is None else f"; {memory.in_words(free)} are free"
        say(f"memory: about {need}{left}")
    return tracked


def check_comparison(runner: Any, processes: int) -> None:
    """Refuse a comparison whose largest run does not fit, or not so many at the same time."""
    comparison, largest = runner.comparison, (0, "")
    for cell in {(cell.kind, cell.group): cell for cell in comparison.cells()}.values():
        recipe, architecture = runner.described(cell, comparison.learning_rates[0])
        need = need_of(recipe, architecture, runner.dataset.x_train.shape[0]).total
        largest = max(largest, (need, cell.kind))
    free, data = memory.free_memory(), _bytes(runner.dataset)
    # Samples are joined and cut into folds, and once more while the learning rate is tuned.
    one = largest[0] + (3 if comparison.folds else 1) * data
    total = one if processes == 1 else processes * (one + data + _PROCESS)
    if free is None or total <= free:
        return
    words = memory.in_words
    text = f"the largest run ({largest[1]}) would need about {words(one)}"
    if processes > 1:
        text += f", and {processes} at a time {words(total)} with their data"
    fitting = min(processes, int(free / (one + data + _PROCESS)))
    way = f"--jobs {fitting}" if processes > 1 and fitting >= 1 else "lower densities"
    raise MemoryBudgetError(f"{text}; {words(free)} are free; try {way}, or smaller layers")


def _bytes(dataset: Any) -> int:
    """Return the bytes of a data set's samples, of those that are held."""
    found = 0
    for x in (dataset.x_train, dataset.x_test):
        parts = (x.data, x.indices, x.indptr) if hasattr(x, "tocsr") else (x,)
        found += sum(getattr(part, "nbytes", 0) for part in parts)
    return found
