"""The runs of a comparison: one after the other, or in several processes."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback, History
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import (
    DataError,
    DataWarning,
    DivergedError,
    DivergenceWarning,
    NotFiniteError,
    SparseCPUError,
)
from sparsecpu.experiments.comparison.comparison import Cell, Comparison
from sparsecpu.experiments.comparison.histories import kept_of
from sparsecpu.experiments.comparison.measures import has_its_test
from sparsecpu.experiments.comparison.methods import DENSE, SMALL_DENSE, narrowed, weights_of
from sparsecpu.experiments.held_out import take
from sparsecpu.experiments.networks import build, describe_for, fitted
from sparsecpu.experiments.recipe import ALONE, Recipe
from sparsecpu.experiments.scoring import score
from sparsecpu.experiments.trainers import augmented, make_trainer, standardised_targets
from sparsecpu.networks.description import Architecture
from sparsecpu.step.training_clock import clock_without_compiling

#: The dense network is tuned on these seeds' first folds, ...
_TUNING_SEEDS = 3
#: ... of whose training samples one in so many is held out.
_HELD_OUT = 5

#: A cell, its learning rate, and whether it is scored on held-out training samples.
Job = tuple[Cell, float, bool]
Keep = Callable[[dict[str, Any]], None]


class Runner:
    """Does single runs of a comparison, on data that it reads once.

    ``watch`` returns the callbacks of a run.
    """

    def __init__(self, comparison: Comparison) -> None:
        from sparsecpu.datasets import open_data

        self.comparison = comparison
        self.watch: Callable[[Cell], list[Callback]] = lambda cell: []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # the command has said it once
            found = open_data(comparison.data, **comparison.reading)
        self.dataset = fitted(comparison.recipe, found)
        if comparison.folds and has_its_test(self.dataset):
            raise DataError(f"{comparison.data} has a test part of its own; folds must be 0")
        self._all: tuple[Any, np.ndarray] | None = None

    def split(self, cell: Cell) -> tuple[Any, np.ndarray, Any, np.ndarray]:
        """Return x and y to train on, and x and y to test on."""
        data, folds = self.dataset, self.comparison.folds
        if not folds:
            return data.x_train, data.y_train, data.x_test, data.y_test
        from sklearn.model_selection import KFold, StratifiedKFold

        x, y = self._all = self._all or self._joined()
        kind = StratifiedKFold if data.task == "classification" else KFold
        parts = kind(folds, shuffle=True, random_state=cell.seed)
        train, test = list(parts.split(np.zeros(len(y)), y if y.ndim == 1 else None))[cell.fold]
        return x[train], y[train], x[test], y[test]

    def _joined(self) -> tuple[Any, np.ndarray]:
        """Return all samples, for parts that are cut anew."""
        data = self.dataset
        stack = np.concatenate
        if hasattr(data.x_train, "tocsr"):
            from scipy.sparse import vstack

            stack = partial(vstack, format="csr")
        return stack([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])

    def run(self, cell: Cell, learning_rate: float, *, held_out: bool = False) -> dict[str, Any]:
        """Train one network, and score it on its test samples or on held-out training samples.

        Returns the cell with ``score`` (accuracy or R², of text the loss; None where training
        diverged), ``nnz``, ``weights`` and ``seconds`` of training, without those of compiling, and
        its ``history``.
        """
        data = self.dataset
        x, y, x_test, y_test = self.split(cell)
        if held_out:
            x, y, x_test, y_test = _hold_out(x, y, cell.seed)
        targets: Any = y
        facts: dict[str, Any] = {"task": data.task}
        if data.task == "regression":
            targets, scales = standardised_targets(y)
            facts |= scales
        elif data.task == LANGUAGE:
            facts["tokenizer"] = data.tokenizer.to_dict()
        recipe, architecture = self.described(cell, learning_rate)
        network = build(recipe, architecture, x, y, data.scaling)
        history = History()
        trainer = make_trainer(
            recipe, network, data.task, len(y), threads=1, callbacks=[history, *self.watch(cell)]
        )
        began = clock_without_compiling()
        try:
            trainer.fit(augmented(recipe, x, network, trainer), targets)
            seconds = clock_without_compiling() - began
            with trainer.machine():
                value = score(network, x_test, y_test, facts, batch_size=recipe.batch(len(y)))
        except (DivergedError, NotFiniteError):
            seconds, value = clock_without_compiling() - began, None
        return {
            **asdict(cell), "learning_rate": learning_rate, "score": value,
            "nnz": network.nnz, "weights": network.size, "seconds": round(seconds, 4),
            "history": kept_of(history.records),
        }  # fmt: skip

    def described(self, cell: Cell, learning_rate: float) -> tuple[Recipe, Architecture]:
        """Return the recipe of a run, and its network's description."""
        recipe = self._recipe(cell, learning_rate)
        return recipe, describe_for(recipe, self.dataset)

    def _recipe(self, cell: Cell, learning_rate: float) -> Recipe:
        recipe = self.comparison.recipe_of(cell, learning_rate)
        if cell.method != SMALL_DENSE:
            return recipe
        shape, n_outputs = self.dataset.input_shape, self.dataset.n_outputs
        weights = round(cell.density * weights_of(recipe, shape, n_outputs))
        return narrowed(recipe, weights, shape, n_outputs)


def _hold_out(x: Any, y: np.ndarray, seed: int) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Cut a part to score on off training samples."""
    order = np.random.default_rng(seed).permutation(len(y))
    held, left = order[: len(y) // _HELD_OUT], order[len(y) // _HELD_OUT :]
    return take(x, left), y[left], take(x, held), y[held]


def run_all(
    comparison: Comparison, jobs: Iterable[Job], processes: int, keep: Keep,
    runner: Runner | None = None,
) -> None:  # fmt: skip
    """Do runs, so many at a time with a thread each, and hand on each result as it comes."""
    jobs = list(jobs)
    if processes == 1 or len(jobs) <= 1:
        runner = runner or Runner(comparison)
        for job in jobs:
            _hand_on(*run_with_warnings(runner, job), keep)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    from sparsecpu.experiments.comparison.worker import prepare, work

    pool = ProcessPoolExecutor(
        min(processes, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=(comparison,),
    )
    try:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            _hand_on(*done.result(), keep)
    except BrokenProcessPool:
        _end_now(pool)
        raise SparseCPUError(
            "a process of the comparison was ended by the system, perhaps for lack of memory; the "
            "same command goes on, with fewer --jobs if need be"
        ) from None
    except BaseException:
        _end_now(pool)
        raise
    pool.shutdown()


def _end_now(pool: Any) -> None:
    """End the processes of a pool with the runs at work, and wait for its threads.

    One of these may be handing out the next run, and would say over many lines that nobody takes
    it: as nobody is to take it, that is no news.
    """
    for process in list((pool._processes or {}).values()):
        with contextlib.suppress(OSError):
            process.terminate()
    with contextlib.redirect_stderr(io.StringIO()):
        pool.shutdown(cancel_futures=True)


def run_with_warnings(runner: Runner, job: Job) -> tuple[dict[str, Any], list[str]]:
    """Return the result of a run, and the words of those of our warnings that it gave."""
    cell, learning_rate, held_out = job
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DivergenceWarning)
        result = runner.run(cell, learning_rate, held_out=held_out)
    ours = [w for w in caught if issubclass(w.category, DivergenceWarning)]
    for other in caught:
        if other not in ours:
            warnings.showwarning(other.message, other.category, other.filename, other.lineno)
    name = f"{cell.method} at density {cell.density}, seed {cell.seed}"
    name += "" if cell.group == ALONE else f", group {cell.group}"
    return result, [f"{name}: {warning.message}" for warning in ours]


def _hand_on(result: dict[str, Any], said: list[str], keep: Keep) -> None:
    """Keep a result, and give the warnings of its run in this process."""
    for words in said:
        warnings.warn(words, DivergenceWarning, stacklevel=3)
    keep(result)


def tune(
    comparison: Comparison, processes: int, keep: Keep, runner: Runner | None = None
) -> tuple[float, dict[float, float]]:
    """Choose the learning rate by the dense network alone, on held-out training samples.

    Returns the best rate (of equal ones the smallest) and the mean score of each, none where there
    was no choice.
    """
    rates, sign = comparison.learning_rates, comparison.measure.sign
    if len(rates) == 1:
        return rates[0], {}
    found: dict[float, list[float]] = {rate: [] for rate in rates}

    def note(result: dict[str, Any]) -> None:
        worst = -sign * math.inf if result["score"] is None else result["score"]
        found[result["learning_rate"]].append(worst)
        keep(result)

    cells = [Cell(DENSE, 1.0, seed, 0) for seed in range(_tuning_seeds(comparison))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)  # rates that are too large lose
        run_all(comparison, [(c, rate, True) for rate in found for c in cells], processes, note,
                runner)  # fmt: skip
    means = {rate: float(np.mean(scores)) for rate, scores in found.items()}
    return max(sorted(means), key=lambda rate: sign * means[rate]), means


def tuning_runs(comparison: Comparison) -> int:
    """Return how many runs choosing the learning rate takes."""
    rates = len(comparison.learning_rates)
    return rates * _tuning_seeds(comparison) if rates > 1 else 0


def _tuning_seeds(comparison: Comparison) -> int:
    return min(_TUNING_SEEDS, comparison.seeds)
