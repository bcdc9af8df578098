"""The kernels of a run, compiled before it trains; see ``kernels.machine.ahead``."""

from __future__ import annotations

import contextlib
from typing import Any

from sparsecpu.callbacks import Callback


class _Rehearsed(Exception):
    """A step has been rehearsed."""


class _Rehearsal(Callback):
    """Ends training after its first step."""

    def on_step(self, trainer, loss) -> None:
        raise _Rehearsed


def compile_for(run: Any) -> None:
    """Compile the kernels of a run's steps and scores, where none of its kind has been here yet."""
    from sparsecpu.kernels.machine.ahead import compile_ahead

    trainer, recipe, x = run.trainer, run.recipe.to_dict(), run.dataset.x_train
    names = ("model", "init", "ift", "group", "precision", "topology", "optimizer", "clip", "lean")
    chosen = [str(recipe[name]).partition(":")[0] for name in names]
    full = sorted({p.density == 1 for p in trainer.network.sparse_parameters().values()})
    data = (type(x).__name__, str(getattr(x, "dtype", None)), len(x.shape))
    kind = (chosen, full, data, trainer.batch_size, trainer.team)
    compile_ahead(lambda: _rehearse(run), kind)


def _rehearse(run: Any) -> None:
    """Do a step, the last of an epoch with an update, and the scores; no kernel is run.

    The last step has fewer samples, which other kernels may serve.
    """
    trainer = run.trainer
    trainer.callbacks[:] = [_Rehearsal()]
    per_step = trainer.batch_size * trainer.accumulate
    last = (run.samples - 1) // per_step * per_step
    for interval, position in ((trainer.topology.interval, trainer.position), (1, last)):
        trainer.topology.interval, trainer.position = interval, position
        with contextlib.suppress(Exception):  # results make no sense here
            trainer.fit(run.x, run.targets)
    with trainer.machine():
        run.scores(trainer.network)
