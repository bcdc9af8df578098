"""The runs of a comparison: one after the other, or in several processes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, DivergedError
from sparsecpu.experiments.comparison.plan import DENSE, SMALL_DENSE, Cell, Plan, narrowed
from sparsecpu.experiments.scoring import score

#: The dense network is tuned on these seeds' first folds, ...
_TUNING_SEEDS = 3
#: ... of whose training samples one in so many is held out.
_HELD_OUT = 5


class Runner:
    """Does single runs on one data set.

    Parameters
    ----------
    plan : Plan
        The comparison.
    """

    def __init__(self, plan: Plan) -> None:
        from sparsecpu.datasets import open_data

        self.plan = plan
        self.dataset = data = open_data(plan.data, **plan.reading)
        if plan.folds and data.own_test:
            raise DataError(f"{plan.data} has a test part of its own; folds must be 0")
        self._all: tuple[Any, np.ndarray] | None = None

    def split(self, cell: Cell) -> tuple[Any, np.ndarray, Any, np.ndarray]:
        """Return training and test samples of a run.

        Parameters
        ----------
        cell : Cell
            The run.

        Returns
        -------
        tuple
            x and y to train on, x and y to test on.
        """
        data = self.dataset
        if not self.plan.folds:
            return data.x_train, data.y_train, data.x_test, data.y_test
        from sklearn.model_selection import KFold, StratifiedKFold

        if self._all is None:
            stack = np.concatenate
            if hasattr(data.x_train, "tocsr"):
                from scipy.sparse import vstack

                stack = partial(vstack, format="csr")
            x = stack([data.x_train, data.x_test])
            self._all = x, np.concatenate([data.y_train, data.y_test])
        x, y = self._all
        kind = StratifiedKFold if data.task == "classification" else KFold
        folds = kind(self.plan.folds, shuffle=True, random_state=cell.seed)
        train, test = list(folds.split(np.zeros(len(y)), y if y.ndim == 1 else None))[cell.fold]
        return x[train], y[train], x[test], y[test]

    def run(self, cell: Cell, learning_rate: float, *, held_out: bool = False) -> dict[str, Any]:
        """Train and score one network.

        Parameters
        ----------
        cell : Cell
            The run.
        learning_rate : float
            Peak of the schedule.
        held_out : bool
            Whether to score on a part of the training samples, never seen in training, in place of
            the test samples.

        Returns
        -------
        dict
            The cell, ``score`` (accuracy or R²; None where training diverged), ``nnz``,
            ``weights``, ``seconds`` of training, ``updates``.
        """
        data, recipe = self.dataset, self.plan.recipe_of(cell, learning_rate)
        x, y, x_test, y_test = self.split(cell)
        if held_out:
            order = np.random.default_rng(cell.seed).permutation(len(y))
            cut = len(y) // _HELD_OUT
            x_test, y_test = _take(x, order[:cut]), y[order[:cut]]
            x, y = _take(x, order[cut:]), y[order[cut:]]
        facts: dict[str, Any] = {"task": data.task}
        targets = y
        if data.task == "regression":
            mean, scale = y.mean(axis=0), y.std(axis=0)
            scale[scale == 0] = 1.0
            facts |= {"target_mean": mean, "target_scale": scale}
            targets = (y - mean) / scale
        if cell.method == SMALL_DENSE:
            shapes = recipe.dense(data.input_shape, data.n_outputs).weight_shapes()
            weights = round(cell.density * sum(math.prod(shape) for shape in shapes))
            recipe = narrowed(recipe, weights, data.input_shape, data.n_outputs)
        architecture = recipe.architecture(data.input_shape, data.n_outputs)
        network = recipe.network(architecture, x, y, data.scaling)
        trainer = recipe.trainer(network, data.task, len(y), threads=1)
        began = time.perf_counter()
        try:
            trainer.fit(recipe.varied(x, network, trainer), targets)
            seconds = time.perf_counter() - began
            value = score(network, x_test, y_test, facts, batch_size=recipe.batch(len(y)))
        except DivergedError:
            seconds, value = time.perf_counter() - began, None
        return {
            **asdict(cell), "learning_rate": learning_rate, "score": value,
            "nnz": network.nnz, "weights": network.size, "seconds": round(seconds, 4),
        }  # fmt: skip


def _take(x: Any, rows: np.ndarray) -> Any:
    """Return some samples, of a source as a source."""
    return _Part(x, rows) if hasattr(x, "take_samples") else x[rows]


class _Part:
    """Some samples of a source."""

    def __init__(self, source: Any, rows: np.ndarray) -> None:
        self.source, self.rows = source, rows
        self.shape = (len(rows), source.shape[1])

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return an array and where in it the samples are; see ``batches.Source``."""
        return self.source.take_samples(self.rows[rows])


_runner: Runner | None = None


def _prepare(plan: Plan) -> None:
    """Read the data once per process."""
    import signal

    global _runner
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent breaks off
    _runner = Runner(plan)


def _work(job: tuple[Cell, float, bool]) -> dict[str, Any]:
    assert _runner is not None
    cell, learning_rate, held_out = job
    return _runner.run(cell, learning_rate, held_out=held_out)


def run_all(
    plan: Plan,
    jobs: Iterable[tuple[Cell, float, bool]],
    processes: int,
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Do runs and hand on each result as it comes.

    Parameters
    ----------
    plan : Plan
        The comparison.
    jobs : iterable of tuple
        Cell, learning rate, whether to score on held-out training samples.
    processes : int
        How many at a time; each has one thread.
    keep : callable
        Called with each result, in any order.
    """
    jobs = list(jobs)
    if processes == 1 or len(jobs) <= 1:
        runner = Runner(plan)
        for cell, rate, held_out in jobs:
            keep(runner.run(cell, rate, held_out=held_out))
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    pool = ProcessPoolExecutor(
        min(processes, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(plan,),
    )
    try:
        for done in as_completed([pool.submit(_work, job) for job in jobs]):
            keep(done.result())
    except BaseException:
        for process in list((pool._processes or {}).values()):  # do not wait for runs at work
            with contextlib.suppress(OSError):
                process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def tune(
    plan: Plan, processes: int, keep: Callable[[dict[str, Any]], None]
) -> tuple[float, dict[float, float]]:
    """Choose the learning rate by the dense network alone, on held-out training samples.

    Parameters
    ----------
    plan : Plan
        The comparison.
    processes : int
        How many runs at a time.
    keep : callable
        Called with each result.

    Returns
    -------
    rate : float
        The best; of equal ones the smallest.
    scores : dict of float to float
        Mean score of each; empty where there was no choice.
    """
    if len(plan.learning_rates) == 1:
        return plan.learning_rates[0], {}
    found: dict[float, list[float]] = {rate: [] for rate in plan.learning_rates}

    def note(result: dict[str, Any]) -> None:
        worst = float("-inf") if result["score"] is None else result["score"]
        found[result["learning_rate"]].append(worst)
        keep(result)

    cells = [Cell(DENSE, 1.0, seed, 0) for seed in range(min(_TUNING_SEEDS, plan.seeds))]
    run_all(plan, [(c, rate, True) for rate in found for c in cells], processes, note)
    means = {rate: float(np.mean(scores)) for rate, scores in found.items()}
    return max(sorted(means), key=lambda rate: means[rate]), means
