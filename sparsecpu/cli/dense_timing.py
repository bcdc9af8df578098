"""Steps of a run that has ended, beside those of the same network dense."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecpu.errors import SparseCPUError
from sparsecpu.reading.live_line import Word

#: A dense network above so many bytes is not timed beside ours.
_DENSE_LIMIT = 1_000_000_000


def dense_steps(run: Any, described: Any, dense: Any) -> dict[str, Any]:
    """Time steps of the dense network, unless it is one of images or too large.

    ``dense`` are its processes, or None. For float32 and bfloat16 that is the fastest: whose it is,
    its milliseconds, and how many times as fast ours are, with what that ratio lies between; all
    None where there is none. Ours are timed in the same rounds; values of the network's weights
    mean nothing afterwards.
    """
    from sparsecpu.bench.measuring.rounds import beside_rivals

    ours: float | None = None
    timed: dict[str, Any] = {}
    if run.clock.steps and dense is not None and (sizes := _sizes(run, described)):
        said = Word("timing the dense network beside it", "timing dense")
        with run.speaker.passing(said), run.trainer.machine():
            rivals = dense.steps(sizes, run.recipe.batch(run.samples))
            ours, timed = beside_rivals(_OurSteps(run).turn, rivals)
    found: dict[str, Any] = {"step_ms": run.clock.step_ms() if ours is None else ours}
    for precision, name in (("fp32", "dense"), ("bf16", "dense_bf16")):
        one = timed.get(precision)
        found |= {
            f"{name}_step_ms": one and one.ms,
            f"{name}_library": one and one.library,
            f"{name}_ratio": one and one.ratio,
            f"{name}_ratio_range": one and [one.low, one.high],
            f"{name}_verdict": one and one.verdict,
        }
    return found


def _sizes(run: Any, described: Any) -> list[int] | None:
    """Return the features between the dense network's layers, if it can be timed."""
    from sparsecpu.bench.rivals.numpy_mlp import dense_bytes
    from sparsecpu.reading.memory import free_memory

    network = run.trainer.network
    if network.longest or any(p.spatial for p in network.sparse_parameters().values()):
        return None
    sizes = [network.widths[0], *(shape[0] for shape in described.weight_shapes())]
    free = free_memory()
    most = _DENSE_LIMIT if free is None else min(_DENSE_LIMIT, free // 2)
    return sizes if dense_bytes(sizes) <= most else None


class _OurSteps:
    """Further steps of a run's trainer, as those in the middle of the run.

    There its topology watches gradients, and updates the pattern now and then, as it did.
    """

    def __init__(self, run: Any) -> None:
        trainer = self.trainer = run.trainer
        self.samples = trainer.network.samples(run.x)
        self.targets = trainer.loss.prepare(run.targets, trainer.network.n_outputs)
        self._rows = self._batches(run.samples)
        trainer.callbacks, trainer.learning_rate_factor = [], 0.0
        trainer.steps_done = trainer.course.total_steps // 2

    def _batches(self, samples: int) -> Iterator[np.ndarray]:
        size = min(self.trainer.batch_size, samples)
        order = np.random.default_rng(0).permutation(samples)
        whole = [order[first : first + size] for first in range(0, samples - size + 1, size)]
        return itertools.cycle(whole)

    def turn(self, seconds: float) -> list[float]:
        """Make steps for so many seconds; return the milliseconds of each, none if one fails."""
        from sparsecpu.bench.rivals.dense_children import LINGERING
        from sparsecpu.bench.rivals.turns import turn

        try:
            times = turn(self._step, seconds)
        except SparseCPUError:
            return []
        if self.trainer.team != 1:
            time.sleep(LINGERING)
        return times

    def _step(self) -> None:
        self.trainer.step(self.samples, self.targets, next(self._rows))
